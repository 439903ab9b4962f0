//! The SDK's own client, whose requests go through DAX.
//!
//! The SDK's orchestrator runs as always. In it, four parts are replaced:
//!
//! | part | of a request that DAX can answer |
//! |---|---|
//! | serializer | keeps the typed input, and makes an empty request |
//! | endpoint, authentication | DAX's endpoint, no signature |
//! | HTTP client | the exchange with DAX. An error becomes a response of DynamoDB, so that the SDK makes the typed error of it. |
//! | deserializer | returns the typed output |
//!
//! Every other request passes through them unchanged.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::config::auth::{DefaultAuthSchemeResolver, Params, ResolveAuthScheme};
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, HttpClient, Intercept, RuntimeComponents, SharedHttpClient, endpoint};
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::scan::ScanInput;
use aws_sdk_dynamodb::operation::transact_get_items::{TransactGetItemsError, TransactGetItemsInput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsInput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_smithy_runtime::client::auth::no_auth::NO_AUTH_SCHEME_ID;
use aws_smithy_runtime::client::defaults::default_http_client_plugin_v2;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, AuthSchemeOptionsFuture, ResolveAuthSchemeOptions, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::{Error as OperationError, Input, Output, OutputOrError};
use aws_smithy_runtime_api::client::interceptors::{SharedInterceptor, disable_interceptor};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{FrozenLayer, Layer, Storable, StoreReplace};
use aws_types::SdkConfig;

use crate::client::Client;
use crate::error::{Error, ServiceError};
use crate::operations::Operation;

/// A client of the SDK whose requests go through DAX, at an endpoint (`dax://…`, or `daxs://…` with encryption). What DAX cannot do goes to DynamoDB.
///
/// # Errors
///
/// [`Error::Configuration`] if the endpoint has another form, or the region or the credentials are missing.
pub fn dynamodb_client(endpoint: &str, config: &SdkConfig) -> Result<aws_sdk_dynamodb::Client, Error> {
    let missing = |what: &str| Error::Configuration(format!("{what} missing: load them with aws_config"));
    let region = config.region().ok_or_else(|| missing("the region is"))?;
    let credentials = config.credentials_provider().ok_or_else(|| missing("the credentials are"))?;
    let dax = Client::builder(endpoint, region.as_ref(), credentials);
    let dax = dax.time_source(config.time_source().unwrap_or_default()).build()?;
    Ok(dax.dynamodb_client(&Config::from(config)))
}

impl Client {
    /// A client of the SDK whose requests go through this one. What DAX cannot do goes to DynamoDB, as `config` says.
    ///
    /// Retries, time-outs of operations and attempts, and interceptors of `config` apply to both. Its time-outs of connections and reads, endpoint
    /// and credentials do not apply to requests through DAX.
    pub fn dynamodb_client(&self, config: &Config) -> aws_sdk_dynamodb::Client {
        let http = config.http_client().or_else(|| {
            let plugin = default_http_client_plugin_v2(BehaviorVersion::latest())?;
            plugin.runtime_components(&RuntimeComponentsBuilder::new("default")).http_client()
        });
        let dynamodb = config.auth_scheme_resolver();
        let dynamodb = dynamodb.unwrap_or_else(|| DefaultAuthSchemeResolver::default().into_shared_resolver());
        let builder = config.to_builder().auth_scheme_resolver(AuthSchemes { dynamodb });
        let mut builder = builder.http_client(Transport { dax: self.clone(), http });
        let redirect = Redirect { endpoint: self.endpoint(), without_http: without_http() };
        builder.push_interceptor(SharedInterceptor::permanent(redirect));
        aws_sdk_dynamodb::Client::from_conf(builder.build())
    }
}

/// A request that DAX answers, with its typed input.
#[derive(Clone, Debug)]
struct Call(Arc<dyn Exchange>);

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

trait Exchange: fmt::Debug + Send + Sync {
    fn start(self: Arc<Self>, dax: Client) -> HttpConnectorFuture;
    /// The typed output, or an error that is typed already.
    fn take(&self) -> Option<OutputOrError>;
}

struct Pending<O> {
    input: O,
    /// See [`Client::call`].
    sent: AtomicBool,
    result: Mutex<Option<OutputOrError>>,
    canceled: fn(TransactionCanceledException) -> Option<OperationError>,
}

impl<O> fmt::Debug for Pending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<O: Operation> Exchange for Pending<O> {
    fn start(self: Arc<Self>, dax: Client) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async move {
            // The SDK retries what took longer than an attempt may.
            if O::WRITES && self.sent.load(Ordering::Relaxed) {
                return Err(ConnectorError::other(Error::Unanswered.into(), None));
            }
            let keep = |result| *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            match dax.call(&self.input, &self.sent).await {
                Ok(output) => {
                    keep(Ok(Output::erase(output)));
                    Ok(HttpResponse::new(200.try_into().map_err(failed)?, SdkBody::empty()))
                }
                Err(Error::Service(refused)) => {
                    if let Some(error) = canceled(&refused).and_then(self.canceled) {
                        keep(Err(OrchestratorError::operation(error)));
                    }
                    response(&refused.code, &refused.message, refused.status, refused.request_id)
                }
                // DynamoDB would answer this.
                Err(Error::Invalid(message)) => response("ValidationException", &message, 400, None),
                Err(error) => Err(match error {
                    _ if O::WRITES && self.sent.load(Ordering::Relaxed) => failed(error),
                    Error::Unresolved { .. }
                    | Error::Unreachable { .. }
                    | Error::Interrupted { .. }
                    | Error::NoNodes => ConnectorError::io(error.into()),
                    // A retry would take as long again, or have the same error.
                    _ => failed(error),
                }),
            }
        })
    }

    fn take(&self) -> Option<OutputOrError> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An error that the SDK does not retry.
