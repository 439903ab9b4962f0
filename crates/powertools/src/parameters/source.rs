//! The sources of values, and the calls of their services.

#[cfg(feature = "parameters-ssm")]
use std::collections::BTreeMap;
#[cfg(feature = "parameters-appconfig")]
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
#[cfg(feature = "parameters-appconfig")]
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "parameters-appconfig")]
use aws_sdk_appconfigdata::operation::get_latest_configuration::GetLatestConfigurationOutput;
use aws_types::SdkConfig;
use bytes::Bytes;

use super::ParametersError;

/// Maximum number of names in GetParameters.
#[cfg(feature = "parameters-ssm")]
const NAMES_PER_REQUEST: usize = 10;

/// A source: the cache's key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Source {
    #[cfg(feature = "parameters-ssm")]
    Parameter { name: String, decrypt: bool },
    #[cfg(feature = "parameters-ssm")]
    ParametersByPath { path: String, recursive: bool, decrypt: bool },
    #[cfg(feature = "parameters-ssm")]
    ParametersByName { names: Vec<String>, decrypt: bool },
    #[cfg(feature = "parameters-secrets")]
    Secret { name: String },
    #[cfg(feature = "parameters-appconfig")]
    AppConfig { application: String, environment: String, profile: String },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "parameters-ssm")]
            Self::Parameter { name, .. } => write!(f, "parameter {name}"),
            #[cfg(feature = "parameters-ssm")]
            Self::ParametersByPath { path, .. } => write!(f, "parameters under {path}"),
            #[cfg(feature = "parameters-ssm")]
            Self::ParametersByName { names, .. } => write!(f, "parameters {}", names.join(", ")),
            #[cfg(feature = "parameters-secrets")]
            Self::Secret { name } => write!(f, "secret {name}"),
            #[cfg(feature = "parameters-appconfig")]
            Self::AppConfig { application, environment, profile } => {
                write!(f, "configuration {application}/{environment}/{profile}")
            }
        }
    }
}

/// The fetched data: one value, or several by name.
pub(super) enum Value {
    One(Bytes),
    #[cfg(feature = "parameters-ssm")]
    Many(BTreeMap<String, String>),
}

/// The state for AppConfig's next request: its token, and the configuration, which is not sent again while unchanged.
#[cfg(feature = "parameters-appconfig")]
pub(super) struct Session {
    pub(super) token: String,
    pub(super) configuration: Bytes,
}

/// The services' clients, each created when first needed: with an extension, never.
pub(super) struct Services {
    config: SdkConfig,
    #[cfg(feature = "parameters-ssm")]
    ssm: OnceLock<aws_sdk_ssm::Client>,
    #[cfg(feature = "parameters-secrets")]
    secrets_manager: OnceLock<aws_sdk_secretsmanager::Client>,
    #[cfg(feature = "parameters-appconfig")]
    app_config: OnceLock<aws_sdk_appconfigdata::Client>,
    /// Taken out during a request; a source has one request at a time.
    #[cfg(feature = "parameters-appconfig")]
    sessions: Mutex<HashMap<Source, Session>>,
}

impl Services {
    pub(super) fn new(config: SdkConfig) -> Self {
        Self {
            config,
            #[cfg(feature = "parameters-ssm")]
            ssm: OnceLock::new(),
            #[cfg(feature = "parameters-secrets")]
            secrets_manager: OnceLock::new(),
            #[cfg(feature = "parameters-appconfig")]
            app_config: OnceLock::new(),
            #[cfg(feature = "parameters-appconfig")]
            sessions: Mutex::default(),
        }
    }

    pub(super) async fn get(&self, source: &Source) -> Result<Value, ParametersError> {
        match source {
            #[cfg(feature = "parameters-ssm")]
            Source::Parameter { name, decrypt } => self.parameter(source, name, *decrypt).await,
            #[cfg(feature = "parameters-ssm")]
            Source::ParametersByPath { path, recursive, decrypt } => {
                self.parameters_by_path(source, path, *recursive, *decrypt).await
            }
            #[cfg(feature = "parameters-ssm")]
            Source::ParametersByName { names, decrypt } => self.parameters_by_name(source, names, *decrypt).await,
            #[cfg(feature = "parameters-secrets")]
            Source::Secret { name } => self.secret(source, name).await,
            #[cfg(feature = "parameters-appconfig")]
            Source::AppConfig { application, environment, profile } => {
                self.configuration(source, [application, environment, profile]).await
            }
        }
    }
}

