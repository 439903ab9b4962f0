#![doc = include_str!("../docs/parameters.md")]

mod error;
mod extension;
mod source;
#[cfg(all(test, feature = "parameters"))]
mod tests;
mod transform;

#[cfg(feature = "parameters-ssm")]
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_types::SdkConfig;
use aws_types::sdk_config::SharedTimeSource;
use serde::de::DeserializeOwned;
use tracing::warn;

pub use error::ParametersError;
use extension::Extensions;
use source::{Services, Source, Value};

use crate::environment;

/// The default of Powertools for Python since version 3.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);

/// Parameters, secrets and configurations, with a cache.
///
/// Create one when the function starts and share it. The cache has no size limit.
pub struct Parameters {
    extensions: Extensions,
    services: Services,
    time: SharedTimeSource,
    max_age: Duration,
    #[cfg(feature = "parameters-ssm")]
    decrypt: bool,
    slots: Mutex<HashMap<Source, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// The cache of one source. The holder of the lock fetches.
#[derive(Default)]
struct Slot {
    last: Option<Last>,
    attempt: Option<Attempt>,
}

struct Last {
    value: Arc<Value>,
    fetched: SystemTime,
}

/// The latest attempt to fetch, for concurrent callers.
struct Attempt {
    started: Instant,
    ended: Instant,
    result: Result<(), ParametersError>,
}

impl Parameters {
    /// Uses the region and the endpoints of this configuration.
    ///
    /// `POWERTOOLS_PARAMETERS_MAX_AGE` (in seconds) and `POWERTOOLS_PARAMETERS_SSM_DECRYPT` set the defaults of calls; an
    /// invalid value causes a warning and is ignored. Fetches nothing.
    pub fn new(config: &SdkConfig) -> Self {
        let mut warnings = Vec::new();
        let parameters = Self {
            extensions: Extensions::new(&mut warnings),
            time: config.time_source().unwrap_or_default(),
            services: Services::new(config.clone()),
            max_age: max_age(&mut warnings),
            #[cfg(feature = "parameters-ssm")]
            decrypt: environment::switch("POWERTOOLS_PARAMETERS_SSM_DECRYPT", &mut warnings) == Some(true),
            slots: Mutex::default(),
        };
        for warning in warnings {
            warn!("{warning}");
        }
        parameters
    }

    /// A parameter of SSM Parameter Store, by name or ARN; `name:version` and `name:label` choose one of its versions.
    ///
    /// A `SecureString` is returned encrypted, unless the call has [`decrypt`](Get::decrypt).
    #[cfg(feature = "parameters-ssm")]
    pub fn get_parameter(&self, name: impl Into<String>) -> Get<'_, String> {
        self.request(Source::Parameter { name: name.into(), decrypt: self.decrypt })
    }

