//! The Lambda Runtime API, for one function: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use uuid::Uuid;

pub struct RuntimeApi {
    address: String,
    polls: mpsc::UnboundedReceiver<Poll>,
    answers: mpsc::UnboundedReceiver<Answer>,
    server: AbortHandle,
}

/// The function's request for an event.
pub struct Poll {
    pub at: Instant,
    event: Option<oneshot::Sender<Bytes>>,
}

/// The function's answer to an event.
pub struct Answer {
    pub at: Instant,
    /// An error is the document with which the function failed.
    pub body: Result<Value, String>,
}

impl RuntimeApi {
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (polled, polls) = mpsc::unbounded_channel();
        let (answered, answers) = mpsc::unbounded_channel();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (polled, answered) = (polled.clone(), answered.clone());
                // Sends immediately, without waiting for more data, so that no event is late.
                let _ = stream.set_nodelay(true);
                let service = service_fn(move |request| reply(request, polled.clone(), answered.clone()));
                // A function that is killed resets its connections.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, polls, answers, server: server.abort_handle() })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub async fn poll(&mut self) -> Result<Poll, Box<dyn Error>> {
        tokio::select! {
            poll = self.polls.recv() => poll.ok_or_else(|| "the server ended".into()),
            // A function answers before it has an event only if it can't start.
            answer = self.answers.recv() => Err(format!("{:?}", answer.map(|answer| answer.body)).into()),
        }
    }

    pub async fn answer(&mut self) -> Result<Answer, Box<dyn Error>> {
        self.answers.recv().await.ok_or_else(|| "the server ended".into())
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Poll {
    pub fn answer(&mut self, event: &[u8]) -> Result<(), Box<dyn Error>> {
        let sender = self.event.take().ok_or("this poll has its event")?;
        sender.send(Bytes::copy_from_slice(event)).map_err(|_| "the function no longer waits".into())
    }
}

async fn reply(
    request: Request<Incoming>,
    polled: mpsc::UnboundedSender<Poll>,
    answered: mpsc::UnboundedSender<Answer>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    if request.method() == Method::GET {
        let (sender, event) = oneshot::channel();
        polled.send(Poll { at: Instant::now(), event: Some(sender) })?;
        let event = event.await?;
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(900);
        return Ok(Response::builder()
            .header("Lambda-Runtime-Aws-Request-Id", Uuid::new_v4().to_string())
            .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:measured")
            .header(
                "Lambda-Runtime-Trace-Id",
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
            )
            .header("Content-Type", "application/json")
            .body(Full::new(event))?);
    }
    let failed = request.uri().path().ends_with("/error");
    let body = request.into_body().collect().await?.to_bytes();
    let at = Instant::now();
    let body = match failed {
        true => Err(String::from_utf8_lossy(&body).into_owned()),
        false => serde_json::from_slice(&body).map_err(|error| error.to_string()),
    };
    answered.send(Answer { at, body })?;
    Ok(Response::builder().status(StatusCode::ACCEPTED).body(Full::default())?)
}