#[cfg(feature = "parameters-ssm")]
impl Services {
    fn ssm(&self) -> &aws_sdk_ssm::Client {
        self.ssm.get_or_init(|| aws_sdk_ssm::Client::new(&self.config))
    }

    async fn parameter(&self, source: &Source, name: &str, decrypt: bool) -> Result<Value, ParametersError> {
        let answer = self.ssm().get_parameter().name(name).with_decryption(decrypt).send().await;
        let answer = answer.map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
        match answer.parameter.and_then(|parameter| parameter.value) {
            Some(value) => Ok(Value::One(value.into())),
            None => Err(no_value(source)),
        }
    }

    async fn parameters_by_path(
        &self,
        source: &Source,
        path: &str,
        recursive: bool,
        decrypt: bool,
    ) -> Result<Value, ParametersError> {
        let request = self.ssm().get_parameters_by_path().path(path).recursive(recursive).with_decryption(decrypt);
        let mut pages = request.into_paginator().send();
        let mut values = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
            for parameter in page.parameters.unwrap_or_default() {
                let name = parameter.name.unwrap_or_default();
                let name = name.strip_prefix(path).unwrap_or(&name).trim_start_matches('/');
                values.insert(name.to_owned(), parameter.value.unwrap_or_default());
            }
        }
        Ok(Value::Many(values))
    }

    async fn parameters_by_name(
        &self,
        source: &Source,
        names: &[String],
        decrypt: bool,
    ) -> Result<Value, ParametersError> {
        let mut values = BTreeMap::new();
        for names in names.chunks(NAMES_PER_REQUEST) {
            let request = self.ssm().get_parameters().set_names(Some(names.to_vec())).with_decryption(decrypt);
            let answer = request.send().await.map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
            if let missing @ [_, ..] = answer.invalid_parameters() {
                return Err(ParametersError::NotFound { what: format!("parameter {}", missing.join(", ")) });
            }
            for parameter in answer.parameters.unwrap_or_default() {
                values.insert(parameter.name.unwrap_or_default(), parameter.value.unwrap_or_default());
            }
        }
        Ok(Value::Many(values))
    }
}

#[cfg(feature = "parameters-secrets")]
impl Services {
    async fn secret(&self, source: &Source, name: &str) -> Result<Value, ParametersError> {
        let client = self.secrets_manager.get_or_init(|| aws_sdk_secretsmanager::Client::new(&self.config));
        let answer = client.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
        match (answer.secret_string, answer.secret_binary) {
            (Some(text), _) => Ok(Value::One(text.into())),
            (None, Some(binary)) => Ok(Value::One(binary.into_inner().into())),
            (None, None) => Err(no_value(source)),
        }
    }
}

#[cfg(feature = "parameters-appconfig")]
impl Services {
    async fn configuration(
        &self,
        source: &Source,
        [application, environment, profile]: [&String; 3],
    ) -> Result<Value, ParametersError> {
        let client = self.app_config.get_or_init(|| aws_sdk_appconfigdata::Client::new(&self.config));
        // A token is valid for one request, even if it fails.
        let session = self.sessions().remove(source);
        if let Some(Session { token, configuration }) = session
            && let Ok(answer) = client.get_latest_configuration().configuration_token(token).send().await
        {
            return Ok(self.keep(source, answer, configuration));
        }
        // There is no session, or its token expired or was used too early.
        let started = client
            .start_configuration_session()
            .application_identifier(application)
            .environment_identifier(environment)
            .configuration_profile_identifier(profile)
            .send()
            .await
            .map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
        let token = started.initial_configuration_token.unwrap_or_default();
        let answer = client.get_latest_configuration().configuration_token(token).send().await;
        let answer = answer.map_err(|error| ParametersError::of_sdk(source.to_string(), error))?;
        Ok(self.keep(source, answer, Bytes::new()))
    }

    /// The current configuration; the service sends an empty body if it has not changed.
    fn keep(&self, source: &Source, answer: GetLatestConfigurationOutput, unchanged: Bytes) -> Value {
        let configuration = match answer.configuration {
            Some(changed) if !changed.as_ref().is_empty() => changed.into_inner().into(),
            _ => unchanged,
        };
        if let Some(token) = answer.next_poll_configuration_token {
            self.sessions().insert(source.clone(), Session { token, configuration: configuration.clone() });
        }
        Value::One(configuration)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<Source, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(any(feature = "parameters-secrets", feature = "parameters-ssm"))]
fn no_value(source: &Source) -> ParametersError {
    ParametersError::Unavailable { what: source.to_string(), reason: "the answer has no value".into() }
}
