//! Booking: requests of students and staff, rendered from the API's own templates, and DynamoDB.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde_json::{Value, json};
use simulation::{Item, Simulation, Violation, choose, cloud, invoke, log, post, settle, sleep};

fn main() -> ExitCode {
    simulation::main(Simulation { name: "booking", schedules: 3_000, run: || Box::pin(simulate()) })
}

const API: &str = include_str!("../../../../stacks/appointments/openapi.yaml");

/// API Gateway waits no longer for an integration.
const TIMEOUT: Duration = Duration::from_secs(29);
const ATTEMPTS: usize = 3;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `MonthlyBookingLimit`
const MOST: usize = 2;

const STUDENTS: [&str; 3] = ["ida", "noor", "sam"];

/// Advisor and start of each slot, and the start in seconds since 1970. The first is chosen if nothing goes wrong; two
/// start at one time; one starts five minutes after the beginning of the simulation. All are in one month.
const SLOTS: [(&str, &str, u64); 4] = [
    ("ada", "2026-11-25T10:00:00Z", 1_795_600_800),
    ("alan", "2026-11-25T10:00:00Z", 1_795_600_800),
    ("ada", "2026-11-26T10:00:00Z", 1_795_687_200),
    ("ada", "2026-11-20T23:55:00Z", 1_795_218_900),
];
const MONTH: &str = "2026-11";

/// The delay of each request after the first.
const DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(15), Duration::from_millis(1_030), Duration::from_secs(600)];

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Book,
    Cancel,
    /// With the student's appointment.
    Withdraw,
    /// Only if it is free.
    WithdrawFree,
    Offer,
}

const WHATS: [What; 7] =
    [What::Book, What::Cancel, What::Book, What::Withdraw, What::Book, What::WithdrawFree, What::Offer];

#[derive(Clone, Copy, Debug)]
struct Request {
    what: What,
    student: &'static str,
    slot: usize,
}

impl Request {
    fn any() -> Self {
        Self { what: WHATS[choose(WHATS.len())], student: STUDENTS[choose(STUDENTS.len())], slot: choose(SLOTS.len()) }
    }

