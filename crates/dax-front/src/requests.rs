//! The ten operations: from the protocol to DynamoDB, and back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{
    AttributeValue, Capacity, ConditionCheck, ConsumedCapacity, Delete, DeleteRequest, Get, ItemCollectionMetrics,
    KeysAndAttributes, Put, PutRequest, ReturnConsumedCapacity, ReturnItemCollectionMetrics, ReturnValue,
    ReturnValuesOnConditionCheckFailure, Select, TransactGetItem, TransactWriteItem, Update, WriteRequest,
};
use bytes::Bytes;
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Malformed};
use dynamodb_dax::wire::expression::{Path, Purpose, Texts, decode_projection, value_at};
use dynamodb_dax::wire::value::{
    Item, KeySchema, decode_compound_key, decode_value, encode_compound_key, encode_value,
};
use dynamodb_dax::wire::{
    COLLECTION_METRICS, CONSUMED_CAPACITY, Names, ON_CONDITION_FAILURE, RETURN_VALUES, SELECT, capacity, method,
    operation, option, result,
};

use tokio::time::Instant;

use crate::CACHE_BYTES;
use crate::cache::{Cache, Content};
use crate::callers::Caller;
use crate::failure::Failure;
use crate::tables::Tables;

/// Keys of a BatchGetItem: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const MAX_BATCH: usize = 100;

/// How many values follow a method's number. None for a method that there is not.
pub(crate) fn arguments(number: i64) -> Option<usize> {
    Some(match number {
        method::ENDPOINTS => 0,
        method::DEFINE_ATTRIBUTE_LIST | method::DEFINE_ATTRIBUTE_LIST_ID | method::DEFINE_KEY_SCHEMA => 1,
        method::BATCH_GET_ITEM | method::BATCH_WRITE_ITEM | method::SCAN => 2,
        method::DELETE_ITEM | method::GET_ITEM | method::QUERY | method::UPDATE_ITEM => 3,
        method::PUT_ITEM | method::TRANSACT_GET_ITEMS => 4,
        method::AUTHORIZE_CONNECTION => 5,
        method::TRANSACT_WRITE_ITEMS => 9,
        _ => return None,
    })
}

#[derive(Default)]
struct Options {
    projection: Option<Vec<Path>>,
    consistent: Option<bool>,
    capacity: Option<ReturnConsumedCapacity>,
    condition: Option<Vec<u8>>,
    metrics: Option<ReturnItemCollectionMetrics>,
    values: Option<ReturnValue>,
    update: Option<Vec<u8>>,
    start: Option<Vec<u8>>,
    filter: Option<Vec<u8>>,
    index: Option<String>,
    limit: Option<i32>,
    forward: Option<bool>,
    select: Option<Select>,
    segment: Option<i32>,
    segments: Option<i32>,
    token: Option<String>,
}

fn text(decoder: &mut Decoder) -> Result<String, Malformed> {
    String::from_utf8(decoder.bytes()?.into_owned()).map_err(|_| Malformed("a name that is no UTF-8"))
}

fn small(decoder: &mut Decoder) -> Result<i32, Malformed> {
    i32::try_from(decoder.int()?).map_err(|_| Malformed("no 32-bit integer"))
}

fn named<'n>(names: &'n Names, decoder: &mut Decoder) -> Result<&'n str, Malformed> {
    names.name(decoder.int()?).ok_or(Malformed("an unknown choice"))
}

fn flag(decoder: &mut Decoder) -> Result<bool, Malformed> {
    let mut integer = decoder.clone();
    if let Ok(value) = integer.int() {
        *decoder = integer;
        return Ok(value != 0);
    }
    decoder.bool()
}

fn options(decoder: &mut Decoder) -> Result<Options, Malformed> {
    let mut options = Options::default();
    if decoder.null()? {
        return Ok(options);
    }
    decoder.pairs(|decoder| {
        match decoder.int()? {
            option::PROJECTION_EXPRESSION => options.projection = Some(decode_projection(&decoder.bytes()?)?),
            option::CONSISTENT_READ => options.consistent = Some(flag(decoder)?),
            option::RETURN_CONSUMED_CAPACITY => options.capacity = Some(named(&CONSUMED_CAPACITY, decoder)?.into()),
            // The Python client sends the text first, then the tree.
            option::CONDITION_EXPRESSION => options.condition = Some(decoder.bytes()?.into_owned()),
            option::RETURN_ITEM_COLLECTION_METRICS => {
                options.metrics = Some(named(&COLLECTION_METRICS, decoder)?.into());
            }
            option::RETURN_VALUES => options.values = Some(named(&RETURN_VALUES, decoder)?.into()),
            option::UPDATE_EXPRESSION => options.update = Some(decoder.bytes()?.into_owned()),
            option::EXCLUSIVE_START_KEY => options.start = Some(decoder.bytes()?.into_owned()),
            option::FILTER_EXPRESSION => options.filter = Some(decoder.bytes()?.into_owned()),
            option::INDEX_NAME => options.index = Some(text(decoder)?),
            option::LIMIT => options.limit = Some(small(decoder)?),
            option::SCAN_INDEX_FORWARD => options.forward = Some(flag(decoder)?),
            option::SELECT => options.select = Some(named(&SELECT, decoder)?.into()),
            option::SEGMENT => options.segment = Some(small(decoder)?),
            option::TOTAL_SEGMENTS => options.segments = Some(small(decoder)?),
            option::CLIENT_REQUEST_TOKEN => options.token = Some(decoder.text()?.into_owned()),
            // The trees have names and values.
            option::EXPRESSION_ATTRIBUTE_NAMES | option::EXPRESSION_ATTRIBUTE_VALUES => decoder.skip()?,
            _ => return Err(Malformed("an unknown option")),
        }
        Ok::<_, Malformed>(())
    })?;
    Ok(options)
}