fn failed(error: impl Into<BoxError>) -> ConnectorError {
    ConnectorError::other(error.into(), None)
}

fn canceled(refused: &ServiceError) -> Option<TransactionCanceledException> {
    if refused.cancellation_reasons.is_empty() {
        return None;
    }
    let metadata = ErrorMetadata::builder().code(&refused.code).message(&refused.message).build();
    let canceled = TransactionCanceledException::builder().message(&refused.message).meta(metadata);
    Some(canceled.set_cancellation_reasons(Some(refused.cancellation_reasons.clone())).build())
}

/// A response of DynamoDB that is an error.
fn response(code: &str, message: &str, status: u16, id: Option<String>) -> Result<HttpResponse, ConnectorError> {
    let mut body = String::from("{\"message\":\"");
    for character in message.chars() {
        match character {
            '"' | '\\' => body.extend(['\\', character]),
            '\0'..' ' => body.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => body.push(character),
        }
    }
    body.push_str("\"}");
    let mut response = HttpResponse::new(status.try_into().map_err(failed)?, SdkBody::from(body));
    response.headers_mut().try_insert("x-amzn-errortype", code.to_owned()).map_err(failed)?;
    if let Some(id) = id {
        response.headers_mut().try_insert("x-amzn-requestid", id).map_err(failed)?;
    }
    Ok(response)
}

fn pend<O: Operation>(
    input: Input,
    canceled: fn(TransactionCanceledException) -> Option<OperationError>,
) -> Result<Call, Input> {
    match input.downcast::<O>() {
        Ok(input) if input.check().is_ok() => {
            Ok(Call(Arc::new(Pending { input, sent: AtomicBool::default(), result: Mutex::default(), canceled })))
        }
        Ok(input) => Err(Input::erase(input)),
        Err(input) => Err(input),
    }
}

/// The call, or the input if it is one that DAX does not take.
fn call(input: Input) -> Result<Call, Input> {
    let write = |canceled| Some(OperationError::erase(TransactWriteItemsError::TransactionCanceledException(canceled)));
    let get = |canceled| Some(OperationError::erase(TransactGetItemsError::TransactionCanceledException(canceled)));
    pend::<GetItemInput>(input, |_| None)
        .or_else(|input| pend::<QueryInput>(input, |_| None))
        .or_else(|input| pend::<BatchGetItemInput>(input, |_| None))
        .or_else(|input| pend::<ScanInput>(input, |_| None))
        .or_else(|input| pend::<PutItemInput>(input, |_| None))
        .or_else(|input| pend::<UpdateItemInput>(input, |_| None))
        .or_else(|input| pend::<DeleteItemInput>(input, |_| None))
        .or_else(|input| pend::<BatchWriteItemInput>(input, |_| None))
        .or_else(|input| pend::<TransactGetItemsInput>(input, get))
        .or_else(|input| pend::<TransactWriteItemsInput>(input, write))
}

