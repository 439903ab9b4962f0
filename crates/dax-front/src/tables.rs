//! What the front knows about tables, and the lists of attribute names that it gave ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeyType as Role;
use dynamodb_dax::wire::EMPTY_LIST;
use dynamodb_dax::wire::cbor::Encoder;
use dynamodb_dax::wire::value::{Item, KeySchema, KeyType, encode_attributes};

use crate::failure::Failure;

#[derive(Default)]
struct Lists {
    ids: HashMap<Arc<[String]>, i64>,
    names: Vec<Arc<[String]>>,
}

/// Key schemas by table, and lists of attribute names by id.
#[derive(Default)]
pub(crate) struct Tables {
    schemas: Mutex<HashMap<String, Arc<KeySchema>>>,
    lists: Mutex<Lists>,
}

impl Tables {
    /// The key schema of a table, which is asked for once.
    pub(crate) async fn schema(&self, dynamodb: &Client, table: &str) -> Result<Arc<KeySchema>, Failure> {
        let known = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        if let Some(schema) = known {
            return Ok(schema);
        }
        let description = dynamodb.describe_table().table_name(table).send().await?.table;
        let description = description.ok_or_else(|| Failure::validation("The table has no description"))?;
        let attribute = |role: Role| {
            let key = description.key_schema().iter().find(|key| key.key_type == role)?;
            let names = description.attribute_definitions().iter();
            let of = names.into_iter().find(|of| of.attribute_name == key.attribute_name)?;
            Some((of.attribute_name.clone(), KeyType::parse(of.attribute_type.as_str())?))
        };
        let hash = attribute(Role::Hash).ok_or_else(|| Failure::validation("The table has no partition key"))?;
        let schema = Arc::new(KeySchema { hash, range: attribute(Role::Range) });
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), schema.clone());
        Ok(schema)
    }

    /// The id of a list of names.
    pub(crate) fn id(&self, names: &[String]) -> i64 {
        if names.is_empty() {
            return EMPTY_LIST;
        }
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = lists.ids.get(names) {
            return *id;
        }
        let names: Arc<[String]> = names.into();
        lists.names.push(names.clone());
        let id = EMPTY_LIST + lists.names.len() as i64;
        lists.ids.insert(names, id);
        id
    }

    /// The names of a list.
    pub(crate) fn names(&self, id: i64) -> Result<Arc<[String]>, Failure> {
        if id == EMPTY_LIST {
            return Ok(Arc::default());
        }
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(id - EMPTY_LIST - 1).ok();
        let names = place.and_then(|place| lists.names.get(place)).cloned();
        names.ok_or_else(|| Failure::validation(format!("There is no attribute list {id}")))
    }

    /// Writes the attributes of an item outside its key, as a byte string.
    pub(crate) fn encode(&self, schema: &KeySchema, item: &Item, encoder: &mut Encoder) -> Result<(), Failure> {
        let names = schema.other_names(item);
        let id = self.id(&names);
        Ok(encoder.nested(|encoder| encode_attributes(item, &names, id, encoder))?)
    }
}
