use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_credential_types::provider::SharedCredentialsProvider;
use axum::http::StatusCode;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio_postgres::Row;
use tokio_rustls::rustls::ClientConfig;

use crate::cache::{Cache, Change, Key, Written};
use crate::database::{Database, DatabaseError, Instance, Parameter, Transaction, text};
use crate::departments::{self, Department};
use crate::error::ApiError;
use crate::listing::Listing;
use crate::representation::{Representation, Tags};
use crate::resource::{Input, Listed, Resource};
use crate::settings::Settings;

/// The database with the directory, and its cache.
#[derive(Debug)]
pub struct Directory {
    database: Database,
    cache: Cache,
}

/// What staff ask for.
pub(crate) enum Operation<I> {
    Create(I),
    /// Only if the representation has one of these tags, as has `Delete`.
    Replace(I, Tags),
    Delete(Tags),
}

impl Directory {
    /// Connects when a connection is needed, and keeps up to `connections` to the reader and as many to the writer. `user` is
    /// whom the writer knows: [`READER`](crate::READER), or [`WRITER`](crate::WRITER) to change the directory.
    pub fn new(
        settings: &Settings,
        credentials: &SharedCredentialsProvider,
        tls: &Arc<ClientConfig>,
        connections: usize,
        user: &str,
    ) -> Self {
        Self {
            database: Database::new(settings, credentials, tls, connections, user),
            cache: Cache::at(&settings.cache, &settings.region, tls.clone(), credentials.clone()),
        }
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        self.database.read(Instance::Reader, "SELECT", &[]).await.is_ok()
    }

    pub(crate) async fn show<T: Resource>(&self, id: &str) -> Result<Read, ApiError> {
        let represent = |rows: &[Row]| rows.first().map(|row| Representation::new(&T::from_row(row)));
        let read = self.read(Key::Item { group: T::PLURAL, id }, T::SELECT, &[text(id)], represent).await?;
        read.ok_or_else(|| ApiError::not_found(T::SINGULAR))
    }

    pub(crate) async fn list<T: Listed>(&self, listing: &Listing) -> Result<Read, ApiError> {
        let represent = |rows: &[Row]| {
            let (page, rest) = rows.split_at(rows.len().min(listing.page_length()));
            let (items, positions): (Vec<_>, Vec<_>) = page.iter().map(T::item).unzip();
            let next = positions.last().filter(|_| !rest.is_empty()).map(|position| position.cursor());
            Some(Representation::new(&Page { plural: T::PLURAL, items, next }))
        };
        let key = listing.key();
        let key = Key::List { group: T::PLURAL, query: &key };
        let read = self.read(key, T::LIST, &listing.parameters(), represent).await?;
        Ok(read.expect("a page exists, even an empty one"))
    }

    pub(crate) async fn list_departments(&self) -> Result<Read, ApiError> {
        let represent = |rows: &[Row]| {
            let items = rows.iter().map(Department::from_row).collect();
            Some(Representation::new(&Page { plural: Department::PLURAL, items, next: None }))
        };
        let key = Key::List { group: Department::PLURAL, query: "" };
        let read = self.read(key, departments::LIST, &[], represent).await?;
        Ok(read.expect("the list exists, even an empty one"))
    }

    async fn read(
        &self,
        key: Key<'_>,
        statement: &str,
        parameters: &[Parameter],
        represent: impl Fn(&[Row]) -> Option<Representation>,
    ) -> Result<Option<Read>, ApiError> {
        let asked = AtomicBool::new(false);
        let load = |instance| {
            let (asked, represent) = (&asked, &represent);
            async move {
                asked.store(true, Ordering::Relaxed);
                let rows = self.database.read(instance, statement, parameters).await?;
                Ok::<_, ApiError>(represent(&rows).map(Representation::into_bytes))
            }
        };
        let bytes = self.cache.read(key, load(Instance::Reader), load(Instance::Writer)).await?;
        let is_hit = !asked.load(Ordering::Relaxed);
        Ok(bytes.map(|bytes| Read { representation: Representation::from_bytes(bytes), is_hit }))
    }

