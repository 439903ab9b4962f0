//! Do a thing once, however often it is asked for.
#![doc = include_str!("../docs/idempotency.md")]

mod error;
mod hash;
#[cfg(feature = "idempotency-jmespath")]
mod jmespath;
mod store;
#[cfg(test)]
mod tests;
mod value;

use std::convert::Infallible;
use std::env;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambda_runtime::Context;
use lru::LruCache;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

pub use self::error::IdempotencyError;
#[cfg(feature = "idempotency-jmespath")]
pub use self::jmespath::{JmesPath, JmesPathError};

use self::hash::Hash;
use self::store::{Put, Record, Status, Store, milliseconds_since_1970_after, new_attempt, seconds_since_1970_after};
use crate::environment::switch;

/// As Powertools for Python: so often a record that changes while it is looked at is looked at again.
const MAX_RETRIES: usize = 2;

/// Records in DynamoDB of what has been done, in the format of Powertools for Python.
///
/// Make one when the function starts, and share it between invocations; clones share the local cache.
#[derive(Clone, Debug)]
pub struct Idempotency {
    store: Store,
    key_prefix: String,
    expires_after: Duration,
    in_progress_for: Duration,
    raise_on_no_idempotency_key: bool,
    cache: Option<Cache>,
    disabled: bool,
}

