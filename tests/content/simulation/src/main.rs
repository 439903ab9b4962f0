//! Entitlements: the payment events of a student, as Lambda's asynchronous invocations bring them to record-entitlement.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use entitlements::Entitlements;
use futures_util::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use record_entitlement::handler::handle;
use serde_json::{Value, json};
use simulation::{Simulation, Violation, choose, client, cloud, invoke, invoke_undisturbed, log, settle, sleep};

fn main() -> ExitCode {
    simulation::main(Simulation { name: "content", schedules: 3_000, run: || Box::pin(simulate()) })
}

const TABLE: &str = "entitlements";
const STUDENT: &str = "student-1";

/// `Timeout` of the function, as in stacks/content/template.yaml.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time that Lambda waits before each attempt:
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const ATTEMPTS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(120)];

/// The delay of a delivery: later events overtake it.
const DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(15), Duration::from_secs(61), Duration::from_secs(10_000)];

/// The first and the last differ by less than a second; two are the same time.
const TIMES: [&str; 4] =
    ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00.25Z", "2026-11-20T11:00:00.250+01:00", "2026-11-20T10:00:00.9Z"];

const PAID_UNTIL: [&str; 2] = ["2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z"];

/// A payment event.
#[derive(Clone, Copy, Debug)]
struct Payment {
    /// `None` if it lapsed.
    paid_until: Option<&'static str>,
    occurred_at: &'static str,
}

impl Payment {
    fn any(number: usize) -> Self {
        let paid_until = match choose(1 + PAID_UNTIL.len()) {
            2 => None,
            chosen => Some(PAID_UNTIL[chosen]),
        };
        Self { paid_until, occurred_at: TIMES[(number + choose(TIMES.len())) % TIMES.len()] }
    }

    /// When it occurred, in milliseconds, and until when it pays, in seconds: the greatest is the newest.
    fn rank(self) -> (i64, i64) {
        let time = |text| DateTime::parse_from_rfc3339(text).expect("it is a time");
        let occurred_at = time(self.occurred_at);
        (occurred_at.timestamp_millis(), self.paid_until.map_or(occurred_at, time).timestamp())
    }

    fn event(self) -> Value {
        let mut detail = json!({"student_id": STUDENT, "occurred_at": self.occurred_at});
        let Some(paid_until) = self.paid_until else {
            return json!({"detail-type": "PaymentLapsed", "detail": detail});
        };
        detail["paid_until"] = json!(paid_until);
        json!({"detail-type": "PaymentRecorded", "detail": detail})
    }
}

/// The handler's state, made once for each thread.
fn entitlements() -> Arc<Entitlements> {
    thread_local! {
        static ENTITLEMENTS: Arc<Entitlements> = {
            Arc::new(Entitlements { dynamodb: client!(aws_sdk_dynamodb), table: TABLE.into() })
        };
    }
    ENTITLEMENTS.with(Arc::clone)
}

/// Some payment events, delivered in any order, once or more, with any faults; what failed is sent again.
async fn simulate() -> Result<(), Violation> {
    cloud(|cloud| cloud.keys.insert(TABLE, "student_id"));
    let count = [2, 1, 3, 4][choose(4)];
    let payments: Vec<Payment> = (0..count).map(Payment::any).collect();
    let mut deliveries = Vec::new();
    for &payment in &payments {
        for _ in 0..1 + choose(2) {
            deliveries.push(deliver(payment, DELAYS[choose(DELAYS.len())]));
        }
    }
    let mut failed = Vec::new();
    for delivery in join_all(deliveries).await {
        failed.extend(delivery?);
    }
    while !failed.is_empty() {
        let payment = failed.remove(choose(failed.len()));
        log(|| format!("{payment:?} is sent again, undisturbed"));
        let handled = invoke_undisturbed(TIMEOUT, |context| record(payment, context)).await;
        handled.expect("it ends in time")?;
        check_handled(payment)?;
    }
    settle().await;
    let newest = payments.iter().map(|payment| payment.rank()).max().map(|(_, paid_until)| paid_until);
    let paid_until = invoke_undisturbed(TIMEOUT, |_| async { entitlements().paid_until(STUDENT).await }).await;
    let paid_until = paid_until.expect("it ends in time").map_err(|error| error.to_string())?;
    if paid_until == newest {
        Ok(())
    } else {
        Err(format!("the newest event says {newest:?}, and the table {paid_until:?}"))
    }
}

/// An asynchronous invocation with its attempts; returns the payment if all of them failed.
async fn deliver(payment: Payment, delay: Duration) -> Result<Option<Payment>, Violation> {
    sleep(delay).await;
    for wait in ATTEMPTS {
        sleep(wait).await;
        log(|| format!("{payment:?} is delivered"));
        match invoke(TIMEOUT, |context| record(payment, context)).await {
            Ok(Ok(())) => {
                check_handled(payment)?;
                return Ok(None);
            }
            Ok(Err(error)) => log(|| error),
            Err(_) => {}
        }
    }
    log(|| format!("{payment:?} goes to the failure queue"));
    Ok(Some(payment))
}

async fn record(payment: Payment, context: Context) -> Result<(), String> {
    let event = serde_json::from_value(payment.event()).expect("it is a payment event");
    handle(&entitlements(), LambdaEvent::new(event, context)).await.map_err(|error| error.to_string())
}

/// Checks that the table has this event, or a newer one.
fn check_handled(payment: Payment) -> Result<(), Violation> {
    let item = cloud(|cloud| cloud.items.get(&(TABLE.to_owned(), STUDENT.to_owned())).cloned());
    let item = item.ok_or_else(|| format!("{payment:?} was handled, and there is no item"))?;
    let occurred_at = DateTime::parse_from_rfc3339(item["occurred_at"]["S"].as_str().expect("it is a text"));
    let paid_until = item["paid_until"]["N"].as_str().expect("it is a number").parse::<i64>();
    let rank = (occurred_at.expect("it is a time").timestamp_millis(), paid_until.expect("it is a whole number"));
    if rank < payment.rank() {
        Err(format!("{payment:?} was handled, and the item is older: {item:?}"))
    } else {
        Ok(())
    }
}