    /// Changes a resource. The output is the new representation, if there is one.
    pub(crate) async fn change<T: Resource>(
        &self,
        id: &str,
        operation: &Operation<T::Input>,
    ) -> Result<Written<Option<Representation>>, ApiError> {
        let transaction = self.database.begin().await?;
        let affected = match prepare::<T>(&transaction, id, operation).await {
            Ok(affected) => affected,
            Err(error) => {
                transaction.roll_back().await;
                return Err(error);
            }
        };
        let ids: Vec<(&str, Vec<&str>)> =
            affected.iter().map(|(group, ids)| (*group, ids.iter().map(String::as_str).collect())).collect();
        let changes: Vec<_> = ids.iter().map(|(group, ids)| Change { group, ids }).collect();
        let changed = async {
            match apply::<T>(&transaction, id, operation).await {
                Ok(representation) => {
                    transaction.commit().await?;
                    Ok(representation)
                }
                Err(error) => {
                    transaction.roll_back().await;
                    Err(error)
                }
            }
        };
        let Written { output, reached_cache } = self.cache.write(&changes, changed).await;
        Ok(Written { output: output?, reached_cache })
    }
}

/// The answer to a read.
pub(crate) struct Read {
    pub representation: Representation,
    /// Whether the cache had it.
    pub is_hit: bool,
}

/// Locks the resource, checks that the client knows its representation, and returns the ids of all resources whose
/// representation the operation changes, by their plurals.
async fn prepare<T: Resource>(
    transaction: &Transaction,
    id: &str,
    operation: &Operation<T::Input>,
) -> Result<BTreeMap<&'static str, Vec<String>>, ApiError> {
    let mut affected: BTreeMap<_, Vec<_>> = T::AFFECTED.iter().map(|plural| (*plural, Vec::new())).collect();
    affected.entry(T::PLURAL).or_default().push(id.to_owned());
    if let Operation::Create(input) | Operation::Replace(input, _) = operation {
        let (plural, ids) = input.dependents();
        affected.entry(plural).or_default().extend_from_slice(ids);
    }
    if let Operation::Replace(_, tags) | Operation::Delete(tags) = operation {
        transaction.query(T::LOCK, &[text(id)]).await?;
        let current = select::<T>(transaction, id).await?.ok_or_else(|| ApiError::not_found(T::SINGULAR))?;
        if !tags.match_strongly(&current) {
            let message = format!("The {} was changed. Read it again, and repeat your change.", T::SINGULAR);
            return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "CHANGED", message));
        }
        for row in transaction.query(T::DEPENDENTS, &[text(id)]).await? {
            let plural: &str = row.get("plural");
            let ids = affected.iter_mut().find(|(known, _)| **known == plural).expect("it is in AFFECTED");
            ids.1.push(row.get("id"));
        }
    }
    Ok(affected)
}

async fn apply<T: Resource>(
    transaction: &Transaction,
    id: &str,
    operation: &Operation<T::Input>,
) -> Result<Option<Representation>, ApiError> {
    let (statement, input) = match operation {
        Operation::Create(input) => (T::INSERT, Some(input)),
        Operation::Replace(input, _) => (T::UPDATE, Some(input)),
        Operation::Delete(_) => (T::DELETE, None),
    };
    let mut parameters = vec![text(id)];
    parameters.extend(input.into_iter().flat_map(Input::parameters));
    transaction.query(statement, &parameters).await.map_err(|error| refusal::<T>(error, input.is_none()))?;
    match input {
        Some(_) => Ok(select::<T>(transaction, id).await?),
        None => Ok(None),
    }
}

async fn select<T: Resource>(transaction: &Transaction, id: &str) -> Result<Option<Representation>, DatabaseError> {
    let rows = transaction.query(T::SELECT, &[text(id)]).await?;
    Ok(rows.first().map(|row| Representation::new(&T::from_row(row))))
}

/// What a client did wrong if the database refused a change.
fn refusal<T: Resource>(error: DatabaseError, deleting: bool) -> ApiError {
    let conflict = |code, message: String| ApiError::new(StatusCode::CONFLICT, code, message);
    match &error {
        DatabaseError::NotUnique(constraint) => {
            let known = T::UNIQUE.iter().find(|(name, _, _)| name == constraint);
            known.map(|(_, code, message)| conflict(code, (*message).into()))
        }
        DatabaseError::Reference(_) if deleting => {
            Some(conflict("IN_USE", format!("Other entries refer to the {}: change them first.", T::SINGULAR)))
        }
        DatabaseError::Reference(constraint) => {
            let known = T::REFERENCES.iter().find(|(name, _)| name == constraint);
            known.map(|(_, field)| ApiError::bad_value(field, "has an id that does not exist"))
        }
        _ => None,
    }
    .unwrap_or_else(|| error.into())
}

/// `{"<plural>": [...], "next": "..."}`
struct Page<T> {
    plural: &'static str,
    items: Vec<T>,
    next: Option<String>,
}

impl<T: Serialize> Serialize for Page<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.plural, &self.items)?;
        if let Some(next) = &self.next {
            map.serialize_entry("next", next)?;
        }
        map.end()
    }
}