    /// All parameters below a path of SSM Parameter Store, [recursively](Get::recursive), by their names without the path.
    /// There may be none. The extension does not support this: they are read from the service.
    #[cfg(feature = "parameters-ssm")]
    pub fn get_parameters(&self, path: impl Into<String>) -> Get<'_, BTreeMap<String, String>> {
        self.request(Source::ParametersByPath { path: path.into(), recursive: true, decrypt: self.decrypt })
    }

    /// Several parameters of SSM Parameter Store by name, ten per request; a missing one is an error.
    ///
    /// They are cached together: another set of names is fetched again. The extension does not support this.
    #[cfg(feature = "parameters-ssm")]
    pub fn get_parameters_by_name<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Get<'_, BTreeMap<String, String>> {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        self.request(Source::ParametersByName { names, decrypt: self.decrypt })
    }

    /// The current version of a secret of Secrets Manager, by name or ARN.
    #[cfg(feature = "parameters-secrets")]
    pub fn get_secret(&self, name: impl Into<String>) -> Get<'_, String> {
        self.request(Source::Secret { name: name.into() })
    }

    /// The deployed configuration of a profile in AppConfig; each argument is a name or an id.
    #[cfg(feature = "parameters-appconfig")]
    pub fn get_app_config(
        &self,
        application: impl Into<String>,
        environment: impl Into<String>,
        profile: impl Into<String>,
    ) -> Get<'_, String> {
        self.request(Source::AppConfig {
            application: application.into(),
            environment: environment.into(),
            profile: profile.into(),
        })
    }

    fn request<T>(&self, source: Source) -> Get<'_, T> {
        let max_age = self.max_age;
        Get { parameters: self, source, max_age, force_fetch: false, stale_if_error: None, output: PhantomData }
    }

    /// One request at a time for a source: concurrent callers wait and get its result, even an error.
    async fn get(
        &self,
        source: &Source,
        max_age: Duration,
        force_fetch: bool,
        stale_if_error: Option<Duration>,
    ) -> Result<Arc<Value>, ParametersError> {
        let asked = Instant::now();
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(source.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(last) = &slot.last
            && !force_fetch
            && self.age(last) < max_age
        {
            return Ok(last.value.clone());
        }
        // A forced fetch does not use a request that started before it: its value can be older than the caller expects.
        let is_answered = |attempt: &Attempt| asked <= if force_fetch { attempt.started } else { attempt.ended };
        let result = match &slot.attempt {
            Some(attempt) if is_answered(attempt) => attempt.result.clone(),
            _ => self.fetch(source, &mut slot, force_fetch).await,
        };
        match (result, &slot.last) {
            (Ok(()), Some(last)) => Ok(last.value.clone()),
            (Err(error @ ParametersError::Unavailable { .. }), Some(last))
                if stale_if_error.is_some_and(|limit| self.age(last) <= limit) =>
            {
                warn!(%error, age_seconds = self.age(last).as_secs(), "using a stale value");
                Ok(last.value.clone())
            }
            (Err(error), _) => Err(error),
            (Ok(()), None) => unreachable!("a successful attempt leaves a value"),
        }
    }

    async fn fetch(&self, source: &Source, slot: &mut Slot, force_fetch: bool) -> Result<(), ParametersError> {
        let (started, fetched) = (Instant::now(), self.time.now());
        // The extension has a cache, too, so a forced fetch must use the service.
        let value = if force_fetch { None } else { self.extensions.get(source).await };
        let result = match value {
            Some(value) => Ok(Value::One(value)),
            None => self.services.get(source).await,
        };
        let result = result.map(|value| slot.last = Some(Last { value: Arc::new(value), fetched }));
        slot.attempt = Some(Attempt { started, ended: Instant::now(), result: result.clone() });
        result
    }

    /// By the system clock, which continues while the execution environment is frozen; a time in the future is too old.
    fn age(&self, last: &Last) -> Duration {
        self.time.now().duration_since(last.fetched).unwrap_or(Duration::MAX)
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without values.
        f.debug_struct("Parameters").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

fn max_age(warnings: &mut Vec<String>) -> Duration {
    let Some(value) = environment::variable("POWERTOOLS_PARAMETERS_MAX_AGE") else { return DEFAULT_MAX_AGE };
    value.parse().map(Duration::from_secs).unwrap_or_else(|_| {
        warnings.push(format!(
            "POWERTOOLS_PARAMETERS_MAX_AGE is {value:?}: set it to whole seconds; using {DEFAULT_MAX_AGE:?}"
        ));
        DEFAULT_MAX_AGE
    })
}

/// A request for a value; await it to get a `T`, or end it with a transform.
///
/// All variants of [`ParametersError`] are possible; only transforms, and text that is not UTF-8, cause
/// [`Transform`](ParametersError::Transform).
#[must_use = "nothing is fetched until it is awaited"]
pub struct Get<'a, T> {
    parameters: &'a Parameters,
    source: Source,
    max_age: Duration,
    force_fetch: bool,
    stale_if_error: Option<Duration>,
    output: PhantomData<fn() -> T>,
}

impl<T> Get<'_, T> {
    /// Uses a cached value if it is younger; with zero, only one that is being fetched.
    ///
    /// The default is `POWERTOOLS_PARAMETERS_MAX_AGE`, or 300 seconds.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Fetches the value from the service, bypassing this cache and the extension's.
    pub fn force_fetch(mut self) -> Self {
        self.force_fetch = true;
        self
    }

    /// Returns the last fetched value, with a warning in the log, if the source is
    /// [unavailable](ParametersError::Unavailable) and the value is not older than this.
    ///
    /// Never returns a value that was deleted or may no longer be read.
    pub fn stale_if_error(mut self, limit: Duration) -> Self {
        self.stale_if_error = Some(limit);
        self
    }

    /// Sets whether to decrypt `SecureString`s of Parameter Store; needs `kms:Decrypt` for a customer managed key.
    ///
    /// The default is `POWERTOOLS_PARAMETERS_SSM_DECRYPT`, or `false`. Other sources ignore it.
    #[cfg(feature = "parameters-ssm")]
    pub fn decrypt(mut self, yes: bool) -> Self {
        match &mut self.source {
            Source::Parameter { decrypt, .. }
            | Source::ParametersByPath { decrypt, .. }
            | Source::ParametersByName { decrypt, .. } => *decrypt = yes,
            #[cfg(feature = "parameters-secrets")]
            Source::Secret { .. } => {}
            #[cfg(feature = "parameters-appconfig")]
            Source::AppConfig { .. } => {}
        }
        self
    }

    /// Boxed, because the SDK's futures are nested too deeply for the compiler to type the caller's.
    fn value(&self) -> Pin<Box<dyn Future<Output = Result<Arc<Value>, ParametersError>> + Send + '_>> {
        Box::pin(self.parameters.get(&self.source, self.max_age, self.force_fetch, self.stale_if_error))
    }
}

