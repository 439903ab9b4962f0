//! Run an operation once per key.
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

/// How often `run` tries again if the record changes meanwhile; the same as in Powertools for Python.
const MAX_RETRIES: usize = 2;

/// Runs operations once per key, with records in DynamoDB in the format of Powertools for Python.
///
/// Create one when the function starts and share it between invocations; clones share the local cache.
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
    /// Uses this table, and keeps records for an hour.
    ///
    /// The environment variable `POWERTOOLS_IDEMPOTENCY_DISABLED` turns idempotency off, for development.
    pub fn new(client: aws_sdk_dynamodb::Client, table: impl Into<String>) -> Self {
        let mut warnings = Vec::new();
        let disabled = switch("POWERTOOLS_IDEMPOTENCY_DISABLED", &mut warnings).unwrap_or_default();
        for warning in warnings {
            warn!("{warning}");
        }
        if disabled {
            warn!("POWERTOOLS_IDEMPOTENCY_DISABLED is set: repeated requests are handled again");
        }
        Self {
            store: Store::new(client, table.into()),
            // Powertools' default outside Lambda.
            key_prefix: env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|_| "test-func".into()),
            expires_after: Duration::from_secs(60 * 60),
            in_progress_for: Duration::ZERO,
            raise_on_no_idempotency_key: false,
            cache: None,
            disabled,
        }
    }

    /// Sets the part before `#` in a record's `id`; the default is the name of the function.
    ///
    /// Callers with the same prefix share records. A function with two different operations needs a prefix for each. The
    /// default of Powertools for Python is `<function>.<module>.<handler>`.
    #[must_use]
    pub fn key_prefix(mut self, key_prefix: impl Into<String>) -> Self {
        self.key_prefix = key_prefix.into();
        self
    }

    /// Sets how long a record is valid, in whole seconds; the default is an hour.
    #[must_use]
    pub fn expires_after(mut self, duration: Duration) -> Self {
        self.expires_after = duration;
        self
    }

    /// Sets the minimum time for which an unfinished attempt blocks others: a lease.
    ///
    /// The default is the invocation's remaining time, after which Lambda has ended the attempt. Set a longer time if the
    /// attempt can still have an effect after that: see [`Call::keep_in_progress_if`].
    #[must_use]
    pub fn in_progress_for(mut self, duration: Duration) -> Self {
        self.in_progress_for = duration;
        self
    }

    /// Makes a missing key an error, [`IdempotencyError::Key`]. By default, the body runs with a warning and without a record.
    ///
    /// As in Powertools, `null`, an empty string, and a list or object with only `null` count as missing.
    #[must_use]
    pub fn raise_on_no_idempotency_key(mut self) -> Self {
        self.raise_on_no_idempotency_key = true;
        self
    }

    /// Also keeps the most recently used completed records in memory, up to this number. Powertools' default is 256.
    #[must_use]
    pub fn local_cache(mut self, max_items: NonZeroUsize) -> Self {
        self.cache = Some(Cache(Arc::new(Mutex::new(LruCache::new(max_items)))));
        self
    }

    /// For a table with a sort key: `id` is always `static_pk_value`, and the sort key has the value that `id` has otherwise.
    ///
    /// The default value in Powertools for Python is `idempotency#<function>`.
    #[must_use]
    pub fn composite_key(mut self, static_pk_value: impl Into<String>, sort_key_attr: impl Into<String>) -> Self {
        self.store.composite_key = Some((static_pk_value.into(), sort_key_attr.into()));
        self
    }

    /// Runs the body, unless it has run for this key: then returns the stored response.
    ///
    /// The key is the event, a part of it, or any other value; its JSON identifies the record. The record is completed
    /// with the response as JSON, and deleted if the body fails. [`for_key`](Self::for_key) has more options.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError::Body`] contains the body's error. The other errors mean that the body did not run, or that its
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

    /// A call with this key, to set options before [running](Call::run) it.
    pub fn for_key<E>(&self, key: &(impl Serialize + ?Sized)) -> Call<'_, E> {
        Call { idempotency: self, key: Hash::new(key), validation: None, keep_in_progress_if: |_| false }
    }

    /// Completes the record of this key with a response, if the result of an unfinished attempt becomes known otherwise.
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
        // No code panics while it is locked.
        self.cache.as_ref().map(|cache| cache.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone)]
struct Cache(Arc<Mutex<LruCache<String, Record>>>);

/// Without responses, which can contain personal data.
impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cache")
    }
}

/// A call that runs once per key; created by [`Idempotency::for_key`].
#[derive(Debug)]
#[must_use = "nothing is done before it is run"]
pub struct Call<'a, E> {
    idempotency: &'a Idempotency,
    key: Result<Hash, serde_json::Error>,
    validation: Option<Result<Hash, serde_json::Error>>,
    keep_in_progress_if: fn(&E) -> bool,
}

/// The first step of a call.
enum Begun {
    /// The body has to run, as the attempt with this name.
    Run(String),
    /// The body has run and returned this response.
    Replay(String),
}

impl<E> Call<'_, E> {
    /// Validates the payload: a repeated key with another payload is an error, [`IdempotencyError::Validation`].
    pub fn validate(mut self, payload: &(impl Serialize + ?Sized)) -> Self {
        self.validation = Some(Hash::new(payload));
        self
    }

    /// Keeps the record in progress after these errors of the body, instead of deleting it.
    ///
    /// Use it for errors after which the effect is unknown, such as a timeout: there is no other attempt before the
    /// in-progress time ends ([`Idempotency::in_progress_for`]), and none at all if [`Idempotency::complete`] is called
    /// before that.
    pub fn keep_in_progress_if(mut self, outcome_is_unknown: fn(&E) -> bool) -> Self {
        self.keep_in_progress_if = outcome_is_unknown;
        self
    }

    /// Like [`Idempotency::run`].
    ///
    /// # Errors
    ///
    /// See [`Idempotency::run`].
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
            warn!("the event has no idempotency key and is handled without a record");
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
                // An expired record does not block others even if it is in progress, so it must not expire before the lease.
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
                // A moment ago, the record was neither expired nor timed out.
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

    /// Deletes the record of a failed body. If that fails, the body's error is still returned.
    async fn give_up(&self, id: &str, attempt: &str) {
        if let Err(error) = self.store.delete(id, attempt).await {
            let error: IdempotencyError = error;
            warn!(%error, "the body failed, and its record could not be deleted: it stays in progress until its expiry");
        }
    }
}
