//! The ten operations: requests to bytes, bytes to responses. Nothing here does I/O.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{TransactGetItemsInput, TransactGetItemsOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{
    CancellationReason, Capacity, ConsumedCapacity, DeleteRequest, ItemCollectionMetrics, ItemResponse, PutRequest,
    ReturnConsumedCapacity, ReturnItemCollectionMetrics, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, WriteRequest,
};

use crate::connection::reasons;
use crate::error::Error;
use crate::fallback::{Answer, ask_dynamodb};
use crate::wire::cbor::{Decoder, Encoder, Malformed};
use crate::wire::expression::{Expressions, Path, Purpose, Step, project};
use crate::wire::value::{
    Invalid, Item, KeySchema, decode_compound_key, decode_value, encode_attributes, encode_compound_key,
};
use crate::wire::{
    COLLECTION_METRICS, CONSUMED_CAPACITY, Names, ON_CONDITION_FAILURE, RETURN_VALUES, SELECT, SERVICE, capacity,
    method, operation, option, result,
};

/// What a node has to be asked before a request can be encoded or a response decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The key schema of a table.
    Schema(String),
    /// The id of a list of attribute names.
    ListId(Vec<String>),
    /// The names of a list.
    ListNames(i64),
}

/// Why a request was not encoded or a response not decoded.
#[derive(Debug)]
pub(crate) enum Stop {
    Unknown(Unknown),
    Invalid(Invalid),
    Malformed(Malformed),
}

impl From<Unknown> for Stop {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown(unknown)
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What is known of the tables, and of a node's lists.
pub(crate) trait Known {
    fn schema(&self, table: &str) -> Result<Arc<KeySchema>, Unknown>;
    fn list_id(&self, names: Vec<String>) -> Result<i64, Unknown>;
    fn list_names(&self, id: i64) -> Result<Arc<[String]>, Unknown>;
}

/// A request in bytes, and what its response is read with.
pub(crate) struct Encoded {
    pub(crate) request: Vec<u8>,
    /// The paths of projections, by table or by the place in a transaction.
    projections: Vec<Option<Vec<Path>>>,
}

/// An operation's input.
pub(crate) trait Operation: Debug + Send + Sync + 'static {
    type Output: Debug + Send + Sync + 'static;
    /// Whether it changes something, and must not be sent twice.
    const WRITES: bool;
    /// Values of a successful answer after the error codes.
    const VALUES: usize = 1;

    /// An error if DAX has no field for something that the request asks for. DynamoDB may take it.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop>;

    /// `response` begins after the error codes.
    fn decode(&self, encoded: &Encoded, known: &impl Known, response: &mut Decoder) -> Result<Self::Output, Stop>;

    /// Asks DynamoDB, if the operation reads. `outage` is why DAX did not answer.
    fn ask_dynamodb(&self, outage: Error, _dynamodb: &aws_sdk_dynamodb::Client) -> Answer<Self::Output> {
        Box::pin(std::future::ready(Err(outage)))
    }

    /// The reasons of a transaction's cancellation, from the answer that is an error.
    fn reasons(&self, _known: &impl Known, _response: &[u8]) -> Result<Vec<CancellationReason>, Stop> {
        Ok(Vec::new())
    }
}

type AttributeNames = Option<HashMap<String, String>>;

fn required<'a, T: ?Sized>(value: Option<&'a T>, name: &str) -> Result<&'a T, Invalid> {
    value.ok_or_else(|| Invalid(format!("{name} is missing")))
}

/// An error if an old parameter is given: DAX takes expressions only.
fn refuse(old: &[(&str, bool)]) -> Result<(), Invalid> {
    match old.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Invalid(format!("DAX does not take {name}: use an expression"))),
        None => Ok(()),
    }
}