    /// What the API's template makes of it.
    fn rendered(self) -> Value {
        let (operation, variant) = match self.what {
            What::Book => ("bookAppointment", 0),
            What::Cancel => ("cancelAppointment", 0),
            What::Withdraw => ("withdrawSlot", 1),
            What::WithdrawFree => ("withdrawSlot", 0),
            What::Offer => ("offerSlot", 0),
        };
        let (advisor_id, starts_at, starts) = SLOTS[self.slot];
        let mut text = template(operation, variant);
        // A value of the body.
        while let Some((before, rest)) = text.split_once("$util.escapeJavaScript(") {
            let (_, after) = rest.split_once(r#").replaceAll("\\'", "'")"#).expect("a value is escaped like this");
            text = format!("{before}30{after}");
        }
        for (name, value) in [
            (r##"#if("$!topic" != "")"##, ""),
            ("#end", ""),
            ("${SlotsTable}", "slots"),
            ("${AppointmentsTable}", "appointments"),
            ("${StudentMonthsTable}", "months"),
            ("${MonthlyBookingLimit}", &MOST.to_string()),
            ("$advisor_id", advisor_id),
            ("$starts_at", starts_at),
            ("$starts", &starts.to_string()),
            ("$expires_at", &starts.to_string()),
            ("$changes", "0"),
            ("$month", MONTH),
            ("$student", self.student),
            ("$latest", &now().to_string()),
        ] {
            text = text.replace(name, value);
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in this template, rendered: {text}"))
    }
}

/// The request of an operation, without the lines that set variables. `withdrawSlot` has two variants.
fn template(operation: &str, variant: usize) -> String {
    let (_, operation) = API.split_once(&format!("operationId: {operation}\n")).expect("the API has the operation");
    let (_, templates) = operation.split_once("requestTemplates:\n").expect("it has a template");
    let (mut lines, mut body) = (templates.lines(), Vec::new());
    for _ in 0..=variant {
        let first = lines.find(|line| line.trim() == "{").expect("it has the variant");
        let end = first.replace('{', "}");
        body = lines.by_ref().take_while(|line| *line != end).collect();
    }
    format!("{{{}}}", body.join("\n"))
}

/// The calls that API Gateway makes for a request.
fn calls(request: Request) -> Vec<(&'static str, Value)> {
    let operation = if request.what == What::Offer { "UpdateItem" } else { "TransactWriteItems" };
    vec![(operation, request.rendered())]
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// What a client learns from an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// 201, 204
    Done,
    /// 200: the student has booked this slot before.
    Before,
    /// 404, 409
    Refused,
    /// 429: nothing is changed.
    Later,
    /// 500, 503, or no answer.
    Unknown,
}

async fn answer(request: Request) -> Answer {
    for (operation, body) in calls(request) {
        let Ok(Some((status, answer))) = invoke(TIMEOUT, |_| async { post(operation, &body).await }).await else {
            return Answer::Unknown;
        };
        let mut reasons = answer["CancellationReasons"].as_array().into_iter().flatten();
        match (status, answer["__type"].as_str()) {
            (200, _) => {}
            (400, Some("TransactionCanceledException")) if request.what == What::Book => {
                let is_mine = reasons.any(|reason| {
                    reason["Item"]["starts_at"].is_object() && reason["Item"]["student_id"]["S"] == request.student
                });
                return if is_mine { Answer::Before } else { Answer::Refused };
            }
            (400, Some("TransactionCanceledException" | "ConditionalCheckFailedException")) => return Answer::Refused,
            (400, _) => return Answer::Later,
            _ => return Answer::Unknown,
        }
    }
    Answer::Done
}

/// A client, who asks again as often as it makes sense. Returns each answer.
async fn ask(request: Request, delay: Duration) -> Result<Vec<(Request, Answer)>, Violation> {
    sleep(delay).await;
    let mut answers = Vec::new();
    for _ in 0..ATTEMPTS {
        let is_too_late = now() >= SLOTS[request.slot].2;
        let answer = answer(request).await;
        log(|| format!("{request:?} is answered {answer:?}"));
        if is_too_late && answer == Answer::Done && matches!(request.what, What::Book | What::Cancel) {
            return Err(format!("{request:?} is done after the slot has begun"));
        }
        answers.push((request, answer));
        if !matches!(answer, Answer::Later | Answer::Unknown) {
            break;
        }
        sleep(RETRY_AFTER).await;
    }
    Ok(answers)
}

/// Some requests for a few slots, with any faults.
async fn simulate() -> Result<(), Violation> {
    cloud(|cloud| {
        let keys = [
            ("slots", "advisor_id starts_at"),
            ("appointments", "advisor_id starts_at"),
            ("months", "student_id month"),
        ];
        cloud.keys.extend(keys);
        for (advisor_id, starts_at, starts) in SLOTS {
            let slot = json!({
                "advisor_id": {"S": advisor_id},
                "starts_at": {"S": starts_at},
                "starts": {"N": starts.to_string()},
                "free_at": {"S": starts_at},
            });
            let item = slot.as_object().expect("it is an object").clone();
            cloud.items.insert(("slots".into(), format!("{advisor_id} {starts_at}")), item);
        }
    });
    let count = [2, 1, 3, 4, 6, 8][choose(6)];
    let asked: Vec<_> = (0..count).map(|_| ask(Request::any(), DELAYS[choose(DELAYS.len())])).collect();
    let mut answers = Vec::new();
    for told in join_all(asked).await {
        answers.extend(told?);
    }
    settle().await;
    agree()?;
    check(&answers)
}

/// The items of a table.
fn items(table: &str) -> Vec<Item> {
    cloud(|cloud| cloud.items.iter().filter(|((name, _), _)| name == table).map(|(_, item)| item.clone()).collect())
}

fn text(item: &Item, name: &str) -> String {
    item[name]["S"].as_str().expect("it is a text").to_owned()
}

/// Student by advisor and start.
type Holders = BTreeMap<(String, String), String>;

fn holders(items: &[Item]) -> Holders {
    let held = items.iter().filter(|item| item.contains_key("student_id"));
    held.map(|item| ((text(item, "advisor_id"), text(item, "starts_at")), text(item, "student_id"))).collect()
}

/// Checks that slots, appointments and the months of students say the same, and that no student has too many.
fn agree() -> Result<(), Violation> {
    let (slots, booked) = (items("slots"), holders(&items("appointments")));
    if let Some(slot) = slots.iter().find(|slot| slot.contains_key("free_at") == slot.contains_key("student_id")) {
        return Err(format!("a slot is neither free nor taken, or both: {slot:?}"));
    }
    if holders(&slots) != booked {
        return Err(format!("slots are taken by {:?}, and booked by {booked:?}", holders(&slots)));
    }
    let mut times: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for ((_, starts_at), student) in &booked {
        times.entry(student).or_default().push(starts_at);
    }
    let months = items("months");
    for month in &months {
        let mut counted: Vec<_> =
            month.get("booked").and_then(|set| set["SS"].as_array()).into_iter().flatten().collect();
        counted.sort_by_key(|time| time.as_str());
        let mut booked = times.remove(&text(month, "student_id")).unwrap_or_default();
        booked.sort();
        if counted != booked || booked.len() > MOST {
            return Err(format!("the month {month:?} is of a student who has booked {booked:?}"));
        }
    }
    match times.is_empty() {
        true => Ok(()),
        false => Err(format!("no month counts {times:?}")),
    }
}

/// Checks the answers against the table: what was answered is done, and nothing else.
fn check(answers: &[(Request, Answer)]) -> Result<(), Violation> {
    let booked = holders(&items("appointments"));
    for (index, (advisor_id, starts_at, _)) in SLOTS.into_iter().enumerate() {
        for student in STUDENTS {
            let count = |whats: &[What], answer| {
                let here = answers.iter().filter(|(request, _)| (request.slot, request.student) == (index, student));
                here.filter(|(request, told)| whats.contains(&request.what) && *told == answer).count()
            };
            let (book, cancel) = (&[What::Book][..], &[What::Cancel, What::Withdraw][..]);
            let [done, undone] = [book, cancel].map(|whats| count(whats, Answer::Done));
            let [perhaps_done, perhaps_undone] = [book, cancel].map(|whats| count(whats, Answer::Unknown));
            let is_booked = booked.get(&(advisor_id.to_owned(), starts_at.to_owned())).is_some_and(|id| id == student);
            if done > undone + perhaps_undone && !is_booked {
                return Err(format!("{student} was told that {advisor_id} {starts_at} is booked, and it is not"));
            }
            if done + perhaps_done <= undone && is_booked {
                return Err(format!("{student} has {advisor_id} {starts_at}, and should not"));
            }
        }
    }
    Ok(())
}