impl Get<'_, String> {
    /// The value, parsed as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ParametersError> {
        transform::json(&self.source, one(&*self.value().await?))
    }

    /// The bytes, decoded from base64.
    pub async fn binary(self) -> Result<Vec<u8>, ParametersError> {
        transform::binary(&self.source, one(&*self.value().await?))
    }

    /// The value's raw bytes, for a binary secret or configuration.
    pub async fn bytes(self) -> Result<Vec<u8>, ParametersError> {
        Ok(one(&*self.value().await?).to_vec())
    }
}

impl<'a> IntoFuture for Get<'a, String> {
    type Output = Result<String, ParametersError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { transform::text(&self.source, one(&*self.value().await?)) })
    }
}

#[cfg(feature = "parameters-ssm")]
impl Get<'_, BTreeMap<String, String>> {
    /// Sets whether to include parameters more than one level below the path; the default is `true`.
    pub fn recursive(mut self, yes: bool) -> Self {
        if let Source::ParametersByPath { recursive, .. } = &mut self.source {
            *recursive = yes;
        }
        self
    }

    /// The values, each parsed as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<BTreeMap<String, T>, ParametersError> {
        let value = self.value().await?;
        let values = many(&value).iter();
        values
            .map(|(name, value)| {
                Ok((name.clone(), transform::json(format!("{name} of {}", self.source), value.as_bytes())?))
            })
            .collect()
    }
}

#[cfg(feature = "parameters-ssm")]
impl<'a> IntoFuture for Get<'a, BTreeMap<String, String>> {
    type Output = Result<BTreeMap<String, String>, ParametersError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(many(&*self.value().await?).clone()) })
    }
}

impl<T> fmt::Debug for Get<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").field("source", &self.source).finish_non_exhaustive()
    }
}

fn one(value: &Value) -> &[u8] {
    match value {
        Value::One(value) => value,
        #[cfg(feature = "parameters-ssm")]
        Value::Many(_) => unreachable!("a single source has a single value"),
    }
}

#[cfg(feature = "parameters-ssm")]
fn many(value: &Value) -> &BTreeMap<String, String> {
    match value {
        Value::Many(values) => values,
        Value::One(_) => unreachable!("a source of several values has several"),
    }
}

/// Parses external input, for the fuzz targets.
#[cfg(all(feature = "_fuzzing", feature = "parameters-secrets"))]
#[doc(hidden)]
pub fn fuzz_answer(answer: &[u8]) {
    let answer = bytes::Bytes::copy_from_slice(answer);
    let source = Source::Secret { name: "fuzz".into() };
    for value in [extension::value(&source, &answer), Some(answer)].into_iter().flatten() {
        let _ = transform::json::<serde_json::Value>(&source, &value);
        let _ = transform::binary(&source, &value);
        if let Ok(text) = transform::text(&source, &value) {
            assert_eq!(text.as_bytes(), value);
        }
    }
}
