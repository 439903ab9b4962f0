//! What tests and fuzz targets know of a node.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::operations::{Known, Unknown};
use crate::wire::EMPTY_LIST;
use crate::wire::value::{Item, KeySchema, KeyType};

/// One table; list 2 has the names a and b.
pub(crate) struct Here;

impl Known for Here {
    fn schema(&self, table: &str) -> Result<Arc<KeySchema>, Unknown> {
        if table != "table" {
            return Err(Unknown::Schema(table.to_owned()));
        }
        let range = Some(("r".to_owned(), KeyType::N));
        Ok(Arc::new(KeySchema { hash: ("h".to_owned(), KeyType::S), range }))
    }

    fn list_id(&self, names: Vec<String>) -> Result<i64, Unknown> {
        match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Ok(EMPTY_LIST),
            ["a", "b"] => Ok(2),
            _ => Err(Unknown::ListId(names)),
        }
    }

    fn list_names(&self, id: i64) -> Result<Arc<[String]>, Unknown> {
        match id {
            EMPTY_LIST => Ok(Arc::default()),
            2 => Ok(["a".to_owned(), "b".to_owned()].into()),
            id => Err(Unknown::ListNames(id)),
        }
    }
}

pub(crate) fn key() -> Item {
    [("h", AttributeValue::S("hash".to_owned())), ("r", AttributeValue::N("-1.5".to_owned()))]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// What `read` makes of the bytes: it reads all of them, and no part; and with any bit flipped it reads something or fails.
#[cfg(test)]
pub(crate) fn try_all<T, E: std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, E>) -> T {
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "the first {length} bytes of {}", bytes.len());
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&flipped);
    }
    read(bytes).expect("an answer")
}