fn refuse_old_item(on_failure: Option<&ReturnValuesOnConditionCheckFailure>) -> Result<(), Invalid> {
    match on_failure {
        Some(ReturnValuesOnConditionCheckFailure::AllOld) => Err(Invalid(
            "DAX returns the old item of a failed condition only in transactions: send this request to DynamoDB"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn begin(number: i64) -> Encoder {
    let mut encoder = Encoder::default();
    encoder.int(SERVICE);
    encoder.int(number);
    encoder
}

/// Begins a request for an item.
fn begin_with_key(number: i64, known: &impl Known, table: Option<&str>, key: Option<&Item>) -> Result<Encoder, Stop> {
    let table = required(table, "TableName")?;
    let schema = known.schema(table)?;
    let key = required(key, "Key")?;
    schema.check(key)?;
    let mut encoder = begin(number);
    encoder.bytes(table.as_bytes());
    encoder.bytes(&schema.encode(key)?);
    Ok(encoder)
}

fn choice(names: &Names, name: &str) -> Result<i64, Invalid> {
    names.number(name).ok_or_else(|| Invalid(format!("DAX does not know {name}")))
}

/// Writes a choice, unless it is the default.
fn choose(encoder: &mut Encoder, key: i64, names: &Names, chosen: Option<&str>) -> Result<(), Invalid> {
    if let Some(chosen) = chosen.filter(|chosen| *chosen != "NONE") {
        encoder.int(key);
        encoder.int(choice(names, chosen)?);
    }
    Ok(())
}

/// The options that most requests have, in the order of the Node client.
fn common(
    encoder: &mut Encoder,
    capacity: Option<&ReturnConsumedCapacity>,
    metrics: Option<&ReturnItemCollectionMetrics>,
    values: Option<&ReturnValue>,
) -> Result<(), Invalid> {
    encoder.indefinite_map();
    choose(encoder, option::RETURN_CONSUMED_CAPACITY, &CONSUMED_CAPACITY, capacity.map(|one| one.as_str()))?;
    choose(encoder, option::RETURN_ITEM_COLLECTION_METRICS, &COLLECTION_METRICS, metrics.map(|one| one.as_str()))?;
    choose(encoder, option::RETURN_VALUES, &RETURN_VALUES, values.map(|one| one.as_str()))
}

fn small(encoder: &mut Encoder, key: i64, value: Option<i32>) {
    if let Some(value) = value {
        encoder.int(key);
        encoder.int(i64::from(value));
    }
}

fn expression(
    encoder: &mut Encoder,
    expressions: &mut Expressions,
    key: i64,
    purpose: Purpose,
    text: Option<&str>,
) -> Result<(), Invalid> {
    if let Some(text) = text {
        encoder.int(key);
        encoder.bytes(&expressions.encode(purpose, text)?);
    }
    Ok(())
}

fn projection(
    encoder: &mut Encoder,
    expressions: &mut Expressions,
    text: Option<&str>,
) -> Result<Option<Vec<Path>>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    let (bytes, paths) = expressions.projection(text)?;
    encoder.int(option::PROJECTION_EXPRESSION);
    encoder.bytes(&bytes);
    Ok(Some(paths))
}

/// The bytes of a projection, or null.
fn nullable_projection(
    encoder: &mut Encoder,
    text: Option<&str>,
    names: Option<&HashMap<String, String>>,
) -> Result<Option<Vec<Path>>, Invalid> {
    let mut expressions = Expressions::new(names, None);
    let paths = match text {
        Some(text) => {
            let (bytes, paths) = expressions.projection(text)?;
            encoder.bytes(&bytes);
            Some(paths)
        }
        None => {
            encoder.null();
            None
        }
    };
    expressions.finish()?;
    Ok(paths)
}

/// Writes the attributes of an item outside its key, as a byte string.
fn attributes(encoder: &mut Encoder, known: &impl Known, schema: &KeySchema, item: &Item) -> Result<(), Stop> {
    let names = schema.other_names(item);
    let id = known.list_id(names.clone())?;
    Ok(encoder.nested(|encoder| encode_attributes(item, &names, id, encoder))?)
}

/// Reads the attributes of an item outside its key.
fn read_attributes(decoder: &mut Decoder, known: &impl Known) -> Result<Item, Stop> {
    let bytes = decoder.bytes()?;
    read_list(&bytes, known)
}

fn read_list(bytes: &[u8], known: &impl Known) -> Result<Item, Stop> {
    let mut decoder = Decoder::new(bytes);
    let names = known.list_names(decoder.int()?)?;
    let mut item = Item::with_capacity(names.len() + 2);
    for name in names.iter() {
        item.insert(name.clone(), decode_value(&mut decoder)?);
    }
    decoder.finish()?;
    Ok(item)
}

/// Reads the values that a projection asked for.
fn read_projected(decoder: &mut Decoder, paths: &[Path]) -> Result<Item, Malformed> {
    let (mut item, mut parts) = (Item::new(), Vec::new());
    decoder.pairs(|decoder| {
        let place = usize::try_from(decoder.int()?).ok();
        let path = place.and_then(|place| paths.get(place)).ok_or(Malformed("a value that was not asked for"))?;
        let value = decode_value(decoder)?;
        match path.as_slice() {
            [Step::Name(name)] => _ = item.insert(name.clone(), value),
            path => parts.push((path, value)),
        }
        Ok::<_, Malformed>(())
    })?;
    for (name, part) in project(parts) {
        // A whole attribute has all that its parts have.
        item.entry(name).or_insert(part);
    }
    Ok(item)
}

/// Reads attributes that UPDATED_OLD or UPDATED_NEW asked for.
fn read_updated(decoder: &mut Decoder, known: &impl Known) -> Result<Item, Stop> {
    let bytes = decoder.bytes()?;
    let mut decoder = Decoder::new(&bytes);
    let names = known.list_names(decoder.int()?)?;
    let mut item = Item::new();
    decoder.pairs(|decoder| {
        let place = usize::try_from(decoder.int()?).ok();
        let name = place.and_then(|place| names.get(place)).ok_or(Malformed("an attribute without a name"))?;
        item.insert(name.clone(), decode_value(decoder)?);
        Ok::<_, Stop>(())
    })?;
    decoder.finish()?;
    Ok(item)
}

fn read_indexes(decoder: &mut Decoder) -> Result<Option<HashMap<String, Capacity>>, Malformed> {
    if decoder.null()? {
        return Ok(None);
    }
    let mut indexes = HashMap::new();
    decoder.pairs(|decoder| {
        let name = decoder.text()?.into_owned();
        indexes.insert(name, Capacity::builder().capacity_units(decoder.float()?).build());
        Ok::<_, Malformed>(())
    })?;
    Ok(Some(indexes))
}

fn read_capacity(decoder: &mut Decoder) -> Result<Option<ConsumedCapacity>, Malformed> {
    if decoder.null()? {
        return Ok(None);
    }
    let bytes = decoder.bytes()?;
    let mut decoder = Decoder::new(&bytes);
    let consumed = ConsumedCapacity::builder().table_name(decoder.text()?).capacity_units(decoder.float()?);
    let table = if decoder.null()? { None } else { Some(decoder.float()?) };
    let consumed = consumed.set_table(table.map(|units| Capacity::builder().capacity_units(units).build()));
    let consumed = consumed.set_global_secondary_indexes(read_indexes(&mut decoder)?);
    let consumed = consumed.set_local_secondary_indexes(read_indexes(&mut decoder)?);
    decoder.finish()?;
    Ok(Some(consumed.build()))
}

fn read_capacities(decoder: &mut Decoder) -> Result<Option<Vec<ConsumedCapacity>>, Malformed> {
    let mut capacities = Vec::new();
    decoder.each(|decoder| {
        capacities.extend(read_capacity(decoder)?);
        Ok::<_, Malformed>(())
    })?;
    Ok((!capacities.is_empty()).then_some(capacities))
}

fn read_units(decoder: &mut Decoder) -> Result<Capacity, Malformed> {
    let mut units = Capacity::builder();
    decoder.pairs(|decoder| {
        let key = decoder.int()?;
        let value = decoder.float()?;
        units = match key {
            capacity::UNITS => units.clone().capacity_units(value),
            capacity::READ_UNITS => units.clone().read_capacity_units(value),
            capacity::WRITE_UNITS => units.clone().write_capacity_units(value),
            _ => return Err(Malformed("an unknown capacity")),
        };
        Ok(())
    })?;
    Ok(units.build())
}

/// The consumed capacities of a transaction.
fn read_transaction_capacities(decoder: &mut Decoder) -> Result<Option<Vec<ConsumedCapacity>>, Malformed> {
    let mut capacities = Vec::new();
    if decoder.null()? {
        return Ok(None);
    }
    decoder.each(|decoder| {
        let mut one = ConsumedCapacity::builder();
        decoder.pairs(|decoder| {
            let consumed = std::mem::take(&mut one);
            one = match decoder.int()? {
                capacity::TABLE_NAME => consumed.table_name(decoder.text()?),
                capacity::UNITS => consumed.capacity_units(decoder.float()?),
                capacity::READ_UNITS => consumed.read_capacity_units(decoder.float()?),
                capacity::WRITE_UNITS => consumed.write_capacity_units(decoder.float()?),
                capacity::TABLE => consumed.table(read_units(decoder)?),
                key @ (capacity::GLOBAL_INDEXES | capacity::LOCAL_INDEXES) => {
                    let mut indexes = HashMap::new();
                    decoder.pairs(|decoder| {
                        let name = decoder.text()?.into_owned();
                        indexes.insert(name, read_units(decoder)?);
                        Ok::<_, Malformed>(())
                    })?;
                    match key {
                        capacity::GLOBAL_INDEXES => consumed.set_global_secondary_indexes(Some(indexes)),
                        _ => consumed.set_local_secondary_indexes(Some(indexes)),
                    }
                }
                _ => return Err(Malformed("an unknown capacity")),
            };
            Ok(())
        })?;
        capacities.push(one.build());
        Ok::<_, Malformed>(())
    })?;
    Ok((!capacities.is_empty()).then_some(capacities))
}

fn read_metrics(decoder: &mut Decoder, schema: &KeySchema) -> Result<Option<ItemCollectionMetrics>, Malformed> {
    if decoder.null()? {
        return Ok(None);
    }
    let bytes = decoder.bytes()?;
    let mut decoder = Decoder::new(&bytes);
    let metrics = ItemCollectionMetrics::builder().item_collection_key(&schema.hash.0, decode_value(&mut decoder)?);
    let metrics = metrics.size_estimate_range_gb(decoder.float()?).size_estimate_range_gb(decoder.float()?);
    decoder.finish()?;
    Ok(Some(metrics.build()))
}

type AllMetrics = Option<HashMap<String, Vec<ItemCollectionMetrics>>>;

fn read_all_metrics(decoder: &mut Decoder, known: &impl Known) -> Result<AllMetrics, Stop> {
    let mut all = HashMap::new();
    if decoder.null()? {
        return Ok(None);
    }
    decoder.pairs(|decoder| {
        let table = decoder.text()?.into_owned();
        let schema = known.schema(&table)?;
        let mut metrics = Vec::new();
        decoder.each(|decoder| {
            metrics.extend(read_metrics(decoder, &schema)?);
            Ok::<_, Malformed>(())
        })?;
        all.insert(table, metrics);
        Ok::<_, Stop>(())
    })?;
    Ok((!all.is_empty()).then_some(all))
}

impl Operation for GetItemInput {
    type Output = GetItemOutput;
    const WRITES: bool = false;

    ask_dynamodb!(get_item, set_table_name(table_name));

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[("AttributesToGet", self.attributes_to_get.is_some())])
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let mut encoder = begin_with_key(method::GET_ITEM, known, self.table_name(), self.key())?;
        common(&mut encoder, self.return_consumed_capacity(), None, None)?;
        if let Some(consistent) = self.consistent_read {
            encoder.int(option::CONSISTENT_READ);
            encoder.bool(consistent);
        }
        let mut expressions = Expressions::new(self.expression_attribute_names(), None);
        let paths = projection(&mut encoder, &mut expressions, self.projection_expression())?;
        expressions.finish()?;
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections: vec![paths] })
    }

    fn decode(&self, encoded: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<GetItemOutput, Stop> {
        let mut output = GetItemOutput::builder();
        if decoder.null()? {
            return Ok(output.build());
        }
        decoder.pairs(|decoder| {
            let read = std::mem::take(&mut output);
            output = match decoder.int()? {
                result::ITEM if decoder.null()? => read,
                result::ITEM => read.set_item(Some(match encoded.projections.first() {
                    Some(Some(paths)) => read_projected(decoder, paths)?,
                    _ => {
                        let mut item = read_attributes(decoder, known)?;
                        item.extend(
                            self.key().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())),
                        );
                        item
                    }
                })),
                result::CONSUMED_CAPACITY => read.set_consumed_capacity(read_capacity(decoder)?),
                _ => return Err(Malformed("an unknown part of a response").into()),
            };
            Ok::<_, Stop>(())
        })?;
        Ok(output.build())
    }
}

