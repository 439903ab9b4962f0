//! What the three kinds of resources have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use crate::database::Parameter;
use crate::error::ApiError;
use crate::listing::Position;

/// A kind of resource: its form in JSON, and the statements that read and change it.
///
/// The statements' first parameter is the id. A change locks the row first, so what depends on it stays as it is until the
/// change is committed: a statement that adds a reference waits for the lock.
pub(crate) trait Resource: Serialize + Send + Sync + Sized {
    /// What staff send.
    type Input: Input;

    const SINGULAR: &str;

    /// The path; also the member of an answer that has the items of a list, and the group of the cache.
    const PLURAL: &str;

    /// Other plurals, whose lists and items depend on resources of this kind.
    const AFFECTED: &[&str];

    const SELECT: &str;
    const LOCK: &str;
    /// Takes the input's parameters, as `UPDATE` does.
    const INSERT: &str;
    const UPDATE: &str;
    const DELETE: &str;

    /// `plural` and `id` of the other resources whose representation depends on this one.
    const DEPENDENTS: &str;

    /// Constraints that another resource's value can violate, with the code and message of the conflict.
    const UNIQUE: &[(&str, &str, &str)];

    /// Constraints that an unknown id violates, with the field that has the id.
    const REFERENCES: &[(&str, &str)];

    /// From a row of `SELECT`.
    fn from_row(row: &Row) -> Self;
}

/// What staff send to create or replace a resource.
pub(crate) trait Input: DeserializeOwned + Send + Sync {
    /// Required to create; to replace, it may be there.
    fn id(&self) -> Option<&str>;

    fn check(&self) -> Result<(), ApiError>;

    /// The parameters of the statement, from `$2` on.
    fn parameters(&self) -> Vec<Parameter>;

    /// The other resources whose representation will depend on this one: their plural and ids.
    fn dependents(&self) -> (&'static str, &[String]);
}

/// A kind of resource that is listed in pages.
pub(crate) trait Listed: Resource {
    /// Takes the parameters of a [`Listing`](crate::listing::Listing).
    const LIST: &str;

    /// An item of a page, with less than the resource.
    type Item: Serialize;

    /// From a row of `LIST`.
    fn item(row: &Row) -> (Self::Item, Position);
}

/// A resource as another one shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub id: String,
    pub name: String,
}

/// From two columns of arrays in the same order.
pub(crate) fn named(row: &Row, ids: &str, names: &str) -> Vec<Named> {
    let (ids, names): (Vec<String>, Vec<String>) = (row.get(ids), row.get(names));
    ids.into_iter().zip(names).map(|(id, name)| Named { id, name }).collect()
}
