//! The network between the SDK's clients and the simulated services: their HTTP edge.

use std::future::pending;
use std::io;
use std::time::Duration;

use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;

use crate::cloud::{Call, Problem};
use crate::invocation::{End, Invocation};
use crate::time::{sleep, spawn};
use crate::world::{choose, cloud, log, seed};

/// Half of the duration of an undisturbed call.
const LATENCY: Duration = Duration::from_millis(10);

/// Half of the duration of a slow call: of an invocation's minute, the third slow call gets less than it needs.
const SLOWLY: Duration = Duration::from_secs(12);

/// A service acts on an abandoned call within this time, or never; see docs/simulation.md.
const AFTERMATH: Duration = Duration::from_secs(1);

/// The outcome of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// Later calls overtake it.
    AnsweredLate,
    AnsweredSlowly,
    Refused(Problem),
    /// The service acts on it, and answers with an error.
    DoneAndFailed,
    NeverArrives,
    AnswerLost,
    /// The service does not act, and does not answer.
    Hangs,
    DoneAndHangs,
    KilledBefore,
    KilledMeanwhile,
    KilledAfter,
}

const FATES: [Fate; 14] = [
    Fate::Answered,
    Fate::KilledAfter,
    Fate::AnswerLost,
    Fate::Refused(Problem::Throttled),
    Fate::Hangs,
    Fate::KilledBefore,
    Fate::KilledMeanwhile,
    Fate::NeverArrives,
    Fate::DoneAndHangs,
    Fate::AnsweredLate,
    Fate::AnsweredSlowly,
    Fate::Refused(Problem::Failed),
    Fate::DoneAndFailed,
    Fate::Refused(Problem::Denied),
];

/// The clients of a process share a budget of retries, but a schedule must not depend on earlier schedules.
pub fn unlimited_retries() -> RetryPartition {
    RetryPartition::custom("simulation").token_bucket(TokenBucket::unlimited()).build()
}

/// A client of an SDK crate, in the simulated network and time.
#[macro_export]
macro_rules! client {
    ($sdk:ident) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::latest())
                .region($sdk::config::Region::from_static("eu-central-1"))
                .allow_no_auth()
                .http_client($crate::Network)
                .sleep_impl($crate::VirtualTime)
                .retry_partition($crate::unlimited_retries())
                .build(),
        )
    };
}

/// The network of the SDK's clients.
#[derive(Clone, Debug)]
pub struct Network;

impl HttpClient for Network {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Network)
    }
}

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(send(request))
    }
}

/// Sends a request to DynamoDB once, as API Gateway does, without the SDK. Returns the status and the body of the answer;
/// `None` if there is no answer.
pub async fn post(operation: &str, body: &Value) -> Option<(u16, Value)> {
    let mut request = HttpRequest::new(SdkBody::from(body.to_string()));
    request.set_method("POST").expect("it is a method");
    request.headers_mut().insert("x-amz-target", format!("DynamoDB_20120810.{operation}"));
    let answer = send(request).await.ok()?;
    let status = answer.status().as_u16();
    let body = ByteStream::new(answer.into_body()).collect().await.expect("bodies are in memory").into_bytes();
    Some((status, serde_json::from_slice(&body).expect("bodies of this protocol are JSON")))
}

async fn send(request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    seed();
    let invocation = Invocation::current();
    let in_flight = InFlight { call: Some(Call::read(request).await), invocation: invocation.clone() };
    let fate = if invocation.is_undisturbed { Fate::Answered } else { FATES[choose(FATES.len())] };
    log(|| format!("{}: {fate:?}", in_flight.call()));
    match fate {
        Fate::Answered => Ok(in_flight.answer(LATENCY).await),
        Fate::AnsweredLate => Ok(in_flight.answer(10 * LATENCY).await),
        Fate::AnsweredSlowly => Ok(in_flight.answer(SLOWLY).await),
        Fate::Refused(problem) => {
            let answer = in_flight.cancel().refuse(problem);
            sleep(LATENCY).await;
            Ok(answer)
        }
        Fate::DoneAndFailed => {
            let answer = in_flight.call().refuse(Problem::Failed);
            in_flight.answer(LATENCY).await;
            Ok(answer)
        }
        Fate::NeverArrives => {
            in_flight.cancel();
            sleep(LATENCY).await;
            Err(reset())
        }
        Fate::AnswerLost => {
            in_flight.answer(LATENCY).await;
            Err(reset())
        }
        Fate::Hangs => in_flight.hang().await,
        Fate::DoneAndHangs => {
            in_flight.answer(LATENCY).await;
            pending().await
        }
        Fate::KilledBefore => {
            in_flight.cancel();
            invocation.kill();
            pending().await
        }
        Fate::KilledMeanwhile => {
            invocation.kill();
            in_flight.hang().await
        }
        Fate::KilledAfter => {
            in_flight.answer(LATENCY).await;
            invocation.kill();
            pending().await
        }
    }
}

fn reset() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

/// A call on which its service has not acted yet.
struct InFlight {
    call: Option<Call>,
    invocation: Invocation,
}

impl InFlight {
    fn call(&self) -> &Call {
        self.call.as_ref().expect("nothing has become of it yet")
    }

    /// The service never gets it.
    fn cancel(mut self) -> Call {
        self.call.take().expect("nothing has become of it yet")
    }

    /// The service acts on it after the delay, and answers after the same delay again.
    async fn answer(self, delay: Duration) -> HttpResponse {
        sleep(delay).await;
        let call = self.cancel();
        let response = cloud(|cloud| cloud.act(&call));
        sleep(delay).await;
        response
    }

    async fn hang<T>(self) -> T {
        let _in_flight = self;
        pending().await
    }
}

/// The client has abandoned the call. If the invocation timed out, the service may act on it at any later time.
impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let delays: &[Option<Duration>] = match self.invocation.end() {
            Some(End::TimedOut) => {
                &[None, Some(AFTERMATH), Some(Duration::from_secs(600)), Some(Duration::from_secs(36_000))]
            }
            Some(End::Killed) | None => &[None, Some(AFTERMATH)],
        };
        let delay = delays[choose(delays.len())];
        log(|| match delay {
            None => format!("{call}: abandoned, and never acted on"),
            Some(delay) => format!("{call}: abandoned, and acted on in {} s", delay.as_secs()),
        });
        if let Some(delay) = delay {
            spawn(async move {
                sleep(delay).await;
                log(|| format!("{call}: acted on at last"));
                cloud(|cloud| cloud.act(&call));
            });
        }
    }
}