/// What comes back from a put, a delete or an update.
#[derive(Default)]
struct Written {
    attributes: Option<Item>,
    capacity: Option<ConsumedCapacity>,
    metrics: Option<ItemCollectionMetrics>,
}

fn read_written(
    decoder: &mut Decoder,
    known: &impl Known,
    table: Option<&str>,
    key: Option<&Item>,
    values: Option<&ReturnValue>,
) -> Result<Written, Stop> {
    let mut written = Written::default();
    if decoder.null()? {
        return Ok(written);
    }
    let schema = known.schema(required(table, "TableName")?)?;
    decoder.pairs(|decoder| {
        match decoder.int()? {
            result::ATTRIBUTES if decoder.null()? => {}
            result::ATTRIBUTES if matches!(values, Some(ReturnValue::UpdatedNew | ReturnValue::UpdatedOld)) => {
                written.attributes = Some(read_updated(decoder, known)?);
            }
            result::ATTRIBUTES => {
                let mut attributes = read_attributes(decoder, known)?;
                attributes.extend(key.map(|key| schema.key_of(key)).into_iter().flatten());
                written.attributes = Some(attributes);
            }
            result::CONSUMED_CAPACITY => written.capacity = read_capacity(decoder)?,
            result::ITEM_COLLECTION_METRICS => written.metrics = read_metrics(decoder, &schema)?,
            _ => return Err(Malformed("an unknown part of a response").into()),
        }
        Ok::<_, Stop>(())
    })?;
    Ok(written)
}

/// Writes the expressions of a put, a delete or an update, its last options.
fn end_write(
    mut encoder: Encoder,
    mut expressions: Expressions,
    condition: Option<&str>,
    update: Option<&str>,
) -> Result<Encoded, Stop> {
    expression(&mut encoder, &mut expressions, option::CONDITION_EXPRESSION, Purpose::Condition, condition)?;
    expression(&mut encoder, &mut expressions, option::UPDATE_EXPRESSION, Purpose::Update, update)?;
    expressions.finish()?;
    encoder.end();
    Ok(Encoded { request: encoder.buffer, projections: Vec::new() })
}

impl Operation for PutItemInput {
    type Output = PutItemOutput;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[("Expected", self.expected.is_some()), ("ConditionalOperator", self.conditional_operator.is_some())])?;
        refuse_old_item(self.return_values_on_condition_check_failure())
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let table = required(self.table_name(), "TableName")?;
        let schema = known.schema(table)?;
        let item = required(self.item(), "Item")?;
        let mut encoder = begin(method::PUT_ITEM);
        encoder.bytes(table.as_bytes());
        encoder.bytes(&schema.encode(item)?);
        attributes(&mut encoder, known, &schema, item)?;
        let values = self.return_values();
        common(&mut encoder, self.return_consumed_capacity(), self.return_item_collection_metrics(), values)?;
        let expressions = Expressions::new(self.expression_attribute_names(), self.expression_attribute_values());
        end_write(encoder, expressions, self.condition_expression(), None)
    }

    fn decode(&self, _: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<PutItemOutput, Stop> {
        let Written { attributes, capacity, metrics } =
            read_written(decoder, known, self.table_name(), self.item(), self.return_values())?;
        let output = PutItemOutput::builder().set_attributes(attributes).set_consumed_capacity(capacity);
        Ok(output.set_item_collection_metrics(metrics).build())
    }
}

impl Operation for DeleteItemInput {
    type Output = DeleteItemOutput;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[("Expected", self.expected.is_some()), ("ConditionalOperator", self.conditional_operator.is_some())])?;
        refuse_old_item(self.return_values_on_condition_check_failure())
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let mut encoder = begin_with_key(method::DELETE_ITEM, known, self.table_name(), self.key())?;
        let values = self.return_values();
        common(&mut encoder, self.return_consumed_capacity(), self.return_item_collection_metrics(), values)?;
        let expressions = Expressions::new(self.expression_attribute_names(), self.expression_attribute_values());
        end_write(encoder, expressions, self.condition_expression(), None)
    }

    fn decode(&self, _: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<DeleteItemOutput, Stop> {
        let Written { attributes, capacity, metrics } =
            read_written(decoder, known, self.table_name(), self.key(), self.return_values())?;
        let output = DeleteItemOutput::builder().set_attributes(attributes).set_consumed_capacity(capacity);
        Ok(output.set_item_collection_metrics(metrics).build())
    }
}

