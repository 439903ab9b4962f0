use std::error::Error;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::pin;
use tokio::runtime::Builder;
use tokio::select;
use tokio::spawn;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use super::DestinationError;
use crate::environment::variable;

/// Timeout of an export and of the extension's registration.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time from Lambda's notice of an invocation to the start of the handler, which never starts if the event is
/// invalid.
const PATIENCE: Duration = Duration::from_millis(500);

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Sends spans to a collector over HTTP, from a separate thread.
///
/// The thread is also an internal extension of the function, if Lambda allows it: Lambda does not freeze the execution
/// environment before the extension requests the next event, which it does after the export.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>
#[derive(Debug)]
pub(super) struct Collector {
    work: UnboundedSender<Work>,
    is_extension: bool,
}

#[derive(Debug)]
enum Work {
    /// An invocation with this request id begins.
    Begin(String),
    Spans(Vec<u8>),
    /// An invocation ends; its response can be sent when all earlier spans are sent.
    End(Option<oneshot::Sender<()>>),
}

impl Collector {
    /// Sends the headers with each export.
    pub(super) fn start(endpoint: &str, mut headers: HeaderMap) -> Result<Self, DestinationError> {
        let uri = endpoint.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        let uri = uri.ok_or_else(|| DestinationError::Endpoint(endpoint.into()))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(DestinationError::Thread)?;
        let (work, queue) = unbounded_channel();
        let (registered, registration) = sync_channel(1);
        let worker = async move {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let extension = Extension::register(&client).await;
            // Lambda accepts extensions only during initialization, so that waits for the registration.
            let _ = registered.send(extension.is_some());
            Worker { client, uri, headers, queue, exports: None, current: None, ended: None }.run(extension).await;
        };
        thread::Builder::new()
            .name("powertools-tracer".into())
            .spawn(move || runtime.block_on(worker))
            .map_err(DestinationError::Thread)?;
        Ok(Self { work, is_extension: registration.recv().unwrap_or(false) })
    }

    pub(super) fn begin(&self, request_id: &str) {
        let _ = self.work.send(Work::Begin(request_id.into()));
    }

    pub(super) fn send(&self, spans: Vec<u8>) {
        let _ = self.work.send(Work::Spans(spans));
    }

    /// Completes `done` within the timeout of an export.
    pub(super) fn end(&self, done: oneshot::Sender<()>) {
        // Without the extension, the environment can be frozen right after the response, so the spans are sent before it.
        let _ = self.work.send(Work::End((!self.is_extension).then_some(done)));
    }
}

struct Worker {
    client: HttpClient,
    uri: Uri,
    headers: HeaderMap,
    queue: UnboundedReceiver<Work>,
    /// Completes when all previous exports have.
    exports: Option<JoinHandle<()>>,
    current: Option<String>,
    ended: Option<String>,
}

impl Worker {
    async fn run(mut self, extension: Option<Extension>) {
        if let Some(extension) = extension {
            while let Some(request_id) = self.next_invocation(&extension).await {
                self.end_of(&request_id).await;
                finish(self.exports.take()).await;
            }
        }
        while let Some(work) = self.queue.recv().await {
            self.handle(work);
        }
    }

    /// Allows Lambda to freeze the environment until the next invocation. The handler can start before this returns.
    async fn next_invocation(&mut self, extension: &Extension) -> Option<String> {
        let client = self.client.clone();
        let next = extension.next(&client);
        pin!(next);
        loop {
            select! {
                result = &mut next => {
                    return result.inspect_err(|error| debug!(error, "Lambda has no next event for the tracer")).ok();
                }
                work = self.queue.recv() => self.handle(work?),
            }
        }
    }

    async fn end_of(&mut self, request_id: &str) {
        while self.ended.as_deref() != Some(request_id) {
            let work = if self.current.as_deref() == Some(request_id) {
                self.queue.recv().await
            } else {
                timeout(PATIENCE, self.queue.recv()).await.unwrap_or_default()
            };
            let Some(work) = work else { return };
            self.handle(work);
        }
    }

    /// Returns immediately: exports run concurrently, so that none delays another's response.
    fn handle(&mut self, work: Work) {
        match work {
            Work::Begin(request_id) => self.current = Some(request_id),
            Work::Spans(spans) => {
                let export = export(self.client.clone(), self.request(spans));
                let earlier = self.exports.take();
                self.exports = Some(spawn(async {
                    if let Err(error) = export.await {
                        debug!(error, "spans are lost: the collector did not take them");
                    }
                    finish(earlier).await;
                }));
            }
            Work::End(done) => {
                self.ended = self.current.take();
                if let Some(done) = done {
                    let earlier = self.exports.take();
                    self.exports = Some(spawn(async {
                        finish(earlier).await;
                        let _ = done.send(());
                    }));
                }
            }
        }
    }

    fn request(&self, spans: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(spans.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

async fn export(client: HttpClient, request: Request<Full<Bytes>>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let exchange = async {
        let response = client.request(request).await?;
        let status = response.status();
        // After reading the whole body, the connection can be reused.
        response.into_body().collect().await?;
        Ok::<_, Box<dyn Error + Send + Sync>>(status)
    };
    let status = timeout(TIMEOUT, exchange).await??;
    if status.is_success() { Ok(()) } else { Err(status.to_string().into()) }
}

async fn finish(exports: Option<JoinHandle<()>>) {
    if let Some(exports) = exports {
        let _ = exports.await;
    }
}

/// This function's internal extension.
struct Extension {
    api: String,
    identifier: HeaderValue,
}

impl Extension {
    async fn register(client: &HttpClient) -> Option<Self> {
        let api = format!("http://{}/2020-01-01/extension", variable("AWS_LAMBDA_RUNTIME_API")?);
        let registration = async {
            let request = Request::post(format!("{api}/register"))
                .header("Content-Type", "application/json")
                .header("Lambda-Extension-Name", env!("CARGO_PKG_NAME"))
                .body(Bytes::from_static(br#"{"events": ["INVOKE"]}"#).into())?;
            let response = client.request(request).await?;
            let identifier = response.headers().get("Lambda-Extension-Identifier").cloned();
            identifier.ok_or_else(|| response.status().to_string().into())
        };
        let result: Result<_, Box<dyn Error + Send + Sync>> =
            timeout(TIMEOUT, registration).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
        match result {
            Ok(identifier) => Some(Self { api, identifier }),
            Err(error) => {
                debug!(error, "no extension: spans are sent before the answer");
                None
            }
        }
    }

    /// The request id of the next invocation.
    async fn next(&self, client: &HttpClient) -> Result<String, Box<dyn Error + Send + Sync>> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}/event/next", self.api))
            .header("Lambda-Extension-Identifier", &self.identifier)
            .body(Full::default())?;
        let response: Response<_> = client.request(request).await?;
        let event: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        event["requestId"].as_str().map(str::to_owned).ok_or_else(|| "the event has no request id".into())
    }
}