/// Switches off what only HTTP needs: headers, and a watch over slow bodies.
fn without_http() -> FrozenLayer {
    const CAUSE: &str = "DAX gets no headers";
    let mut layer = Layer::new("dynamodb-dax");
    layer
        .store_put(disable_interceptor::<InvocationIdInterceptor>(CAUSE))
        .store_put(disable_interceptor::<RequestInfoInterceptor>(CAUSE))
        .store_put(disable_interceptor::<ServiceClockSkewInterceptor>(CAUSE))
        .store_put(disable_interceptor::<UserAgentInterceptor>(CAUSE))
        .store_put(StalledStreamProtectionConfig::disabled());
    layer.freeze()
}

#[derive(Debug)]
struct Redirect {
    endpoint: Arc<str>,
    without_http: FrozenLayer,
}

impl Intercept for Redirect {
    fn name(&self) -> &'static str {
        "dynamodb-dax"
    }

    fn modify_before_serialization(
        &self,
        _: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(dynamodb) = cfg.load::<SharedRequestSerializer>().cloned() {
            cfg.interceptor_state().store_put(SharedRequestSerializer::new(Serializer {
                dynamodb,
                endpoint: Arc::clone(&self.endpoint),
                without_http: self.without_http.clone(),
            }));
        }
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // In every attempt: a request for a retry is a copy without extensions.
        if let Some(call) = cfg.load::<Call>() {
            context.request_mut().add_extension(call.clone());
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(result) = cfg.load::<Call>().and_then(|call| call.0.take()) {
            let deserializer = Deserializer(Mutex::new(Some(result)));
            cfg.interceptor_state().store_put(SharedResponseDeserializer::new(deserializer));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Serializer {
    dynamodb: SharedRequestSerializer,
    endpoint: Arc<str>,
    without_http: FrozenLayer,
}

impl SerializeRequest for Serializer {
    fn serialize_input(&self, input: Input, cfg: &mut ConfigBag) -> Result<HttpRequest, BoxError> {
        match call(input) {
            Ok(call) => {
                let params = endpoint::Params::builder().endpoint(&*self.endpoint).build()?;
                cfg.interceptor_state().store_put(call).store_put(EndpointResolverParams::new(params));
                cfg.push_shared_layer(self.without_http.clone());
                Ok(HttpRequest::empty())
            }
            Err(input) => self.dynamodb.serialize_input(input, cfg),
        }
    }
}

#[derive(Debug)]
struct Deserializer(Mutex<Option<OutputOrError>>);

impl DeserializeResponse for Deserializer {
    fn deserialize_streaming_with_config(&self, _: &mut HttpResponse, _: &ConfigBag) -> Option<OutputOrError> {
        let result = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some(result.unwrap_or_else(|| Err(OrchestratorError::other("the output was taken before"))))
    }
}

#[derive(Debug)]
struct AuthSchemes {
    dynamodb: SharedAuthSchemeOptionResolver,
}

impl ResolveAuthScheme for AuthSchemes {
    fn resolve_auth_scheme<'a>(
        &'a self,
        params: &'a Params,
        cfg: &'a ConfigBag,
        components: &'a RuntimeComponents,
    ) -> AuthSchemeOptionsFuture<'a> {
        if cfg.load::<Call>().is_some() {
            // The connection is authorised, not the request.
            return AuthSchemeOptionsFuture::ready(Ok(vec![NO_AUTH_SCHEME_ID.into()]));
        }
        AuthSchemeOptionsFuture::new(async move {
            let params = AuthSchemeOptionResolverParams::new(params.clone());
            self.dynamodb.resolve_auth_scheme_options_v2(&params, cfg, components).await
        })
    }
}

/// Its client for HTTP is made ready by the first request that needs it, not with the client: most do not.
#[derive(Debug)]
struct Transport {
    dax: Client,
    http: Option<SharedHttpClient>,
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            dax: self.dax.clone(),
            http: self.http.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http.as_ref().and_then(HttpClient::connector_metadata)
    }
}

#[derive(Debug)]
struct Connector {
    dax: Client,
    http: Option<SharedHttpClient>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match (request.extension::<Call>(), &self.http) {
            (Some(call), _) => Arc::clone(&call.0).start(self.dax.clone()),
            (None, Some(http)) => http.http_connector(&self.settings, &self.components).call(request),
            (None, None) => {
                HttpConnectorFuture::ready(Err(failed("the SDK has no HTTP client: set one, or its feature")))
            }
        }
    }
}