impl Operation for UpdateItemInput {
    type Output = UpdateItemOutput;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[
            ("AttributeUpdates", self.attribute_updates.is_some()),
            ("Expected", self.expected.is_some()),
            ("ConditionalOperator", self.conditional_operator.is_some()),
        ])?;
        refuse_old_item(self.return_values_on_condition_check_failure())
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let mut encoder = begin_with_key(method::UPDATE_ITEM, known, self.table_name(), self.key())?;
        let values = self.return_values();
        common(&mut encoder, self.return_consumed_capacity(), self.return_item_collection_metrics(), values)?;
        let expressions = Expressions::new(self.expression_attribute_names(), self.expression_attribute_values());
        end_write(encoder, expressions, self.condition_expression(), self.update_expression())
    }

    fn decode(&self, _: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<UpdateItemOutput, Stop> {
        let Written { attributes, capacity, metrics } =
            read_written(decoder, known, self.table_name(), self.key(), self.return_values())?;
        let output = UpdateItemOutput::builder().set_attributes(attributes).set_consumed_capacity(capacity);
        Ok(output.set_item_collection_metrics(metrics).build())
    }
}

/// Query and Scan have most of their options in common.
struct Page<'a> {
    table: &'a str,
    index: Option<&'a str>,
    start: Option<&'a Item>,
    consistent: Option<bool>,
    limit: Option<i32>,
    select: Option<&'a str>,
    capacity: Option<&'a ReturnConsumedCapacity>,
    filter: Option<&'a str>,
    projection: Option<&'a str>,
}

impl Page<'_> {
    fn encode(
        &self,
        known: &impl Known,
        mut encoder: Encoder,
        mut expressions: Expressions,
        own: impl FnOnce(&mut Encoder),
    ) -> Result<Encoded, Stop> {
        common(&mut encoder, self.capacity, None, None)?;
        if let Some(consistent) = self.consistent {
            encoder.int(option::CONSISTENT_READ);
            encoder.int(i64::from(consistent));
        }
        own(&mut encoder);
        if let Some(index) = self.index {
            encoder.int(option::INDEX_NAME);
            encoder.bytes(index.as_bytes());
        }
        if let Some(select) = self.select {
            encoder.int(option::SELECT);
            encoder.int(choice(&SELECT, select)?);
        }
        small(&mut encoder, option::LIMIT, self.limit);
        if let Some(start) = self.start {
            encoder.int(option::EXCLUSIVE_START_KEY);
            if self.index.is_some() {
                encoder.nested(|encoder| encode_compound_key(start, encoder))?;
            } else {
                let schema = known.schema(self.table)?;
                schema.check(start)?;
                encoder.bytes(&schema.encode(start)?);
            }
        }
        expression(&mut encoder, &mut expressions, option::FILTER_EXPRESSION, Purpose::Filter, self.filter)?;
        let paths = projection(&mut encoder, &mut expressions, self.projection)?;
        expressions.finish()?;
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections: vec![paths] })
    }
}

/// Reads the response to Query, which Scan's is like.
fn read_page(
    decoder: &mut Decoder,
    encoded: &Encoded,
    known: &impl Known,
    table: Option<&str>,
    index: Option<&str>,
) -> Result<QueryOutput, Stop> {
    let mut output = QueryOutput::builder();
    if decoder.null()? {
        return Ok(output.build());
    }
    let schema = known.schema(required(table, "TableName")?)?;
    decoder.pairs(|decoder| {
        let read = std::mem::take(&mut output);
        let count = |decoder: &mut Decoder| i32::try_from(decoder.int()?).map_err(|_| Malformed("no 32-bit integer"));
        output = match decoder.int()? {
            result::ITEMS if decoder.null()? => read,
            result::ITEMS => {
                let mut items = Vec::new();
                decoder.each(|decoder| {
                    items.push(match encoded.projections.first() {
                        Some(Some(paths)) => read_projected(decoder, paths)?,
                        _ => {
                            if decoder.array()? != 2 {
                                return Err(Malformed("an item of another form").into());
                            }
                            let key = schema.decode(&decoder.bytes()?)?;
                            let mut item = read_attributes(decoder, known)?;
                            item.extend(key);
                            item
                        }
                    });
                    Ok::<_, Stop>(())
                })?;
                read.set_items(Some(items))
            }
            result::COUNT => read.count(count(decoder)?),
            result::SCANNED_COUNT => read.scanned_count(count(decoder)?),
            result::LAST_EVALUATED_KEY if decoder.null()? => read,
            result::LAST_EVALUATED_KEY => {
                let bytes = decoder.bytes()?;
                read.set_last_evaluated_key(Some(match index {
                    Some(_) => {
                        let mut key = Decoder::new(&bytes);
                        let read = decode_compound_key(&mut key)?;
                        key.finish()?;
                        read
                    }
                    None => schema.decode(&bytes)?,
                }))
            }
            result::CONSUMED_CAPACITY => read.set_consumed_capacity(read_capacity(decoder)?),
            _ => return Err(Malformed("an unknown part of a response").into()),
        };
        Ok::<_, Stop>(())
    })?;
    Ok(output.build())
}

impl Operation for QueryInput {
    type Output = QueryOutput;
    const WRITES: bool = false;

    ask_dynamodb!(query, set_table_name(table_name));

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[
            ("AttributesToGet", self.attributes_to_get.is_some()),
            ("KeyConditions", self.key_conditions.is_some()),
            ("QueryFilter", self.query_filter.is_some()),
            ("ConditionalOperator", self.conditional_operator.is_some()),
        ])
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let table = required(self.table_name(), "TableName")?;
        let condition = required(self.key_condition_expression(), "KeyConditionExpression")?;
        let mut expressions = Expressions::new(self.expression_attribute_names(), self.expression_attribute_values());
        let mut encoder = begin(method::QUERY);
        encoder.bytes(table.as_bytes());
        encoder.bytes(&expressions.encode(Purpose::KeyCondition, condition)?);
        let page = Page {
            table,
            index: self.index_name(),
            start: self.exclusive_start_key(),
            consistent: self.consistent_read,
            limit: self.limit,
            select: self.select().map(|select| select.as_str()),
            capacity: self.return_consumed_capacity(),
            filter: self.filter_expression(),
            projection: self.projection_expression(),
        };
        page.encode(known, encoder, expressions, |encoder| {
            small(encoder, option::SCAN_INDEX_FORWARD, self.scan_index_forward.map(i32::from));
        })
    }

    fn decode(&self, encoded: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<QueryOutput, Stop> {
        read_page(decoder, encoded, known, self.table_name(), self.index_name())
    }
}

impl Operation for ScanInput {
    type Output = ScanOutput;
    const WRITES: bool = false;

    ask_dynamodb!(scan, set_table_name(table_name));

    fn check(&self) -> Result<(), Invalid> {
        refuse(&[
            ("AttributesToGet", self.attributes_to_get.is_some()),
            ("ScanFilter", self.scan_filter.is_some()),
            ("ConditionalOperator", self.conditional_operator.is_some()),
        ])
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let table = required(self.table_name(), "TableName")?;
        let expressions = Expressions::new(self.expression_attribute_names(), self.expression_attribute_values());
        let mut encoder = begin(method::SCAN);
        encoder.bytes(table.as_bytes());
        let page = Page {
            table,
            index: self.index_name(),
            start: self.exclusive_start_key(),
            consistent: self.consistent_read,
            limit: self.limit,
            select: self.select().map(|select| select.as_str()),
            capacity: self.return_consumed_capacity(),
            filter: self.filter_expression(),
            projection: self.projection_expression(),
        };
        page.encode(known, encoder, expressions, |encoder| {
            small(encoder, option::TOTAL_SEGMENTS, self.total_segments);
            small(encoder, option::SEGMENT, self.segment);
        })
    }

