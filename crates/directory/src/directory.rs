use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use axum::http::StatusCode;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio_rustls::rustls::ClientConfig;

use crate::cache::{Cache, Outcome};
use crate::database::{Database, DatabaseError, Instance, Transaction, text};
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

/// A change that staff ask for.
pub(crate) enum Change<I> {
    Create(I),
    /// Only if the representation has one of these tags, as has `Delete`.
    Replace(I, Tags),
    Delete(Tags),
}

impl Directory {
    /// Connects when a connection is needed, and keeps up to `connections` to the reader and as many to the writer.
    pub fn new(
        settings: &Settings,
        credentials: &SharedCredentialsProvider,
        tls: &Arc<ClientConfig>,
        connections: usize,
    ) -> Self {
        Self { database: Database::new(settings, credentials, tls, connections), cache: Cache }
    }

    /// Whether the database answers.
    pub async fn is_ready(&self) -> bool {
        self.database.read(Instance::Reader, "SELECT", &[]).await.is_ok()
    }

    pub(crate) async fn show<T: Resource>(&self, id: &str) -> Result<(Representation, Outcome), ApiError> {
        let load = async |instance| {
            let rows = self.database.read(instance, T::SELECT, &[text(id)]).await?;
            Ok(rows.first().map(|row| Representation::new(&T::from_row(row)).into_bytes()))
        };
        let (bytes, outcome) =
            self.cache.read(&key(T::KIND, id), None, load(Instance::Reader), load(Instance::Writer)).await?;
        let bytes = bytes.ok_or_else(|| ApiError::not_found(T::KIND))?;
        Ok((Representation::from_bytes(bytes), outcome))
    }

    pub(crate) async fn list<T: Listed>(&self, listing: &Listing) -> Result<(Representation, Outcome), ApiError> {
        let load = async |instance| {
            let rows = self.database.read(instance, T::LIST, &listing.parameters()).await?;
            let (page, rest) = rows.split_at(rows.len().min(listing.page_length()));
            let (items, positions): (Vec<_>, Vec<_>) = page.iter().map(T::item).unzip();
            let next = positions.last().filter(|_| !rest.is_empty()).map(|position| position.cursor());
            Ok::<_, ApiError>(Some(Representation::new(&Page { plural: T::PLURAL, items, next }).into_bytes()))
        };
        let key = format!("{}?{}", T::PLURAL, listing.key());
        let (bytes, outcome) =
            self.cache.read(&key, Some(T::PLURAL), load(Instance::Reader), load(Instance::Writer)).await?;
        Ok((Representation::from_bytes(bytes.expect("a page exists, even an empty one")), outcome))
    }

    pub(crate) async fn list_departments(&self) -> Result<(Representation, Outcome), ApiError> {
        let load = async |instance| {
            let rows = self.database.read(instance, departments::LIST, &[]).await?;
            let items = rows.iter().map(Department::from_row).collect();
            let page = Page { plural: "departments", items, next: None };
            Ok::<_, ApiError>(Some(Representation::new(&page).into_bytes()))
        };
        let (bytes, outcome) = self
            .cache
            .read("departments", Some("departments"), load(Instance::Reader), load(Instance::Writer))
            .await?;
        Ok((Representation::from_bytes(bytes.expect("the list exists, even an empty one")), outcome))
    }

    /// Makes a change. Returns the new representation, if there is one, and whether the cache knows of the change.
    pub(crate) async fn change<T: Resource>(
        &self,
        id: &str,
        change: &Change<T::Input>,
    ) -> Result<(Option<Representation>, bool), ApiError> {
        let transaction = self.database.begin().await?;
        let keys = match prepare::<T>(&transaction, id, change).await {
            Ok(keys) => keys,
            Err(error) => {
                transaction.roll_back().await;
                return Err(error);
            }
        };
        let changed = async {
            match apply::<T>(&transaction, id, change).await {
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
        let (result, cache_knows) = self.cache.write(&keys, T::GROUPS, changed).await;
        Ok((result?, cache_knows))
    }
}

/// Locks the resource, checks that the client knows its representation, and returns the keys of all representations that
/// the change affects.
async fn prepare<T: Resource>(
    transaction: &Transaction,
    id: &str,
    change: &Change<T::Input>,
) -> Result<Vec<String>, ApiError> {
    let mut keys = vec![key(T::KIND, id)];
    if let Change::Create(input) | Change::Replace(input, _) = change {
        let (kind, ids) = input.dependents();
        keys.extend(ids.iter().map(|id| key(kind, id)));
    }
    if let Change::Replace(_, tags) | Change::Delete(tags) = change {
        transaction.query(T::LOCK, &[text(id)]).await?;
        let current = select::<T>(transaction, id).await?.ok_or_else(|| ApiError::not_found(T::KIND))?;
        if !tags.match_strongly(&current) {
            let message = format!("The {} was changed. Read it again, and repeat your change.", T::KIND);
            return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "CHANGED", message));
        }
        let dependents = transaction.query(T::DEPENDENTS, &[text(id)]).await?;
        keys.extend(dependents.iter().map(|row| key(row.get("kind"), row.get("id"))));
    }
    Ok(keys)
}

async fn apply<T: Resource>(
    transaction: &Transaction,
    id: &str,
    change: &Change<T::Input>,
) -> Result<Option<Representation>, ApiError> {
    let (statement, input) = match change {
        Change::Create(input) => (T::INSERT, Some(input)),
        Change::Replace(input, _) => (T::UPDATE, Some(input)),
        Change::Delete(_) => (T::DELETE, None),
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
            Some(conflict("IN_USE", format!("Other entries refer to the {}: change them first.", T::KIND)))
        }
        DatabaseError::Reference(constraint) => {
            let known = T::REFERENCES.iter().find(|(name, _)| name == constraint);
            known.map(|(_, field)| ApiError::bad_value(field, "has an id that does not exist"))
        }
        _ => None,
    }
    .unwrap_or_else(|| error.into())
}

fn key(kind: &str, id: &str) -> String {
    format!("{kind}:{id}")
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