fn some<K, V>(map: HashMap<K, V>) -> Option<HashMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

fn expression(texts: &mut Texts, encoded: &Option<Vec<u8>>, purpose: Purpose) -> Result<Option<String>, Malformed> {
    encoded.as_ref().map(|encoded| texts.text(encoded, purpose)).transpose()
}

fn nullable(decoder: &mut Decoder) -> Result<Option<Vec<u8>>, Malformed> {
    if decoder.null()? { Ok(None) } else { Ok(Some(decoder.bytes()?.into_owned())) }
}

fn encode_capacity(capacity: &ConsumedCapacity, encoder: &mut Encoder) -> Result<(), Failure> {
    fn indexes(indexes: Option<&HashMap<String, Capacity>>, encoder: &mut Encoder) {
        let Some(indexes) = indexes else { return encoder.null() };
        encoder.map(indexes.len());
        for (name, capacity) in indexes {
            encoder.text(name);
            encoder.float(capacity.capacity_units().unwrap_or_default());
        }
    }
    encoder.nested(|encoder| {
        encoder.text(capacity.table_name().unwrap_or_default());
        encoder.float(capacity.capacity_units().unwrap_or_default());
        match capacity.table() {
            Some(table) => encoder.float(table.capacity_units().unwrap_or_default()),
            None => encoder.null(),
        }
        indexes(capacity.global_secondary_indexes(), encoder);
        indexes(capacity.local_secondary_indexes(), encoder);
        Ok(())
    })
}

fn encode_transaction_capacity(consumed: &ConsumedCapacity, encoder: &mut Encoder) {
    fn units(all: Option<f64>, read: Option<f64>, write: Option<f64>, encoder: &mut Encoder) {
        for (key, units) in [(capacity::UNITS, all), (capacity::READ_UNITS, read), (capacity::WRITE_UNITS, write)] {
            if let Some(units) = units {
                encoder.int(key);
                encoder.float(units);
            }
        }
    }
    fn one(capacity: &Capacity, encoder: &mut Encoder) {
        encoder.indefinite_map();
        units(capacity.capacity_units, capacity.read_capacity_units, capacity.write_capacity_units, encoder);
        encoder.end();
    }
    encoder.indefinite_map();
    encoder.int(capacity::TABLE_NAME);
    encoder.text(consumed.table_name().unwrap_or_default());
    units(consumed.capacity_units, consumed.read_capacity_units, consumed.write_capacity_units, encoder);
    if let Some(table) = consumed.table() {
        encoder.int(capacity::TABLE);
        one(table, encoder);
    }
    let indexes = [
        (capacity::GLOBAL_INDEXES, consumed.global_secondary_indexes()),
        (capacity::LOCAL_INDEXES, consumed.local_secondary_indexes()),
    ];
    for (key, indexes) in indexes {
        let Some(indexes) = indexes else { continue };
        encoder.int(key);
        encoder.map(indexes.len());
        for (name, capacity) in indexes {
            encoder.text(name);
            one(capacity, encoder);
        }
    }
    encoder.end();
}

fn encode_metrics(schema: &KeySchema, metrics: &ItemCollectionMetrics, encoder: &mut Encoder) -> Result<(), Failure> {
    let key = metrics.item_collection_key().and_then(|key| key.get(&schema.hash.0));
    encoder.nested(|encoder| {
        encode_value(key.unwrap_or(&AttributeValue::Null(true)), encoder)?;
        let [from, to] = metrics.size_estimate_range_gb() else { return Err(Failure::validation("no size estimate")) };
        encoder.float(*from);
        encoder.float(*to);
        Ok(())
    })
}

/// The values that a projection asks for, by the place of each path.
fn encode_projected(paths: &[Path], item: &Item, encoder: &mut Encoder) -> Result<(), Failure> {
    let found: Vec<_> =
        paths.iter().enumerate().filter_map(|(place, path)| Some((place, value_at(item, path)?))).collect();
    encoder.map(found.len());
    for (place, value) in found {
        encoder.int(place as i64);
        encode_value(value, encoder)?;
    }
    Ok(())
}

/// The key of a table's item in the item cache. The bytes of a key differ from client to client, these do not.
fn cache_key(table: &str, schema: &KeySchema, key: &Item) -> Result<Vec<u8>, Failure> {
    // No table has a zero byte in its name.
    Ok([table.as_bytes(), &[0], &schema.encode(key)?].concat())
}

/// Answers requests.
pub(crate) struct Requests {
    dynamodb: Client,
    tables: Tables,
    /// Items without their keys, as [`Tables::encode`] writes them.
    items: Cache,
    /// Responses to queries and scans by the bytes of their requests. None: they are not cached.
    queries: Option<Cache>,
}