    fn decode(&self, encoded: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<ScanOutput, Stop> {
        let page = read_page(decoder, encoded, known, self.table_name(), self.index_name())?;
        let QueryOutput { items, count, scanned_count, last_evaluated_key, consumed_capacity, .. } = page;
        let output = ScanOutput::builder().set_items(items).count(count).scanned_count(scanned_count);
        Ok(output.set_last_evaluated_key(last_evaluated_key).set_consumed_capacity(consumed_capacity).build())
    }
}

fn sorted<V>(map: &HashMap<String, V>) -> Vec<(&String, &V)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_unstable_by_key(|(name, _)| *name);
    pairs
}

impl Operation for BatchGetItemInput {
    type Output = BatchGetItemOutput;
    const WRITES: bool = false;
    // An array that should have three values, and the third beside it.
    const VALUES: usize = 2;

    ask_dynamodb!(batch_get_item, set_request_items(request_items));

    fn check(&self) -> Result<(), Invalid> {
        let mut tables = self.request_items().into_iter().flat_map(HashMap::values);
        refuse(&[("AttributesToGet", tables.any(|of| of.attributes_to_get.is_some()))])
    }

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let tables = sorted(required(self.request_items(), "RequestItems")?);
        let mut encoder = begin(method::BATCH_GET_ITEM);
        let mut projections = Vec::new();
        encoder.map(tables.len());
        for (table, of) in tables {
            let schema = known.schema(table)?;
            encoder.text(table);
            encoder.array(3);
            encoder.bool(of.consistent_read.unwrap_or_default());
            let names = of.expression_attribute_names();
            projections.push(nullable_projection(&mut encoder, of.projection_expression(), names)?);
            encoder.array(of.keys().len());
            for key in of.keys() {
                schema.check(key)?;
                encoder.bytes(&schema.encode(key)?);
            }
        }
        common(&mut encoder, self.return_consumed_capacity(), None, None)?;
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections })
    }

    fn decode(&self, encoded: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<BatchGetItemOutput, Stop> {
        let asked = sorted(required(self.request_items(), "RequestItems")?);
        if decoder.array()? != 2 {
            return Err(Malformed("a response to a batch of another form").into());
        }
        let mut responses = HashMap::new();
        decoder.pairs(|decoder| {
            let table = decoder.text()?.into_owned();
            let place = asked.binary_search_by_key(&&table, |(name, _)| name);
            let place = place.map_err(|_| Malformed("items of a table that was not asked for"))?;
            let mut items = Vec::new();
            match encoded.projections.get(place) {
                Some(Some(paths)) => decoder.each(|decoder| {
                    items.push(read_projected(decoder, paths)?);
                    Ok::<_, Stop>(())
                })?,
                _ => {
                    let schema = known.schema(&table)?;
                    let values = decoder.array()?;
                    if values % 2 != 0 {
                        return Err(Malformed("an item without attributes").into());
                    }
                    for _ in 0..values / 2 {
                        let key = schema.decode(&decoder.bytes()?)?;
                        let mut item = read_attributes(decoder, known)?;
                        item.extend(key);
                        items.push(item);
                    }
                }
            }
            responses.insert(table, items);
            Ok::<_, Stop>(())
        })?;
        let mut unprocessed = HashMap::new();
        decoder.pairs(|decoder| {
            let table = decoder.text()?.into_owned();
            let place = asked.binary_search_by_key(&&table, |(name, _)| name);
            let place = place.map_err(|_| Malformed("keys of a table that was not asked for"))?;
            let schema = known.schema(&table)?;
            let mut rest = asked[place].1.clone();
            rest.keys.clear();
            decoder.each(|decoder| {
                rest.keys.push(schema.decode(&decoder.bytes()?)?);
                Ok::<_, Stop>(())
            })?;
            if !rest.keys.is_empty() {
                unprocessed.insert(table, rest);
            }
            Ok::<_, Stop>(())
        })?;
        let output = BatchGetItemOutput::builder().set_responses(Some(responses));
        let output = output.set_unprocessed_keys(Some(unprocessed));
        Ok(output.set_consumed_capacity(read_capacities(decoder)?).build())
    }
}

impl Operation for BatchWriteItemInput {
    type Output = BatchWriteItemOutput;
    const WRITES: bool = true;
    const VALUES: usize = 3;

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let tables = sorted(required(self.request_items(), "RequestItems")?);
        let mut encoder = begin(method::BATCH_WRITE_ITEM);
        encoder.map(tables.len());
        for (table, writes) in tables {
            let schema = known.schema(table)?;
            encoder.text(table);
            encoder.array(writes.len() * 2);
            for write in writes {
                match (write.put_request(), write.delete_request()) {
                    (Some(put), None) => {
                        encoder.bytes(&schema.encode(put.item())?);
                        attributes(&mut encoder, known, &schema, put.item())?;
                    }
                    (None, Some(delete)) => {
                        schema.check(delete.key())?;
                        encoder.bytes(&schema.encode(delete.key())?);
                        encoder.null();
                    }
                    _ => return Err(Invalid("A write has to be a put or a delete".to_owned()).into()),
                }
            }
        }
        common(&mut encoder, self.return_consumed_capacity(), self.return_item_collection_metrics(), None)?;
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections: Vec::new() })
    }

    fn decode(&self, _: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<BatchWriteItemOutput, Stop> {
        let mut unprocessed = HashMap::new();
        decoder.pairs(|decoder| {
            let table = decoder.text()?.into_owned();
            let schema = known.schema(&table)?;
            let values = decoder.array()?;
            if values % 2 != 0 {
                return Err(Malformed("a write without attributes").into());
            }
            let mut writes = Vec::new();
            for _ in 0..values / 2 {
                let key = schema.decode(&decoder.bytes()?)?;
                let write = WriteRequest::builder();
                let built = |_| Malformed("a write of another form");
                writes.push(if decoder.null()? {
                    let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(built)?;
                    write.delete_request(delete).build()
                } else {
                    let mut item = read_attributes(decoder, known)?;
                    item.extend(key);
                    let put = PutRequest::builder().set_item(Some(item)).build().map_err(built)?;
                    write.put_request(put).build()
                });
            }
            unprocessed.insert(table, writes);
            Ok::<_, Stop>(())
        })?;
        let output = BatchWriteItemOutput::builder().set_unprocessed_items(Some(unprocessed));
        let output = output.set_consumed_capacity(read_capacities(decoder)?);
        Ok(output.set_item_collection_metrics(read_all_metrics(decoder, known)?).build())
    }
}

impl Operation for TransactGetItemsInput {
    type Output = TransactGetItemsOutput;
    const WRITES: bool = false;