impl Idempotency {
    /// Records in this table, kept for an hour.
    ///
    /// The environment variable `POWERTOOLS_IDEMPOTENCY_DISABLED` switches idempotency off, for development.
    pub fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        let mut warnings = Vec::new();
        let disabled = switch("POWERTOOLS_IDEMPOTENCY_DISABLED", &mut warnings).unwrap_or_default();
        for warning in warnings {
            warn!("{warning}");
        }
        if disabled {
            warn!("POWERTOOLS_IDEMPOTENCY_DISABLED is set: everything is done as often as it is asked for");
        }
        Self {
            store: Store::new(client, table.into()),
            // Powertools' own stand-in outside Lambda.
            key_prefix: env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|_| "test-func".into()),
            expires_after: Duration::from_secs(60 * 60),
            in_progress_for: Duration::ZERO,
            raise_on_no_idempotency_key: false,
            cache: None,
            disabled,
        }
    }

    /// What stands before `#` in a record's `id`; without it, the name of the function.
    ///
    /// Records are shared by those who have the same prefix, and by nobody else: a function that does two different
    /// things needs a prefix for each. Powertools for Python has `<function>.<module>.<handler>` unless it is given a
    /// `key_prefix`.
    #[must_use]
    pub fn key_prefix(mut self, key_prefix: impl Into<String>) -> Self {
        self.key_prefix = key_prefix.into();
        self
    }

    /// For how long a record is good; an hour unless said otherwise, counted in seconds.
    #[must_use]
    pub fn expires_after(mut self, duration: Duration) -> Self {
        self.expires_after = duration;
        self
    }

    /// For how long at least an attempt without an end keeps others from trying: a lease.
    ///
    /// Without it, that is the invocation's remaining time, after which Lambda has ended the attempt. It has to be
    /// longer when the attempt may still have an effect after that: see [`Call::keep_in_progress_if`].
    #[must_use]
    pub fn in_progress_for(mut self, duration: Duration) -> Self {
        self.in_progress_for = duration;
        self
    }

    /// Makes a missing key an error, [`IdempotencyError::Key`], instead of doing the thing with a warning and no record.
    ///
    /// Missing is what Powertools takes for it: `null`, an empty text, and a list or object with nothing but `null`.
    #[must_use]
    pub fn raise_on_no_idempotency_key(mut self) -> Self {
        self.raise_on_no_idempotency_key = true;
        self
    }

    /// Keeps so many completed records in memory as well, those used last. Powertools' own size is 256.
    #[must_use]
    pub fn local_cache(mut self, max_items: NonZeroUsize) -> Self {
        self.cache = Some(Cache(Arc::new(Mutex::new(LruCache::new(max_items)))));
        self
    }

    /// For a table with a sort key: `id` always holds `static_pk_value`, and the sort key what `id` holds otherwise.
    ///
    /// Powertools for Python takes `idempotency#<function>` for the value unless it is given another.
    #[must_use]
    pub fn composite_key(mut self, static_pk_value: impl Into<String>, sort_key_attr: impl Into<String>) -> Self {
        self.store.composite_key = Some((static_pk_value.into(), sort_key_attr.into()));
        self
    }

    /// Runs the body, unless it has been run for this key: then the response of that time is given again.
    ///
    /// The key is the event or a part of it, or any other value; what matters is its JSON. The record is completed
    /// with the response as JSON, and deleted when the body fails. See [`for_key`](Self::for_key) for more choices.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError::Body`] has the body's own error; the others say why the body did not run, or that its
    /// response could not be saved.
    pub async fn run<R, E>(
        &self,
        key: &(impl Serialize + ?Sized),
        context: &Context,
        body: impl AsyncFnOnce() -> Result<R, E>,
    ) -> Result<R, IdempotencyError<E>>
    where
        R: Serialize + DeserializeOwned,
    {
        self.for_key(key).run(context, body).await
    }

    /// A call with this key, for which more can be said before it is [run](Call::run).
    pub fn for_key<E>(&self, key: &(impl Serialize + ?Sized)) -> Call<'_, E> {
        Call { idempotency: self, key: Hash::new(key), validation: None, keep_in_progress_if: |_| false }
    }

    /// Notes the response for this key, for whoever learns from elsewhere what became of an attempt that had no end.
    ///
    /// # Errors
    ///
    /// See [`IdempotencyError`]; a missing key is an error here.
    pub async fn complete(
        &self,
        key: &(impl Serialize + ?Sized),
        response: &impl Serialize,
    ) -> Result<(), IdempotencyError> {
        let key = Hash::new(key).map_err(|_| IdempotencyError::Serialization(error::KEY))?;
        if key.is_missing {
            return Err(IdempotencyError::Key);
        }
        self.save::<_, Infallible>(&self.id(&key), None, response).await
    }

    fn id(&self, key: &Hash) -> String {
        format!("{}#{}", self.key_prefix, key.hexadecimal)
    }

    async fn save<R: Serialize, E>(
        &self,
        id: &str,
        validation: Option<String>,
        response: &R,
    ) -> Result<(), IdempotencyError<E>> {
        let data = serde_json::to_string(response).map_err(|_| IdempotencyError::Serialization(error::RESPONSE))?;
        let record = Record {
            status: Status::Completed,
            expiration: seconds_since_1970_after(self.expires_after),
            in_progress_expiration: None,
            attempt: None,
            data: Some(data),
            validation,
        };
        self.store.update(id, &record).await?;
        if let Some(mut cache) = self.cached() {
            cache.put(id.to_owned(), record);
        }
        Ok(())
    }

    fn cached(&self) -> Option<MutexGuard<'_, LruCache<String, Record>>> {
        // Nothing that could panic happens while it is locked.
        self.cache.as_ref().map(|cache| cache.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone)]
struct Cache(Arc<Mutex<LruCache<String, Record>>>);

/// Responses can be personal.
impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cache")
    }
}

/// Something to be done once; made by [`Idempotency::for_key`].
#[derive(Debug)]
#[must_use = "nothing is done before it is run"]
pub struct Call<'a, E> {
    idempotency: &'a Idempotency,
    key: Result<Hash, serde_json::Error>,
    validation: Option<Result<Hash, serde_json::Error>>,
    keep_in_progress_if: fn(&E) -> bool,
}

/// Where a call begins.
enum Begun {
    /// The body has to run, as this attempt.
    Run(String),
    /// It has run, with this response.
    Replay(String),
}