impl Requests {
    pub(crate) fn new(dynamodb: Client, record_ttl: Duration, query_ttl: Duration) -> Self {
        // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/dax-config-considerations.html> says what zero means.
        let record_ttl = Some(record_ttl).filter(|ttl| !ttl.is_zero());
        let queries = (!query_ttl.is_zero()).then(|| Cache::new(Some(query_ttl), CACHE_BYTES));
        Self { dynamodb, tables: Tables::default(), items: Cache::new(record_ttl, CACHE_BYTES), queries }
    }

    /// An item for the item cache.
    fn content(&self, schema: &KeySchema, item: Option<&Item>) -> Result<Content, Failure> {
        // What is not there is an empty item in the transactions of some endpoints, and none in others.
        let Some(item) = item.filter(|item| !item.is_empty()) else { return Ok(None) };
        let mut encoder = Encoder::default();
        self.tables.encode(schema, item, &mut encoder)?;
        Ok(Some(encoder.buffer.into()))
    }

    /// Writes an item of the item cache.
    fn encode_cached(
        &self,
        key: &Item,
        attributes: &Bytes,
        projection: Option<&[Path]>,
        encoder: &mut Encoder,
    ) -> Result<(), Failure> {
        let Some(paths) = projection else {
            encoder.raw(attributes);
            return Ok(());
        };
        let mut item = key.clone();
        self.add_attributes(&Decoder::new(attributes).bytes()?, &mut item)?;
        encode_projected(paths, &item, encoder)
    }

    async fn schema(&self, table: &str) -> Result<Arc<KeySchema>, Failure> {
        self.tables.schema(&self.dynamodb, table).await
    }

    /// An item whose key and other attributes came apart.
    fn item(&self, schema: &KeySchema, key: &[u8], attributes: &[u8]) -> Result<Item, Failure> {
        let mut item = schema.decode(key)?;
        self.add_attributes(attributes, &mut item)?;
        Ok(item)
    }

    fn add_attributes(&self, attributes: &[u8], item: &mut Item) -> Result<(), Failure> {
        let mut decoder = Decoder::new(attributes);
        for name in self.tables.names(decoder.int()?)?.iter() {
            item.insert(name.clone(), decode_value(&mut decoder)?);
        }
        Ok(decoder.finish()?)
    }