    ask_dynamodb!(transact_get_items, set_transact_items(transact_items));

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let count = self.transact_items().len();
        let mut tables = begin(method::TRANSACT_GET_ITEMS);
        let (mut keys, mut expressions) = (Encoder::default(), Encoder::default());
        for part in [&mut tables, &mut keys, &mut expressions] {
            part.array(count);
        }
        let mut projections = Vec::with_capacity(count);
        for item in self.transact_items() {
            let get = required(item.get(), "Get")?;
            let schema = known.schema(get.table_name())?;
            schema.check(get.key())?;
            tables.bytes(get.table_name().as_bytes());
            keys.bytes(&schema.encode(get.key())?);
            let names = get.expression_attribute_names();
            projections.push(nullable_projection(&mut expressions, get.projection_expression(), names)?);
        }
        let mut encoder = tables;
        encoder.raw(&keys.buffer);
        encoder.raw(&expressions.buffer);
        common(&mut encoder, self.return_consumed_capacity(), None, None)?;
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections })
    }

    fn decode(
        &self,
        encoded: &Encoded,
        known: &impl Known,
        decoder: &mut Decoder,
    ) -> Result<TransactGetItemsOutput, Stop> {
        let items = self.transact_items();
        if decoder.array()? != 2 {
            return Err(Malformed("a response to a transaction of another form").into());
        }
        if decoder.array()? != items.len() as u64 {
            return Err(Malformed("another number of items than were asked for").into());
        }
        let mut output = TransactGetItemsOutput::builder();
        for (item, paths) in items.iter().zip(&encoded.projections) {
            let response = ItemResponse::builder();
            output = output.responses(if decoder.null()? {
                response.build()
            } else {
                let found = match paths {
                    Some(paths) => read_projected(decoder, paths)?,
                    None => {
                        let mut found = read_attributes(decoder, known)?;
                        let key = item.get().map(|get| get.key()).into_iter().flatten();
                        found.extend(key.map(|(name, value)| (name.clone(), value.clone())));
                        found
                    }
                };
                response.set_item(Some(found)).build()
            });
        }
        Ok(output.set_consumed_capacity(read_transaction_capacities(decoder)?).build())
    }
}

/// One item of a transaction that writes.
struct Part<'a> {
    operation: i64,
    table: &'a str,
    /// The key, or the item of a put.
    key: &'a Item,
    puts: bool,
    condition: Option<&'a str>,
    update: Option<&'a str>,
    names: &'a AttributeNames,
    values: &'a Option<Item>,
    on_failure: Option<&'a ReturnValuesOnConditionCheckFailure>,
}

impl<'a> Part<'a> {
    fn of(item: &'a TransactWriteItem) -> Result<Self, Invalid> {
        Ok(match (&item.put, &item.delete, &item.update, &item.condition_check) {
            (Some(put), None, None, None) => Self {
                operation: operation::PUT,
                table: &put.table_name,
                key: &put.item,
                puts: true,
                condition: put.condition_expression(),
                update: None,
                names: &put.expression_attribute_names,
                values: &put.expression_attribute_values,
                on_failure: put.return_values_on_condition_check_failure(),
            },
            (None, Some(delete), None, None) => Self {
                operation: operation::DELETE,
                table: &delete.table_name,
                key: &delete.key,
                puts: false,
                condition: delete.condition_expression(),
                update: None,
                names: &delete.expression_attribute_names,
                values: &delete.expression_attribute_values,
                on_failure: delete.return_values_on_condition_check_failure(),
            },
            (None, None, Some(update), None) => Self {
                operation: operation::UPDATE,
                table: &update.table_name,
                key: &update.key,
                puts: false,
                condition: update.condition_expression(),
                update: Some(&update.update_expression),
                names: &update.expression_attribute_names,
                values: &update.expression_attribute_values,
                on_failure: update.return_values_on_condition_check_failure(),
            },
            (None, None, None, Some(check)) => Self {
                operation: operation::CONDITION_CHECK,
                table: &check.table_name,
                key: &check.key,
                puts: false,
                condition: Some(&check.condition_expression),
                update: None,
                names: &check.expression_attribute_names,
                values: &check.expression_attribute_values,
                on_failure: check.return_values_on_condition_check_failure(),
            },
            _ => {
                let one = "TransactItems can only contain one of Check, Put, Update or Delete";
                return Err(Invalid(one.to_owned()));
            }
        })
    }
}

impl Operation for TransactWriteItemsInput {
    type Output = TransactWriteItemsOutput;
    const WRITES: bool = true;

    fn encode(&self, known: &impl Known) -> Result<Encoded, Stop> {
        let count = self.transact_items().len();
        let mut operations = begin(method::TRANSACT_WRITE_ITEMS);
        let [mut tables, mut keys, mut items, mut failures, mut conditions, mut updates] =
            std::array::from_fn(|_| Encoder::default());
        for part in [&mut operations, &mut tables, &mut keys, &mut items, &mut failures, &mut conditions, &mut updates]
        {
            part.array(count);
        }
        for item in self.transact_items() {
            let part = Part::of(item)?;
            let schema = known.schema(part.table)?;
            operations.int(part.operation);
            tables.bytes(part.table.as_bytes());
            keys.bytes(&schema.encode(part.key)?);
            if part.puts {
                attributes(&mut items, known, &schema, part.key)?;
            } else {
                schema.check(part.key)?;
                items.null();
            }
            failures.int(choice(&ON_CONDITION_FAILURE, part.on_failure.map_or("NONE", |one| one.as_str()))?);
            let mut expressions = Expressions::new(part.names.as_ref(), part.values.as_ref());
            for (encoder, purpose, text) in
                [(&mut conditions, Purpose::Condition, part.condition), (&mut updates, Purpose::Update, part.update)]
            {
                match text {
                    Some(text) => encoder.bytes(&expressions.encode(purpose, text)?),
                    None => encoder.null(),
                }
            }
            expressions.finish()?;
        }
        let mut encoder = operations;
        for part in [tables, keys, items] {
            encoder.raw(&part.buffer);
        }
        encoder.null();
        for part in [failures, conditions, updates] {
            encoder.raw(&part.buffer);
        }
        common(&mut encoder, self.return_consumed_capacity(), self.return_item_collection_metrics(), None)?;
        if let Some(token) = self.client_request_token() {
            encoder.int(option::CLIENT_REQUEST_TOKEN);
            encoder.text(token);
        }
        encoder.end();
        Ok(Encoded { request: encoder.buffer, projections: Vec::new() })
    }

    fn decode(&self, _: &Encoded, known: &impl Known, decoder: &mut Decoder) -> Result<TransactWriteItemsOutput, Stop> {
        if decoder.array()? != 3 {
            return Err(Malformed("a response to a transaction of another form").into());
        }
        decoder.skip()?;
        let output = TransactWriteItemsOutput::builder();
        let output = output.set_consumed_capacity(read_transaction_capacities(decoder)?);
        Ok(output.set_item_collection_metrics(read_all_metrics(decoder, known)?).build())
    }

