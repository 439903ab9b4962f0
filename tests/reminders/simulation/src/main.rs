//! Reminders: the queue, send-reminder, the slot, SES and its event `Email Sent`.

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
use reminders::{Appointment, Booking, EMAIL_ID, Kind, Message};
use send_reminder::handler::{KEPT_FOR, Sender, handle};
use serde_json::json;
use simulation::{Queue, Simulation, Violation, choose, client, cloud, log, settle, sleep};
use tokio::sync::mpsc::unbounded_channel;

fn main() -> ExitCode {
    simulation::main(Simulation { name: "reminders", schedules: 3_000, run: || Box::pin(simulate()) })
}

const SLOTS_TABLE: &str = "slots";
const IDEMPOTENCY_TABLE: &str = "idempotency";

/// `Timeout` of the function, `VisibilityTimeout` of its queue and `IN_PROGRESS_SECONDS`, as in stacks/reminders/template.yaml.
const QUEUE: Queue = Queue { timeout: Duration::from_secs(30), visibility_timeout: Duration::from_secs(180) };
const IN_PROGRESS_FOR: Duration = Duration::from_secs(900);

/// The delay of each message: it is delivered once or more.
const DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(15), Duration::from_secs(100), Duration::from_secs(10_000)];

/// The delay of `Email Sent`. All attempts together must end before the idempotency record does:
/// docs/reminders/one-email.md.
const EVENT_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(300), Duration::from_secs(60)];
const EVENT_ATTEMPTS: usize = 3;

/// The handler's state, made once for each thread.
fn sender() -> Arc<Sender> {
    thread_local! {
        static SENDER: Arc<Sender> = {
            Arc::new(Sender {
                dynamodb: client!(aws_sdk_dynamodb),
                mailer: Mailer {
                    ses: client!(aws_sdk_sesv2),
                    sender: "registrar@school.example".into(),
                    configuration_set: "school".into(),
                },
                idempotency: Idempotency::new(client!(aws_sdk_dynamodb), IDEMPOTENCY_TABLE)
                    .expires_after(KEPT_FOR)
                    .in_progress_for(IN_PROGRESS_FOR),
                slots_table: SLOTS_TABLE.into(),
                web_url: None,
                metrics: Metrics::new("Registrar"),
            })
        };
    }
    SENDER.with(Arc::clone)
}

fn appointment(changes: u32) -> Appointment {
    Appointment {
        booking: Booking {
            advisor_id: "a-1".into(),
            starts_at: "2099-05-06T09:00:00Z".into(),
            student_id: "s-1".into(),
            changes,
        },
        starts: 4_081_827_600,
        duration_minutes: 30,
        place: "Room 101".into(),
        time_zone: "Europe/Berlin".into(),
        student_email: "ada@school.example".into(),
        topic: None,
    }
}

/// A booking is told, and a reminder is due; perhaps the student cancels. Each message comes once or more, with any faults.
async fn simulate() -> Result<(), Violation> {
    let (booked, cancelled) = (appointment(1), appointment(2));
    let number = |value: i64| json!({"N": value.to_string()});
    let text = |value: &str| json!({ "S": value });
    let item = [
        ("advisor_id", text("a-1")),
        ("starts_at", text("2099-05-06T09:00:00Z")),
        ("student_id", text("s-1")),
        ("student_email", text("ada@school.example")),
        ("changes", number(1)),
        ("starts", number(booked.starts)),
        ("duration_minutes", number(30)),
        ("place", text("Room 101")),
        ("time_zone", text("Europe/Berlin")),
    ];
    let item = item.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let place = (SLOTS_TABLE.to_owned(), "a-1 2099-05-06T09:00:00Z".to_owned());
    let (events, mut sent) = unbounded_channel();
    cloud(|cloud| {
        cloud.keys.extend([(SLOTS_TABLE, "advisor_id starts_at"), (IDEMPOTENCY_TABLE, "id")]);
        cloud.items.insert(place.clone(), item);
        cloud.email_events = Some(events);
    });
    let mut messages = FuturesUnordered::new();
    let cancels_after = (choose(2) == 1).then(|| DELAYS[choose(DELAYS.len())]);
    for (told, is_due_after) in [
        (Some(Message::Booked(booked.clone())), Duration::ZERO),
        (Some(Message::Remind(booked.booking.clone())), Duration::ZERO),
        (cancels_after.map(|_| Message::Cancelled(cancelled.clone())), cancels_after.unwrap_or_default()),
    ] {
        let Some(told) = told else { continue };
        for _ in 0..1 + choose(2) {
            let delay = is_due_after + DELAYS[choose(DELAYS.len())];
            messages.push(message(serde_json::to_value(&told).expect("it is JSON"), delay, None));
        }
    }
    let cancel = async {
        let Some(delay) = cancels_after else { return };
        sleep(delay).await;
        log(|| "the student cancels".into());
        cloud(|cloud| {
            let slot = cloud.items.get_mut(&place).expect("it is there");
            slot.remove("student_id");
            slot.insert("changes".into(), number(2));
        });
    };
    let deliver = async {
        loop {
            tokio::select! {
                biased;
                Some(email) = sent.recv() => {
                    let tag = &email["EmailTags"][0];
                    assert_eq!(tag["Name"], EMAIL_ID);
                    let delay = EVENT_DELAYS[choose(EVENT_DELAYS.len())];
                    let event = json!({"kind": "email_sent", "email_ids": [tag["Value"]]});
                    messages.push(message(event, delay, Some(EVENT_ATTEMPTS)));
                }
                next = messages.next() => if next.is_none() { break },
            }
        }
    };
    tokio::join!(cancel, deliver);
    settle().await;
    let emails = |kind, appointment: &Appointment| {
        let id = appointment.booking.email_id(kind);
        cloud(|cloud| cloud.emails.iter().filter(|email| email["EmailTags"][0]["Value"] == id).count())
    };
    let counts = [emails(Kind::Booked, &booked), emails(Kind::Reminder, &booked), emails(Kind::Cancelled, &cancelled)];
    match (counts, cancels_after) {
        ([1, 1, 0], None) | ([1, 0 | 1, 1], Some(_)) => Ok(()),
        _ => Err(format!(
            "booked, reminded and cancelled are told by {counts:?} e-mails; it was cancelled: {cancels_after:?}"
        )),
    }
}

/// A message in the queue, until it is handled. If its attempts are limited, the last one has no faults.
async fn message(message: serde_json::Value, delay: Duration, attempts: Option<usize>) {
    let record = json!({"messageId": "m", "body": message.to_string()});
    let batch = json!({ "Records": [record] }).to_string();
    let handle = |context| async {
        let batch: BatchEvent = serde_json::from_str(&batch).expect("it is an event");
        let response = handle(&sender(), LambdaEvent::new(batch, context)).await;
        response.is_ok_and(|response| response.batch_item_failures.is_empty())
    };
    QUEUE.deliver(&message["kind"].to_string(), delay, attempts, handle).await;
}