impl<E> Call<'_, E> {
    /// Payload validation: who comes with the same key must come with the same payload, too.
    ///
    /// A key that is used again for another payload is a mistake, [`IdempotencyError::Validation`].
    pub fn validate(mut self, payload: &(impl Serialize + ?Sized)) -> Self {
        self.validation = Some(Hash::new(payload));
        self
    }

    /// Keeps the record in progress after these errors of the body, instead of deleting it.
    ///
    /// That is for errors that do not say whether there was an effect, such as a time-out: others can't try before the
    /// record ceases to be in progress ([`Idempotency::in_progress_for`]), or must not at all if
    /// [`Idempotency::complete`] is called until then.
    pub fn keep_in_progress_if(mut self, outcome_is_unknown: fn(&E) -> bool) -> Self {
        self.keep_in_progress_if = outcome_is_unknown;
        self
    }

    /// As [`Idempotency::run`].
    ///
    /// # Errors
    ///
    /// As [`Idempotency::run`].
    pub async fn run<R>(
        self,
        context: &Context,
        body: impl AsyncFnOnce() -> Result<R, E>,
    ) -> Result<R, IdempotencyError<E>>
    where
        R: Serialize + DeserializeOwned,
    {
        let Self { idempotency, key, validation, keep_in_progress_if } = self;
        if idempotency.disabled {
            return body().await.map_err(IdempotencyError::Body);
        }
        let key = key.map_err(|_| IdempotencyError::Serialization(error::KEY))?;
        if key.is_missing {
            if idempotency.raise_on_no_idempotency_key {
                return Err(IdempotencyError::Key);
            }
            warn!("the event has no idempotency key: it is handled without a record");
            return body().await.map_err(IdempotencyError::Body);
        }
        let id = idempotency.id(&key);
        let validation = match validation {
            Some(payload) => Some(payload.map_err(|_| IdempotencyError::Serialization(error::PAYLOAD))?.hexadecimal),
            None => None,
        };
        match idempotency.begin(&id, validation.clone(), context).await? {
            Begun::Replay(data) => {
                debug!("idempotent: the response of an earlier time is given again");
                serde_json::from_str(&data).map_err(|_| IdempotencyError::Serialization(error::STORED))
            }
            Begun::Run(attempt) => match body().await {
                Ok(response) => {
                    idempotency.save(&id, validation, &response).await?;
                    Ok(response)
                }
                Err(error) => {
                    if !keep_in_progress_if(&error) {
                        idempotency.give_up(&id, &attempt).await;
                    }
                    Err(IdempotencyError::Body(error))
                }
            },
        }
    }
}

impl Idempotency {
    async fn begin<E>(
        &self,
        id: &str,
        validation: Option<String>,
        context: &Context,
    ) -> Result<Begun, IdempotencyError<E>> {
        let cached = self.cached().and_then(|mut cache| cache.get(id).cloned());
        if let Some(record) = cached {
            if !record.is_expired() {
                record.validate(validation.as_deref())?;
                return Ok(Begun::Replay(record.response()));
            }
            self.cached().map(|mut cache| cache.pop(id));
        }
        for _ in 0..=MAX_RETRIES {
            let in_progress_for = crate::remaining_time(context).max(self.in_progress_for);
            let attempt = new_attempt();
            let record = Record {
                status: Status::InProgress,
                // A record that is expired is anybody's, in progress or not: a lease must not end by that.
                expiration: seconds_since_1970_after(self.expires_after.max(self.in_progress_for)),
                in_progress_expiration: Some(milliseconds_since_1970_after(in_progress_for)),
                attempt: Some(attempt.clone()),
                data: None,
                validation: validation.clone(),
            };
            let Put::Exists(existing) = self.store.put(id, &record).await? else {
                return Ok(Begun::Run(attempt));
            };
            let Some(existing) = existing else { continue };
            existing.validate(validation.as_deref())?;
            match existing.status {
                // The store refused because neither was so, a moment ago.
                _ if existing.is_expired() || existing.is_timed_out() => {}
                Status::InProgress => return Err(IdempotencyError::AlreadyInProgress),
                Status::Completed => {
                    let response = existing.response();
                    if let Some(mut cache) = self.cached() {
                        cache.put(id.to_owned(), existing);
                    }
                    return Ok(Begun::Replay(response));
                }
            }
        }
        Err(IdempotencyError::InconsistentState)
    }

    /// Deletes the record of a body that failed, whose error matters more than whether that succeeds.
    async fn give_up(&self, id: &str, attempt: &str) {
        if let Err(error) = self.store.delete(id, attempt).await {
            let error: IdempotencyError = error;
            warn!(%error, "the body failed, and its record stays in progress until its expiry");
        }
    }
}
