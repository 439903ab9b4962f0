use std::error::Error;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::pin;
use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tracing::debug;

use super::DestinationError;
use crate::environment::variable;

/// How long an export, or the registration of the extension, may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long after Lambda's word of an invocation the handler may begin. It never does when its event can't be read.
const PATIENCE: Duration = Duration::from_millis(500);

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Sends spans over HTTP from a thread of its own, to a collector.
///
/// The thread is an internal extension of the function as well, if Lambda lets it: Lambda does not freeze the
/// execution environment before the extension asks for the next event, and that comes after the export.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>
#[derive(Debug)]
pub(super) struct Collector {
    work: UnboundedSender<Work>,
    is_extension: bool,
}

#[derive(Debug)]
enum Work {
    /// An invocation, by its request id, begins.
    Begin(String),
    Spans(Vec<u8>),
    /// The invocation's end; whoever waits for it is told when all its spans are sent.
    End(Option<SyncSender<()>>),
}

impl Collector {
    pub(super) fn start(endpoint: &str) -> Result<Self, DestinationError> {
        let uri = endpoint.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        let uri = uri.ok_or_else(|| DestinationError::Endpoint(endpoint.into()))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(DestinationError::Thread)?;
        let (work, queue) = unbounded_channel();
        let (registered, registration) = sync_channel(1);
        let worker = async move {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let extension = Extension::register(&client).await;
            // Lambda accepts extensions until the function is initialised, so that waits for the answer.
            let _ = registered.send(extension.is_some());
            Worker { client, uri, queue, current: None, ended: None }.run(extension).await;
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

    pub(super) fn end(&self) {
        if self.is_extension {
            let _ = self.work.send(Work::End(None));
            return;
        }
        // After the answer the environment may be frozen at any moment, so the spans go before it.
        let (done, wait) = sync_channel(1);
        let _ = self.work.send(Work::End(Some(done)));
        let _ = wait.recv_timeout(TIMEOUT);
    }
}

struct Worker {
    client: HttpClient,
    uri: Uri,
    queue: UnboundedReceiver<Work>,
    current: Option<String>,
    ended: Option<String>,
}

impl Worker {
    async fn run(mut self, extension: Option<Extension>) {
        if let Some(extension) = extension {
            while let Some(request_id) = self.next_invocation(&extension).await {
                self.end_of(&request_id).await;
            }
        }
        while let Some(work) = self.queue.recv().await {
            self.handle(work).await;
        }
    }

    /// Lets Lambda freeze the environment, until there is an invocation. The handler can hear of it earlier.
    async fn next_invocation(&mut self, extension: &Extension) -> Option<String> {
        let client = self.client.clone();
        let next = extension.next(&client);
        pin!(next);
        loop {
            select! {
                result = &mut next => {
                    return result.inspect_err(|error| debug!(error, "Lambda has no next event for the tracer")).ok();
                }
                work = self.queue.recv() => self.handle(work?).await,
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
            self.handle(work).await;
        }
    }

    async fn handle(&mut self, work: Work) {
        match work {
            Work::Begin(request_id) => self.current = Some(request_id),
            Work::Spans(spans) => {
                if let Err(error) = self.export(spans).await {
                    debug!(error, "spans are lost: the collector did not take them");
                }
            }
            Work::End(waiting) => {
                self.ended = self.current.take();
                if let Some(waiting) = waiting {
                    let _ = waiting.send(());
                }
            }
        }
    }

    async fn export(&self, spans: Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let request = Request::post(&self.uri).header("Content-Type", "application/x-protobuf");
        let response = timeout(TIMEOUT, self.client.request(request.body(spans.into())?)).await??;
        if !response.status().is_success() {
            return Err(response.status().to_string().into());
        }
        // Read to its end, the connection can be used again.
        response.into_body().collect().await?;
        Ok(())
    }
}

/// This function's internal extension.
struct Extension {
    api: String,
    identifier: http::HeaderValue,
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