    fn reasons(&self, known: &impl Known, response: &[u8]) -> Result<Vec<CancellationReason>, Stop> {
        let reasons = reasons(response)?;
        if !reasons.is_empty() && reasons.len() != self.transact_items().len() {
            return Err(Malformed("another number of reasons than of items").into());
        }
        let mut read = Vec::with_capacity(reasons.len());
        for (item, (code, message, attributes)) in self.transact_items().iter().zip(reasons) {
            let found = match attributes {
                Some(bytes) => {
                    let part = Part::of(item)?;
                    let mut found = read_list(&bytes, known)?;
                    found.extend(known.schema(part.table)?.key_of(part.key));
                    Some(found)
                }
                None => None,
            };
            let reason = CancellationReason::builder().set_code(code).set_message(message).set_item(found);
            read.push(reason.build());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{AttributeValue, Get, KeysAndAttributes, Put, TransactGetItem};

    use super::*;
    use crate::connection::service_error;
    use crate::known_table::{self, Here, key};
    use crate::wire::cbor::Scanner;
    use crate::wire::value::encode_value;

    fn item() -> Item {
        let list = AttributeValue::L(vec![AttributeValue::Null(true), AttributeValue::Bool(false)]);
        let mut item = key();
        item.insert("a".to_owned(), AttributeValue::M([("list".to_owned(), list)].into()));
        item.insert("b".to_owned(), AttributeValue::Ns(vec!["12345678901234567890123".to_owned(), "0.5".to_owned()]));
        item
    }

    fn known_key() -> Vec<u8> {
        Here.schema("table").map(|schema| schema.encode(&key())).expect("known").expect("valid")
    }

    fn write_attributes(encoder: &mut Encoder) {
        let schema = Here.schema("table").expect("known");
        attributes(encoder, &Here, &schema, &item()).expect("valid");
    }

    fn write_capacity(encoder: &mut Encoder) {
        let written: Result<(), Stop> = encoder.nested(|encoder| {
            encoder.text("table");
            encoder.float(1.5);
            encoder.float(0.5);
            encoder.map(1);
            encoder.text("index");
            encoder.float(1.0);
            encoder.null();
            Ok(())
        });
        written.expect("valid");
    }

    /// See [`known_table::try_all`].
    fn try_all<O: Operation>(operation: &O, answer: Encoder) -> O::Output {
        let encoded = operation.encode(&Here).expect("valid");
        let read = |bytes: &[u8]| -> Result<O::Output, Stop> {
            let mut scanner = Scanner::default();
            if !scanner.complete(bytes, O::VALUES)? || scanner.position < bytes.len() {
                return Err(Malformed("not one answer").into());
            }
            let mut decoder = Decoder::new(bytes);
            let output = operation.decode(&encoded, &Here, &mut decoder)?;
            decoder.finish()?;
            Ok(output)
        };
        known_table::try_all(&answer.buffer, read)
    }

    #[test]
    fn an_item_is_read_whole_or_not_at_all() {
        let mut answer = Encoder::default();
        answer.indefinite_map();
        answer.int(result::ITEM);
        write_attributes(&mut answer);
        answer.int(result::CONSUMED_CAPACITY);
        write_capacity(&mut answer);
        answer.end();
        let input = GetItemInput::builder().table_name("table").set_key(Some(key())).build().expect("complete");
        let output = try_all(&input, answer);
        assert_eq!(output.item, Some(item()));
        let indexes = output.consumed_capacity.and_then(|capacity| capacity.global_secondary_indexes);
        assert_eq!(indexes.and_then(|indexes| indexes["index"].capacity_units), Some(1.0));
    }

    #[test]
    fn values_of_a_projection_are_put_where_its_paths_say() {
        let mut answer = Encoder::default();
        answer.indefinite_map();
        answer.int(result::ITEM);
        answer.map(3);
        for (place, value) in [(2, "at 0"), (0, "at 5"), (1, "name")] {
            answer.int(place);
            encode_value(&AttributeValue::S(value.to_owned()), &mut answer).expect("valid");
        }
        answer.end();
        let input = GetItemInput::builder().table_name("table").set_key(Some(key()));
        let input = input.projection_expression("#l[5].x, b, #l[0]").expression_attribute_names("#l", "a list");
        let output = try_all(&input.build().expect("complete"), answer);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let fifth = AttributeValue::M([("x".to_owned(), text("at 5"))].into());
        let list = AttributeValue::L(vec![text("at 0"), fifth]);
        assert_eq!(output.item, Some(Item::from([("a list".to_owned(), list), ("b".to_owned(), text("name"))])));
    }

    #[test]
    fn a_batch_is_read_with_the_part_that_is_outside_its_array() {
        let mut answer = Encoder::default();
        answer.array(2);
        answer.map(1);
        answer.text("table");
        answer.array(2);
        answer.bytes(&known_key());
        write_attributes(&mut answer);
        answer.map(1);
        answer.text("table");
        answer.array(1);
        answer.bytes(&known_key());
        answer.array(1);
        write_capacity(&mut answer);
        let of = KeysAndAttributes::builder().keys(key()).consistent_read(true).build().expect("complete");
        let input = BatchGetItemInput::builder().request_items("table", of).build().expect("complete");
        let output = try_all(&input, answer);
        assert_eq!(output.responses, Some([("table".to_owned(), vec![item()])].into()));
        let unprocessed = output.unprocessed_keys.clone().expect("one");
        assert_eq!(unprocessed["table"].keys, [key()]);
        assert_eq!(unprocessed["table"].consistent_read, Some(true));
        assert_eq!(output.consumed_capacity().len(), 1);
    }

    #[test]
    fn what_was_not_written_comes_back_as_it_was_asked_for() {
        let mut answer = Encoder::default();
        answer.map(1);
        answer.text("table");
        answer.array(4);
        answer.bytes(&known_key());
        write_attributes(&mut answer);
        answer.bytes(&known_key());
        answer.null();
        answer.array(0);
        answer.map(0);
        let put = PutRequest::builder().set_item(Some(item())).build().expect("complete");
        let put = WriteRequest::builder().put_request(put).build();
        let delete = DeleteRequest::builder().set_key(Some(key())).build().expect("complete");
        let writes = vec![put, WriteRequest::builder().delete_request(delete).build()];
        let input = BatchWriteItemInput::builder().request_items("table", writes.clone()).build().expect("complete");
        assert_eq!(try_all(&input, answer).unprocessed_items, Some([("table".to_owned(), writes)].into()));
    }

    #[test]
    fn pages_and_transactions_are_read_whole_or_not_at_all() {
        let mut answer = Encoder::default();
        answer.indefinite_map();
        answer.int(result::ITEMS);
        answer.array(1);
        answer.array(2);
        answer.bytes(&known_key());
        write_attributes(&mut answer);
        for (key, count) in [(result::COUNT, 1), (result::SCANNED_COUNT, 70_000)] {
            answer.int(key);
            answer.int(count);
        }
        answer.int(result::LAST_EVALUATED_KEY);
        answer.bytes(&known_key());
        answer.end();
        let output = try_all(&ScanInput::builder().table_name("table").build().expect("complete"), answer);
        assert_eq!(output.items, Some(vec![item()]));
        assert_eq!((output.count, output.scanned_count), (1, 70_000));
        assert_eq!(output.last_evaluated_key, Some(key()));

        let mut answer = Encoder::default();
        answer.array(2);
        answer.array(2);
        answer.null();
        write_attributes(&mut answer);
        answer.array(1);
        answer.map(2);
        answer.int(capacity::TABLE_NAME);
        answer.text("table");
        answer.int(capacity::READ_UNITS);
        answer.float(2.0);
        let get = Get::builder().table_name("table").set_key(Some(key())).build().expect("complete");
        let get = TransactGetItem::builder().get(get).build();
        let input = TransactGetItemsInput::builder().transact_items(get.clone()).transact_items(get);
        let output = try_all(&input.build().expect("complete"), answer);
        let items: Vec<_> = output.responses().iter().map(|response| response.item.clone()).collect();
        assert_eq!(items, [None, Some(item())]);
        assert_eq!(output.consumed_capacity()[0].read_capacity_units, Some(2.0));
    }

    #[test]
    fn a_page_of_an_index_is_read_whole_or_not_at_all() {
        let mut last = key();
        last.insert("color".to_owned(), AttributeValue::S("red".to_owned()));
        let mut answer = Encoder::default();
        answer.indefinite_map();
        answer.int(result::ITEMS);
        answer.array(2);
        for name in ["one", "two"] {
            answer.map(1);
            answer.int(1);
            encode_value(&AttributeValue::S(name.to_owned()), &mut answer).expect("valid");
        }
        answer.int(result::COUNT);
        answer.int(2);
        answer.int(result::LAST_EVALUATED_KEY);
        let written: Result<(), Invalid> = answer.nested(|encoder| encode_compound_key(&last, encoder));
        written.expect("valid");
        answer.end();
        let input = QueryInput::builder().table_name("table").index_name("index").key_condition_expression("h = :h");
        let input = input.expression_attribute_values(":h", AttributeValue::S("hash".to_owned()));
        let output = try_all(&input.projection_expression("absent, b").build().expect("complete"), answer);
        let named = |name: &str| Item::from([("b".to_owned(), AttributeValue::S(name.to_owned()))]);
        assert_eq!(output.items, Some(vec![named("one"), named("two")]));
        assert_eq!(output.last_evaluated_key, Some(last));
    }

    fn write_metrics(encoder: &mut Encoder) {
        let written: Result<(), Stop> = encoder.nested(|encoder| {
            encode_value(&AttributeValue::S("hash".to_owned()), encoder)?;
            encoder.float(0.5);
            encoder.float(1.5);
            Ok(())
        });
        written.expect("valid");
    }

    #[test]
    fn what_a_write_returns_is_read_whole_or_not_at_all() {
        let answer = |attributes: &dyn Fn(&mut Encoder)| {
            let mut answer = Encoder::default();
            answer.indefinite_map();
            answer.int(result::ATTRIBUTES);
            attributes(&mut answer);
            answer.int(result::CONSUMED_CAPACITY);
            write_capacity(&mut answer);
            answer.int(result::ITEM_COLLECTION_METRICS);
            write_metrics(&mut answer);
            answer.end();
            answer
        };
        let put = PutItemInput::builder().table_name("table").set_item(Some(item())).return_values(ReturnValue::AllOld);
        let output = try_all(&put.build().expect("complete"), answer(&write_attributes));
        assert_eq!(output.attributes, Some(item()));
        let metrics = output.item_collection_metrics.expect("metrics");
        assert_eq!(metrics.size_estimate_range_gb(), [0.5, 1.5]);
        let delete = DeleteItemInput::builder().table_name("table").set_key(Some(key()));
        let output =
            try_all(&delete.return_values(ReturnValue::AllOld).build().expect("complete"), answer(&write_attributes));
        assert_eq!(output.attributes, Some(item()));
        let updated = |encoder: &mut Encoder| {
            let written: Result<(), Stop> = encoder.nested(|encoder| {
                encoder.int(2);
                encoder.map(1);
                encoder.int(1);
                Ok(encode_value(&AttributeValue::Bool(true), encoder)?)
            });
            written.expect("valid");
        };
        let update = UpdateItemInput::builder().table_name("table").set_key(Some(key())).update_expression("REMOVE a");
        let update = update.return_values(ReturnValue::UpdatedNew).build().expect("complete");
        let output = try_all(&update, answer(&updated));
        assert_eq!(output.attributes, Some([("b".to_owned(), AttributeValue::Bool(true))].into()));
    }

    #[test]
    fn a_transaction_that_wrote_is_read_whole_or_not_at_all() {
        let mut answer = Encoder::default();
        answer.array(3);
        answer.array(0);
        answer.array(1);
        answer.map(2);
        answer.int(capacity::TABLE_NAME);
        answer.text("table");
        answer.int(capacity::LOCAL_INDEXES);
        answer.map(1);
        answer.text("index");
        answer.map(1);
        answer.int(capacity::WRITE_UNITS);
        answer.float(2.0);
        answer.map(1);
        answer.text("table");
        answer.array(1);
        write_metrics(&mut answer);
        let put = Put::builder().table_name("table").set_item(Some(item())).build().expect("complete");
        let input = TransactWriteItemsInput::builder().transact_items(TransactWriteItem::builder().put(put).build());
        let output = try_all(&input.build().expect("complete"), answer);
        let indexes = output.consumed_capacity()[0].local_secondary_indexes.as_ref().expect("one");
        assert_eq!(indexes["index"].write_capacity_units, Some(2.0));
        assert_eq!(output.item_collection_metrics.expect("metrics")["table"].len(), 1);
    }

    #[test]
    fn each_reason_of_a_cancelled_transaction_has_its_item() {
        let mut answer = Encoder::default();
        answer.array(5);
        [4, 37, 38, 39, 58].into_iter().for_each(|code| answer.int(code));
        answer.text("cancelled");
        answer.array(4);
        answer.text("id");
        answer.text("TransactionCanceledException");
        answer.int(400);
        answer.array(6);
        answer.text("None");
        answer.null();
        answer.null();
        answer.text("ConditionalCheckFailed");
        answer.text("The conditional request failed");
        write_attributes(&mut answer);
        let put = Put::builder().table_name("table").set_item(Some(item())).build().expect("complete");
        let part = TransactWriteItem::builder().put(put).build();
        let input = TransactWriteItemsInput::builder().transact_items(part.clone()).transact_items(part);
        let input = input.build().expect("complete");
        let reasons = known_table::try_all(&answer.buffer, |bytes| {
            let _ = service_error(bytes);
            input.reasons(&Here, bytes)
        });
        let codes: Vec<_> = reasons.iter().map(|reason| (reason.code(), reason.item().cloned())).collect();
        assert_eq!(codes, [(Some("None"), None), (Some("ConditionalCheckFailed"), Some(item()))]);
    }

    #[test]
    fn what_has_to_be_asked_for_is_said() {
        let mut input = PutItemInput::builder().table_name("other").set_item(Some(item())).build().expect("complete");
        let unknown = |input: &PutItemInput| match input.encode(&Here) {
            Err(Stop::Unknown(unknown)) => unknown,
            _ => panic!("everything is known"),
        };
        assert_eq!(unknown(&input), Unknown::Schema("other".to_owned()));
        input.table_name = Some("table".to_owned());
        input.item.as_mut().and_then(|item| item.remove("b"));
        assert_eq!(unknown(&input), Unknown::ListId(vec!["a".to_owned()]));
    }
}
