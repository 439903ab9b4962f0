//! Notifications: the queue, send-notification, SES and its event `Email Sent`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use emails::Mailer;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lambda_runtime::LambdaEvent;
use powertools::batch::BatchEvent;
use powertools::idempotency::Idempotency;
use powertools::metrics::Metrics;
use send_notification::handler::{Notifier, handle};
use serde_json::json;
use simulation::{Queue, Simulation, Violation, choose, client, cloud, settle};
use tokio::sync::mpsc::unbounded_channel;

fn main() -> ExitCode {
    simulation::main(Simulation { name: "notifications", schedules: 3_000, run: || Box::pin(simulate()) })
}

const ACCOUNTS_TABLE: &str = "accounts";
const IDEMPOTENCY_TABLE: &str = "idempotency";

/// `Timeout` of the function, `VisibilityTimeout` of its queue and `IN_PROGRESS_SECONDS`, as in stacks/notifications/template.yaml.
const QUEUE: Queue = Queue { timeout: Duration::from_secs(30), visibility_timeout: Duration::from_secs(180) };
const IN_PROGRESS_FOR: Duration = Duration::from_secs(900);

const STUDENT: &str = "s-1";

/// The delay of each `AccountCreated`: the event is delivered once or more.
const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(15),
    Duration::from_secs(100),
    Duration::from_secs(1_000),
    Duration::from_secs(10_000),
];

/// The delay of `Email Sent`. All attempts together must end before the idempotency record does:
/// docs/notifications/one-email.md.
const EVENT_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(300), Duration::from_secs(60)];
const EVENT_ATTEMPTS: usize = 3;

/// The handler's state, made once for each thread.
fn notifier() -> Arc<Notifier> {
    thread_local! {
        static NOTIFIER: Arc<Notifier> = {
            Arc::new(Notifier {
                dynamodb: client!(aws_sdk_dynamodb),
                mailer: Mailer {
                    ses: client!(aws_sdk_sesv2),
                    sender: "registrar@school.example".into(),
                    configuration_set: "school".into(),
                },
                idempotency: Idempotency::new(client!(aws_sdk_dynamodb), IDEMPOTENCY_TABLE).in_progress_for(IN_PROGRESS_FOR),
                table: ACCOUNTS_TABLE.into(),
                web_url: Some("https://school.example".into()),
                metrics: Metrics::new("Registrar"),
            })
        };
    }
    NOTIFIER.with(Arc::clone)
}

/// The account of a student is announced, once or more, with any faults.
async fn simulate() -> Result<(), Violation> {
    let attributes = [
        ("account_key", "STUDENT:s-1"),
        ("student_id", STUDENT),
        ("email", "ada@school.example"),
        ("given_name", "Ada"),
        ("family_name", "Lovelace"),
        ("date_of_birth", "2005-12-10"),
        ("programme", "mathematics"),
        ("created_at", "2026-11-20T23:50:00Z"),
    ];
    let item = attributes.map(|(name, value)| (name.to_owned(), json!({ "S": value }))).into_iter().collect();
    let place = (ACCOUNTS_TABLE.to_owned(), "STUDENT:s-1".to_owned());
    let (sender, mut sent) = unbounded_channel();
    cloud(|cloud| {
        cloud.keys.extend([(ACCOUNTS_TABLE, "account_key"), (IDEMPOTENCY_TABLE, "id")]);
        cloud.items.insert(place.clone(), item);
        cloud.email_events = Some(sender);
    });
    let mut messages = FuturesUnordered::new();
    for _ in 0..1 + choose(3) {
        let delay = DELAYS[choose(DELAYS.len())];
        messages.push(message(
            json!({"detail-type": "AccountCreated", "detail": {"student_id": STUDENT}}),
            delay,
            None,
        ));
    }
    loop {
        tokio::select! {
            biased;
            Some(email) = sent.recv() => {
                let student_id = &email["EmailTags"][0];
                assert_eq!(student_id["Name"], "student_id");
                let delay = EVENT_DELAYS[choose(EVENT_DELAYS.len())];
                let event = json!({"detail-type": "Email Sent", "detail": {"student_ids": [student_id["Value"]]}});
                messages.push(message(event, delay, Some(EVENT_ATTEMPTS)));
            }
            next = messages.next() => if next.is_none() { break },
        }
    }
    settle().await;
    let (emails, is_noted) = cloud(|cloud| (cloud.emails.len(), cloud.items[&place].contains_key("notified_at")));
    match (emails, is_noted) {
        (1, true) => Ok(()),
        _ => Err(format!("{emails} e-mails have been accepted; that is noted: {is_noted}")),
    }
}

/// A message in the queue, until it is handled. If its attempts are limited, the last one has no faults.
async fn message(event: serde_json::Value, delay: Duration, attempts: Option<usize>) {
    let record = json!({"messageId": "m", "body": event.to_string()});
    let batch = json!({ "Records": [record] }).to_string();
    let handle = |context| async {
        let batch: BatchEvent = serde_json::from_str(&batch).expect("it is an event");
        let response = handle(&notifier(), LambdaEvent::new(batch, context)).await;
        response.is_ok_and(|response| response.batch_item_failures.is_empty())
    };
    QUEUE.deliver(&event.to_string(), delay, attempts, handle).await;
}
