//! The encodings of the protocol, for this client and for servers to try it on. Not part of the crate's promises: it may change in any release.

#![allow(missing_docs, reason = "constants whose names are those of DynamoDB's API")]

pub mod authorization;
pub mod cbor;
pub mod expression;
mod number;
pub mod value;

/// The number of the service, which each request begins with.
pub const SERVICE: i64 = 1;
/// What a connection begins with.
pub const MAGIC: &str = "J7yne5G";

/// The numbers of the methods.
pub mod method {
    pub const AUTHORIZE_CONNECTION: i64 = 1_489_122_155;
    pub const BATCH_GET_ITEM: i64 = -697_851_100;
    pub const BATCH_WRITE_ITEM: i64 = 116_217_951;
    pub const DEFINE_ATTRIBUTE_LIST: i64 = 670_678_385;
    pub const DEFINE_ATTRIBUTE_LIST_ID: i64 = -1_230_579_644;
    pub const DEFINE_KEY_SCHEMA: i64 = -742_646_399;
    pub const DELETE_ITEM: i64 = 1_013_539_361;
    pub const ENDPOINTS: i64 = 455_855_874;
    pub const GET_ITEM: i64 = 263_244_906;
    pub const PUT_ITEM: i64 = -2_106_490_455;
    pub const QUERY: i64 = -931_250_863;
    pub const SCAN: i64 = -1_875_390_620;
    pub const TRANSACT_GET_ITEMS: i64 = 1_866_287_579;
    pub const TRANSACT_WRITE_ITEMS: i64 = -1_160_037_738;
    pub const UPDATE_ITEM: i64 = 1_425_579_023;
}

/// The keys of a request's options.
pub mod option {
    pub const PROJECTION_EXPRESSION: i64 = 0;
    pub const EXPRESSION_ATTRIBUTE_NAMES: i64 = 1;
    pub const CONSISTENT_READ: i64 = 2;
    pub const RETURN_CONSUMED_CAPACITY: i64 = 3;
    pub const CONDITION_EXPRESSION: i64 = 4;
    pub const EXPRESSION_ATTRIBUTE_VALUES: i64 = 5;
    pub const RETURN_ITEM_COLLECTION_METRICS: i64 = 6;
    pub const RETURN_VALUES: i64 = 7;
    pub const UPDATE_EXPRESSION: i64 = 8;
    pub const EXCLUSIVE_START_KEY: i64 = 9;
    pub const FILTER_EXPRESSION: i64 = 10;
    pub const INDEX_NAME: i64 = 11;
    pub const LIMIT: i64 = 13;
    pub const SCAN_INDEX_FORWARD: i64 = 14;
    pub const SELECT: i64 = 15;
    pub const SEGMENT: i64 = 16;
    pub const TOTAL_SEGMENTS: i64 = 17;
    pub const CLIENT_REQUEST_TOKEN: i64 = 19;
}

/// The keys of a response.
pub mod result {
    pub const ITEM: i64 = 0;
    pub const CONSUMED_CAPACITY: i64 = 1;
    pub const ATTRIBUTES: i64 = 2;
    pub const ITEM_COLLECTION_METRICS: i64 = 3;
    pub const ITEMS: i64 = 7;
    pub const COUNT: i64 = 8;
    pub const LAST_EVALUATED_KEY: i64 = 9;
    pub const SCANNED_COUNT: i64 = 10;
}

/// The keys of an endpoint.
pub mod endpoint {
    pub const NODE: i64 = 0;
    pub const HOST_NAME: i64 = 1;
    pub const ADDRESS: i64 = 2;
    pub const PORT: i64 = 3;
    pub const ROLE: i64 = 4;
    pub const AVAILABILITY_ZONE: i64 = 5;
    pub const LEADER_SESSION: i64 = 6;
    /// The role of the node that takes the writes.
    pub const LEADER: i64 = 1;
}

/// The keys of a transaction's consumed capacity.
pub mod capacity {
    pub const UNITS: i64 = 1;
    pub const READ_UNITS: i64 = 2;
    pub const WRITE_UNITS: i64 = 3;
    pub const TABLE_NAME: i64 = 4;
    pub const TABLE: i64 = 5;
    pub const GLOBAL_INDEXES: i64 = 6;
    pub const LOCAL_INDEXES: i64 = 7;
}

/// What a part of a transaction does.
pub mod operation {
    pub const PUT: i64 = 2;
    pub const DELETE: i64 = 7;
    pub const UPDATE: i64 = 9;
    pub const CONDITION_CHECK: i64 = 12;
}

/// Names in the order of their numbers, which begin at `first`.
pub struct Names {
    pub first: i64,
    pub names: &'static [&'static str],
}

impl Names {
    pub fn number(&self, name: &str) -> Option<i64> {
        self.names.iter().position(|known| *known == name).map(|place| self.first + place as i64)
    }

    pub fn name(&self, number: i64) -> Option<&'static str> {
        self.names.get(usize::try_from(number.checked_sub(self.first)?).ok()?).copied()
    }
}

pub const CONSUMED_CAPACITY: Names = Names { first: 0, names: &["NONE", "TOTAL", "INDEXES"] };
pub const COLLECTION_METRICS: Names = Names { first: 0, names: &["NONE", "SIZE"] };
pub const RETURN_VALUES: Names =
    Names { first: 1, names: &["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"] };
pub const ON_CONDITION_FAILURE: Names = Names { first: 1, names: &["NONE", "ALL_OLD"] };
pub const SELECT: Names =
    Names { first: 1, names: &["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "COUNT", "SPECIFIC_ATTRIBUTES"] };

/// The attribute list without names.
pub const EMPTY_LIST: i64 = 1;