    /// The response to a request whose arguments are in `decoder`, without the error codes before it.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        caller: &Caller,
        number: i64,
        mut decoder: Decoder<'_>,
    ) -> Result<Bytes, Failure> {
        caller.check(number, &decoder)?;
        if matches!(number, method::QUERY | method::SCAN) {
            return self.query_or_scan(number == method::QUERY, &mut decoder).await;
        }
        Ok(self.answer_uncached(number, &mut decoder).await?.into())
    }

    /// The response to anything but a query or a scan.
    async fn answer_uncached(self: &Arc<Self>, number: i64, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        match number {
            method::DEFINE_KEY_SCHEMA => self.define_key_schema(decoder).await,
            method::DEFINE_ATTRIBUTE_LIST => {
                let mut encoder = Encoder::default();
                let names = self.tables.names(decoder.int()?)?;
                encoder.array(names.len());
                names.iter().for_each(|name| encoder.text(name));
                Ok(encoder.buffer)
            }
            method::DEFINE_ATTRIBUTE_LIST_ID => {
                let mut names = Vec::new();
                decoder.each(|decoder| {
                    names.push(decoder.text()?.into_owned());
                    Ok::<_, Malformed>(())
                })?;
                let mut encoder = Encoder::default();
                encoder.int(self.tables.id(&names));
                Ok(encoder.buffer)
            }
            method::GET_ITEM => self.get_item(decoder).await,
            method::PUT_ITEM => self.put_item(decoder).await,
            method::DELETE_ITEM => self.delete_item(decoder).await,
            method::UPDATE_ITEM => self.update_item(decoder).await,
            method::BATCH_GET_ITEM => self.batch_get_item(decoder).await,
            method::BATCH_WRITE_ITEM => self.batch_write_item(decoder).await,
            method::TRANSACT_GET_ITEMS => self.transact_get_items(decoder).await,
            method::TRANSACT_WRITE_ITEMS => self.transact_write_items(decoder).await,
            _ => Err(Failure::validation("There is no such method")),
        }
    }

    async fn define_key_schema(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let schema = self.schema(&text(decoder)?).await?;
        let mut encoder = Encoder::default();
        encoder.map(schema.attributes());
        for (name, of) in [Some(&schema.hash), schema.range.as_ref()].into_iter().flatten() {
            encoder.text(name);
            encoder.text(of.as_str());
        }
        Ok(encoder.buffer)
    }

    async fn get_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let table = text(decoder)?;
        let schema = self.schema(&table).await?;
        let key = schema.decode(&decoder.bytes()?)?;
        let options = options(decoder)?;
        let is_cached = options.consistent != Some(true);
        let cache_key = cache_key(&table, &schema, &key)?;
        let mut capacity = None;
        let content = match self.items.get(&cache_key).filter(|_| is_cached) {
            Some(content) => content,
            None => {
                let since = Instant::now();
                let request = self.dynamodb.get_item().table_name(table).set_key(Some(key.clone()));
                let request = request.set_consistent_read(options.consistent);
                let output = request.set_return_consumed_capacity(options.capacity).send().await?;
                capacity = output.consumed_capacity;
                let content = self.content(&schema, output.item.as_ref())?;
                if is_cached {
                    self.items.store_read(cache_key, content.clone(), since);
                }
                content
            }
        };
        let mut encoder = Encoder::default();
        encoder.indefinite_map();
        if let Some(attributes) = &content {
            encoder.int(result::ITEM);
            self.encode_cached(&key, attributes, options.projection.as_deref(), &mut encoder)?;
        }
        if let Some(capacity) = &capacity {
            encoder.int(result::CONSUMED_CAPACITY);
            encode_capacity(capacity, &mut encoder)?;
        }
        encoder.end();
        Ok(encoder.buffer)
    }

    /// The response to a put, a delete or an update.
    fn written(
        &self,
        schema: &KeySchema,
        returned: Option<ReturnValue>,
        attributes: Option<&Item>,
        capacity: Option<&ConsumedCapacity>,
        metrics: Option<&ItemCollectionMetrics>,
    ) -> Result<Vec<u8>, Failure> {
        let mut encoder = Encoder::default();
        encoder.indefinite_map();
        if let Some(attributes) = attributes {
            encoder.int(result::ATTRIBUTES);
            if matches!(returned, Some(ReturnValue::UpdatedNew | ReturnValue::UpdatedOld)) {
                let mut names: Vec<_> = attributes.keys().cloned().collect();
                names.sort_unstable();
                encoder.nested(|encoder| {
                    encoder.int(self.tables.id(&names));
                    encoder.map(names.len());
                    for (place, name) in names.iter().enumerate() {
                        encoder.int(place as i64);
                        encode_value(&attributes[name], encoder)?;
                    }
                    Ok::<_, Failure>(())
                })?;
            } else {
                self.tables.encode(schema, attributes, &mut encoder)?;
            }
        }
        if let Some(capacity) = capacity {
            encoder.int(result::CONSUMED_CAPACITY);
            encode_capacity(capacity, &mut encoder)?;
        }
        if let Some(metrics) = metrics {
            encoder.int(result::ITEM_COLLECTION_METRICS);
            encode_metrics(schema, metrics, &mut encoder)?;
        }
        encoder.end();
        Ok(encoder.buffer)
    }

    async fn put_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let table = text(decoder)?;
        let schema = self.schema(&table).await?;
        let (key, attributes) = (decoder.bytes()?, decoder.bytes()?);
        let item = self.item(&schema, &key, &attributes)?;
        let options = options(decoder)?;
        let mut texts = Texts::default();
        let condition = expression(&mut texts, &options.condition, Purpose::Condition)?;
        let (cache_key, content) = (cache_key(&table, &schema, &item)?, self.content(&schema, Some(&item))?);
        let since = Instant::now();
        let request = self.dynamodb.put_item().table_name(table).set_item(Some(item));
        let request = request.set_condition_expression(condition).set_return_values(options.values.clone());
        let request = request.set_expression_attribute_names(some(texts.names));
        let request = request.set_expression_attribute_values(some(texts.values));
        let request = request.set_return_consumed_capacity(options.capacity);
        let output = request.set_return_item_collection_metrics(options.metrics).send().await?;
        self.items.store_written(cache_key, Some(content), since);
        let (capacity, metrics) = (output.consumed_capacity(), output.item_collection_metrics());
        self.written(&schema, options.values, output.attributes(), capacity, metrics)
    }

    async fn delete_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let table = text(decoder)?;
        let schema = self.schema(&table).await?;
        let key = schema.decode(&decoder.bytes()?)?;
        let options = options(decoder)?;
        let mut texts = Texts::default();
        let condition = expression(&mut texts, &options.condition, Purpose::Condition)?;
        let cache_key = cache_key(&table, &schema, &key)?;
        let since = Instant::now();
        let request = self.dynamodb.delete_item().table_name(table).set_key(Some(key));
        let request = request.set_condition_expression(condition).set_return_values(options.values.clone());
        let request = request.set_expression_attribute_names(some(texts.names));
        let request = request.set_expression_attribute_values(some(texts.values));
        let request = request.set_return_consumed_capacity(options.capacity);
        let output = request.set_return_item_collection_metrics(options.metrics).send().await?;
        self.items.store_written(cache_key, Some(None), since);
        let (capacity, metrics) = (output.consumed_capacity(), output.item_collection_metrics());
        self.written(&schema, options.values, output.attributes(), capacity, metrics)
    }

    async fn update_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let table = text(decoder)?;
        let schema = self.schema(&table).await?;
        let key = schema.decode(&decoder.bytes()?)?;
        let options = options(decoder)?;
        let mut texts = Texts::default();
        let condition = expression(&mut texts, &options.condition, Purpose::Condition)?;
        let update = expression(&mut texts, &options.update, Purpose::Update)?;
        // The item cache needs the whole new item. If the caller wants other values, it reads the item when that is asked for.
        let is_asked = options.values.as_ref().is_some_and(|values| *values != ReturnValue::None);
        let is_whole = !is_asked || options.values == Some(ReturnValue::AllNew);
        let values = if is_whole { Some(ReturnValue::AllNew) } else { options.values.clone() };
        let cache_key = cache_key(&table, &schema, &key)?;
        let since = Instant::now();
        let request = self.dynamodb.update_item().table_name(table).set_key(Some(key));
        let request = request.set_update_expression(update);
        let request = request.set_condition_expression(condition).set_return_values(values);
        let request = request.set_expression_attribute_names(some(texts.names));
        let request = request.set_expression_attribute_values(some(texts.values));
        let request = request.set_return_consumed_capacity(options.capacity);
        let output = request.set_return_item_collection_metrics(options.metrics).send().await?;
        let new = output.attributes().filter(|_| is_whole);
        let content = if is_whole { Some(self.content(&schema, new)?) } else { None };
        self.items.store_written(cache_key, content, since);
        let (capacity, metrics) = (output.consumed_capacity(), output.item_collection_metrics());
        let attributes = output.attributes().filter(|_| is_asked);
        self.written(&schema, options.values, attributes, capacity, metrics)
    }

    async fn query_or_scan(&self, is_query: bool, decoder: &mut Decoder<'_>) -> Result<Bytes, Failure> {
        let cache_key = [&[u8::from(is_query)], decoder.rest()].concat();
        let table = text(decoder)?;
        let schema = self.schema(&table).await?;
        let condition = if is_query { nullable(decoder)? } else { None };
        let options = options(decoder)?;
        let cache = self.queries.as_ref().filter(|_| options.consistent != Some(true));
        if let Some(Some(content)) = cache.and_then(|cache| cache.get(&cache_key)) {
            return Ok(content);
        }
        let since = Instant::now();
        let start = match (&options.start, &options.index) {
            (Some(start), Some(_)) => Some(decode_compound_key(&mut Decoder::new(start))?),
            (Some(start), None) => Some(schema.decode(start)?),
            (None, _) => None,
        };
        let mut texts = Texts::default();
        let condition = expression(&mut texts, &condition, Purpose::KeyCondition)?;
        let filter = expression(&mut texts, &options.filter, Purpose::Filter)?;
        // Values are told apart by their paths, which needs whole items.
        let select = options.select.filter(|select| *select != Select::SpecificAttributes);
        let (names, values) = (some(texts.names), some(texts.values));
        let output = if is_query {
            let request = self.dynamodb.query().table_name(table).set_key_condition_expression(condition);
            let request = request.set_filter_expression(filter).set_index_name(options.index.clone());
            let request = request.set_expression_attribute_names(names).set_expression_attribute_values(values);
            let request = request.set_exclusive_start_key(start).set_limit(options.limit).set_select(select);
            let request = request.set_scan_index_forward(options.forward).set_consistent_read(options.consistent);
            request.set_return_consumed_capacity(options.capacity).send().await?
        } else {
            let request = self.dynamodb.scan().table_name(table);
            let request = request.set_filter_expression(filter).set_index_name(options.index.clone());
            let request = request.set_expression_attribute_names(names).set_expression_attribute_values(values);
            let request = request.set_exclusive_start_key(start).set_limit(options.limit).set_select(select);
            let request = request.set_segment(options.segment).set_total_segments(options.segments);
            let request = request.set_consistent_read(options.consistent);
            let ScanOutput { items, count, scanned_count, last_evaluated_key, consumed_capacity, .. } =
                request.set_return_consumed_capacity(options.capacity).send().await?;
            let output = QueryOutput::builder().set_items(items).count(count).scanned_count(scanned_count);
            output.set_last_evaluated_key(last_evaluated_key).set_consumed_capacity(consumed_capacity).build()
        };
        let mut encoder = Encoder::default();
        encoder.indefinite_map();
        if let Some(items) = &output.items {
            encoder.int(result::ITEMS);
            encoder.array(items.len());
            for item in items {
                match &options.projection {
                    Some(paths) => encode_projected(paths, item, &mut encoder)?,
                    None => {
                        encoder.array(2);
                        encoder.bytes(&schema.encode(item)?);
                        self.tables.encode(&schema, item, &mut encoder)?;
                    }
                }
            }
        }
        for (key, count) in [(result::COUNT, output.count), (result::SCANNED_COUNT, output.scanned_count)] {
            encoder.int(key);
            encoder.int(i64::from(count));
        }
        if let Some(last) = output.last_evaluated_key() {
            encoder.int(result::LAST_EVALUATED_KEY);
            match options.index {
                Some(_) => encoder.nested(|encoder| encode_compound_key(last, encoder))?,
                None => encoder.bytes(&schema.encode(last)?),
            }
        }
        if let Some(cache) = cache {
            let mut content = Encoder { buffer: encoder.buffer.clone() };
            content.end();
            cache.store_read(cache_key, Some(content.buffer.into()), since);
        }
        // What is answered from the cache consumes nothing.
        if let Some(capacity) = output.consumed_capacity() {
            encoder.int(result::CONSUMED_CAPACITY);
            encode_capacity(capacity, &mut encoder)?;
        }
        encoder.end();
        Ok(encoder.buffer.into())
    }

    async fn batch_get_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let mut tables = Vec::new();
        decoder.pairs(|decoder| {
            let table = decoder.text()?.into_owned();
            if decoder.array()? != 3 {
                return Err(Malformed("a batch of another form"));
            }
            let consistent = decoder.bool()?;
            let paths = nullable(decoder)?.map(|encoded| decode_projection(&encoded)).transpose()?;
            let mut keys = Vec::new();
            decoder.each(|decoder| {
                keys.push(decoder.bytes()?.into_owned());
                Ok::<_, Malformed>(())
            })?;
            tables.push((table, consistent, paths, keys));
            Ok(())
        })?;
        let options = options(decoder)?;
        // DynamoDB refuses no keys, too many, and keys that are there twice, and has to see them for that.
        let count: usize = tables.iter().map(|(.., keys)| keys.len()).sum();
        let mut is_valid = (1..=MAX_BATCH).contains(&count);
        let mut known = HashMap::new();
        let mut wanted = Vec::new();
        for (table, consistent, paths, keys) in tables {
            let schema = self.schema(&table).await?;
            let keys = keys.iter().map(|key| schema.decode(key)).collect::<Result<Vec<_>, _>>()?;
            let cache_keys: Vec<_> =
                keys.iter().map(|key| cache_key(&table, &schema, key)).collect::<Result<_, _>>()?;
            is_valid &= !keys.is_empty() && cache_keys.iter().collect::<HashSet<_>>().len() == keys.len();
            wanted.push((table.clone(), consistent, keys.into_iter().zip(cache_keys).collect::<Vec<_>>()));
            known.insert(table, (schema, consistent, paths));
        }
        // Items by table, with their keys.
        let mut found: HashMap<&str, Vec<(Item, Bytes)>> = HashMap::new();
        let mut request = self.dynamodb.batch_get_item().set_return_consumed_capacity(options.capacity);
        let mut missing: HashMap<Vec<u8>, _> = HashMap::new();
        let since = Instant::now();
        for (table, consistent, keys) in &wanted {
            let found = found.entry(table).or_default();
            let mut asked = Vec::new();
            for (key, cache_key) in keys {
                match self.items.get(cache_key).filter(|_| is_valid && !consistent) {
                    Some(Some(attributes)) => found.push((key.clone(), attributes)),
                    Some(None) => {}
                    None => {
                        asked.push(key.clone());
                        missing.insert(cache_key.clone(), *consistent);
                    }
                }
            }
            if !asked.is_empty() || !is_valid {
                let asked = KeysAndAttributes::builder().set_keys(Some(asked)).consistent_read(*consistent).build()?;
                request = request.request_items(table, asked);
            }
        }
        let output = match missing.is_empty() && is_valid {
            true => BatchGetItemOutput::builder().build(),
            false => request.send().await?,
        };
        let unknown = || Failure::validation("DynamoDB answered for another table");
        let unprocessed = output.unprocessed_keys.unwrap_or_default();
        for (table, keys) in &unprocessed {
            let (schema, ..) = known.get(table).ok_or_else(unknown)?;
            for key in keys.keys() {
                missing.remove(&cache_key(table, schema, key)?);
            }
        }
        for (table, items) in output.responses.iter().flatten() {
            let (schema, consistent, _) = known.get(table).ok_or_else(unknown)?;
            for item in items {
                let (cache_key, content) = (cache_key(table, schema, item)?, self.content(schema, Some(item))?);
                missing.remove(&cache_key);
                if let Some(attributes) = &content {
                    found.entry(table).or_default().push((item.clone(), attributes.clone()));
                }
                if !consistent {
                    self.items.store_read(cache_key, content, since);
                }
            }
        }
        for (cache_key, _) in missing.into_iter().filter(|(_, consistent)| !consistent) {
            self.items.store_read(cache_key, None, since);
        }
        let mut encoder = Encoder::default();
        encoder.array(2);
        encoder.map(found.len());
        for (table, items) in &found {
            let (schema, _, paths) = known.get(*table).ok_or_else(unknown)?;
            encoder.text(table);
            encoder.array(if paths.is_some() { items.len() } else { items.len() * 2 });
            for (key, attributes) in items {
                if paths.is_none() {
                    encoder.bytes(&schema.encode(key)?);
                }
                self.encode_cached(key, attributes, paths.as_deref(), &mut encoder)?;
            }
        }
        encoder.map(unprocessed.len());
        for (table, keys) in &unprocessed {
            let (schema, ..) = known.get(table).ok_or_else(unknown)?;
            encoder.text(table);
            encoder.array(keys.keys().len());
            for key in keys.keys() {
                encoder.bytes(&schema.encode(key)?);
            }
        }
        // Outside the array, as on AWS.
        let capacities = output.consumed_capacity.unwrap_or_default();
        encoder.array(capacities.len());
        for capacity in &capacities {
            encode_capacity(capacity, &mut encoder)?;
        }
        Ok(encoder.buffer)
    }

    /// Writes the item collection metrics of several tables.
    async fn all_metrics(
        &self,
        metrics: Option<&HashMap<String, Vec<ItemCollectionMetrics>>>,
        encoder: &mut Encoder,
    ) -> Result<(), Failure> {
        encoder.map(metrics.map_or(0, HashMap::len));
        for (table, metrics) in metrics.into_iter().flatten() {
            let schema = self.schema(table).await?;
            encoder.text(table);
            encoder.array(metrics.len());
            for one in metrics {
                encode_metrics(&schema, one, encoder)?;
            }
        }
        Ok(())
    }

    async fn batch_write_item(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let mut tables = Vec::new();
        decoder.pairs(|decoder| {
            let table = decoder.text()?.into_owned();
            let mut parts = Vec::new();
            decoder.each(|decoder| {
                parts.push(nullable(decoder)?);
                Ok::<_, Malformed>(())
            })?;
            tables.push((table, parts));
            Ok::<_, Malformed>(())
        })?;
        let options = options(decoder)?;
        let mut request = self.dynamodb.batch_write_item().set_return_consumed_capacity(options.capacity);
        request = request.set_return_item_collection_metrics(options.metrics);
        let mut written = HashMap::new();
        for (table, parts) in tables {
            let schema = self.schema(&table).await?;
            let mut writes = Vec::new();
            for pair in parts.chunks(2) {
                let [Some(key), attributes] = pair else { return Err(Malformed("a write without a key").into()) };
                writes.push(match attributes {
                    Some(attributes) => {
                        let item = self.item(&schema, key, attributes)?;
                        written.insert(cache_key(&table, &schema, &item)?, self.content(&schema, Some(&item))?);
                        let put = PutRequest::builder().set_item(Some(item)).build()?;
                        WriteRequest::builder().put_request(put).build()
                    }
                    None => {
                        let key = schema.decode(key)?;
                        written.insert(cache_key(&table, &schema, &key)?, None);
                        let delete = DeleteRequest::builder().set_key(Some(key)).build()?;
                        WriteRequest::builder().delete_request(delete).build()
                    }
                });
            }
            request = request.request_items(table, writes);
        }
        let since = Instant::now();
        let output = request.send().await?;
        let mut encoder = Encoder::default();
        let unprocessed = output.unprocessed_items().cloned().unwrap_or_default();
        encoder.map(unprocessed.len());
        for (table, writes) in &unprocessed {
            let schema = self.schema(table).await?;
            encoder.text(table);
            encoder.array(writes.len() * 2);
            for write in writes {
                if let Some(put) = write.put_request() {
                    written.remove(&cache_key(table, &schema, put.item())?);
                    encoder.bytes(&schema.encode(put.item())?);
                    self.tables.encode(&schema, put.item(), &mut encoder)?;
                } else if let Some(delete) = write.delete_request() {
                    written.remove(&cache_key(table, &schema, delete.key())?);
                    encoder.bytes(&schema.encode(delete.key())?);
                    encoder.null();
                }
            }
        }
        for (cache_key, content) in written {
            self.items.store_written(cache_key, Some(content), since);
        }
        encoder.array(output.consumed_capacity().len());
        for capacity in output.consumed_capacity() {
            encode_capacity(capacity, &mut encoder)?;
        }
        self.all_metrics(output.item_collection_metrics(), &mut encoder).await?;
        Ok(encoder.buffer)
    }

    async fn transact_get_items(&self, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        let (tables, keys, projections) = (array(decoder)?, array(decoder)?, array(decoder)?);
        let options = options(decoder)?;
        let mut request = self.dynamodb.transact_get_items().set_return_consumed_capacity(options.capacity);
        let mut known = Vec::new();
        for (at, (table, key)) in tables.into_iter().zip(&keys).enumerate() {
            let table = name(table)?;
            let schema = self.schema(&table).await?;
            let key = schema.decode(key.as_ref().ok_or(Malformed("no key"))?)?;
            let get = Get::builder().table_name(table).set_key(Some(key)).build()?;
            request = request.transact_items(TransactGetItem::builder().get(get).build());
            let projection = projections.get(at).and_then(Option::as_ref);
            known.push((schema, projection.map(|encoded| decode_projection(encoded)).transpose()?));
        }
        let output = request.send().await?;
        let mut encoder = Encoder::default();
        encoder.array(2);
        encoder.array(known.len());
        for (at, (schema, paths)) in known.iter().enumerate() {
            match (output.responses().get(at).and_then(|response| response.item()), paths) {
                (None, _) => encoder.null(),
                // What is not there is an empty item in some endpoints, and none in others.
                (Some(item), _) if item.is_empty() => encoder.null(),
                (Some(item), Some(paths)) => encode_projected(paths, item, &mut encoder)?,
                (Some(item), None) => self.tables.encode(schema, item, &mut encoder)?,
            }
        }
        encoder.array(output.consumed_capacity().len());
        output.consumed_capacity().iter().for_each(|capacity| encode_transaction_capacity(capacity, &mut encoder));
        Ok(encoder.buffer)
    }

    async fn transact_write_items(self: &Arc<Self>, decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Failure> {
        const WRONG: Malformed = Malformed("a transaction whose parts have other lengths");
        let operations = integers(decoder)?;
        let (tables, keys, attributes) = (array(decoder)?, array(decoder)?, array(decoder)?);
        decoder.skip()?;
        let on_failure = integers(decoder)?;
        let (conditions, updates) = (array(decoder)?, array(decoder)?);
        let options = options(decoder)?;
        let mut request = self.dynamodb.transact_write_items().set_client_request_token(options.token);
        request = request.set_return_consumed_capacity(options.capacity);
        request = request.set_return_item_collection_metrics(options.metrics);
        let (mut schemas, mut written) = (Vec::new(), Vec::new());
        for (at, table) in tables.into_iter().enumerate() {
            let table = name(table)?;
            let schema = self.schema(&table).await?;
            let key = keys.get(at).and_then(Option::as_ref).ok_or(WRONG)?;
            let mut texts = Texts::default();
            let condition = expression(&mut texts, conditions.get(at).ok_or(WRONG)?, Purpose::Condition)?;
            let update = expression(&mut texts, updates.get(at).ok_or(WRONG)?, Purpose::Update)?;
            let (names, values) = (some(texts.names), some(texts.values));
            let failure = ON_CONDITION_FAILURE.name(*on_failure.get(at).ok_or(WRONG)?);
            let failure = failure.map(ReturnValuesOnConditionCheckFailure::from);
            let item = TransactWriteItem::builder();
            let item = match *operations.get(at).ok_or(WRONG)? {
                operation::PUT => {
                    let attributes = attributes.get(at).and_then(Option::as_ref).ok_or(WRONG)?;
                    let put = Put::builder().table_name(&table).set_item(Some(self.item(&schema, key, attributes)?));
                    let put = put.set_condition_expression(condition).set_expression_attribute_names(names);
                    let put = put.set_expression_attribute_values(values);
                    item.put(put.set_return_values_on_condition_check_failure(failure).build()?)
                }
                operation::DELETE => {
                    let delete = Delete::builder().table_name(&table).set_key(Some(schema.decode(key)?));
                    let delete = delete.set_condition_expression(condition).set_expression_attribute_names(names);
                    let delete = delete.set_expression_attribute_values(values);
                    item.delete(delete.set_return_values_on_condition_check_failure(failure).build()?)
                }
                operation::UPDATE => {
                    let of = Update::builder().table_name(&table).set_key(Some(schema.decode(key)?));
                    let of = of.set_update_expression(update).set_condition_expression(condition);
                    let of = of.set_expression_attribute_names(names).set_expression_attribute_values(values);
                    item.update(of.set_return_values_on_condition_check_failure(failure).build()?)
                }
                operation::CONDITION_CHECK => {
                    let check = ConditionCheck::builder().table_name(&table).set_key(Some(schema.decode(key)?));
                    let check = check.set_condition_expression(condition).set_expression_attribute_names(names);
                    let check = check.set_expression_attribute_values(values);
                    item.condition_check(check.set_return_values_on_condition_check_failure(failure).build()?)
                }
                _ => return Err(Malformed("an unknown operation").into()),
            };
            request = request.transact_items(item.build());
            written.push((table, schema.decode(key)?));
            schemas.push(schema);
        }
        let since = Instant::now();
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) => {
                let canceled = error.as_service_error().and_then(|error| match error {
                    aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
                        canceled,
                    ) => canceled.cancellation_reasons.clone(),
                    _ => None,
                });
                let failure = Failure::from(error);
                let Some(reasons) = canceled else { return Err(failure) };
                return Err(failure.with_reasons(&reasons, |at, reason, encoder| {
                    match (reason.item(), schemas.get(at)) {
                        (Some(item), Some(schema)) => self.tables.encode(schema, item, encoder),
                        _ => {
                            encoder.null();
                            Ok(())
                        }
                    }
                })?);
            }
        };
        let requests = Arc::clone(self);
        tokio::spawn(async move { requests.read_written(written, since).await });
        let mut encoder = Encoder::default();
        encoder.array(3);
        encoder.array(0);
        encoder.array(output.consumed_capacity().len());
        output.consumed_capacity().iter().for_each(|capacity| encode_transaction_capacity(capacity, &mut encoder));
        self.all_metrics(output.item_collection_metrics(), &mut encoder).await?;
        Ok(encoder.buffer)
    }

    /// Reads the items of a transaction, as DAX does after it has answered. Until then, the item cache has what was there before:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DAX.consistency.html#DAX.consistency.item-cache.writes>
    async fn read_written(&self, written: Vec<(String, Item)>, since: Instant) -> Result<(), Failure> {
        for (table, key) in written {
            let schema = self.schema(&table).await?;
            let cache_key = cache_key(&table, &schema, &key)?;
            let get = Get::builder().table_name(table).set_key(Some(key)).build()?;
            let get = TransactGetItem::builder().get(get).build();
            let output = self.dynamodb.transact_get_items().transact_items(get).send().await?;
            let item = output.responses().first().and_then(|response| response.item());
            self.items.store_written(cache_key, Some(self.content(&schema, item)?), since);
        }
        Ok(())
    }
}

fn array(decoder: &mut Decoder) -> Result<Vec<Option<Vec<u8>>>, Malformed> {
    let mut values = Vec::new();
    if !decoder.null()? {
        decoder.each(|decoder| {
            values.push(nullable(decoder)?);
            Ok::<_, Malformed>(())
        })?;
    }
    Ok(values)
}

fn integers(decoder: &mut Decoder) -> Result<Vec<i64>, Malformed> {
    let mut values = Vec::new();
    decoder.each(|decoder| {
        values.push(decoder.int()?);
        Ok::<_, Malformed>(())
    })?;
    Ok(values)
}

fn name(bytes: Option<Vec<u8>>) -> Result<String, Malformed> {
    let bytes = bytes.ok_or(Malformed("no table"))?;
    String::from_utf8(bytes).map_err(|_| Malformed("a name that is no UTF-8"))
}
