//! Which records are handled, in which order, and which are reported, for any batch and any failures.

use std::cell::RefCell;
use std::error::Error as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, LambdaInvocation, service_fn};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Debug)]
struct Message {
    group: Option<u8>,
    outcome: Outcome,
    /// How often its handler yields to others.
    pauses: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Success,
    Error,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Begin(usize),
    End(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Sqs,
    SqsFifo,
    Kinesis,
    DynamoDb,
}

impl Source {
    fn processor(self) -> BatchProcessor {
        match self {
            Self::Sqs => BatchProcessor::sqs(),
            Self::SqsFifo => BatchProcessor::sqs_fifo(),
            Self::Kinesis | Self::DynamoDb => BatchProcessor::stream(),
        }
    }

    fn record(self, index: usize, group: Option<u8>) -> Value {
        let identifier = index.to_string();
        match (self, group) {
            (Self::Kinesis, _) => json!({"kinesis": {"sequenceNumber": identifier}}),
            (Self::DynamoDb, _) => json!({"dynamodb": {"SequenceNumber": identifier}}),
            (_, Some(group)) => {
                json!({"messageId": identifier, "attributes": {"MessageGroupId": group.to_string()}})
            }
            (_, None) => json!({"messageId": identifier, "attributes": {}}),
        }
    }
}

fn batch(records: impl IntoIterator<Item = Value>) -> Vec<Record> {
    let records: Vec<Value> = records.into_iter().collect();
    let event: BatchEvent = serde_json::from_value(json!({ "Records": records })).expect("it has records");
    event.records
}

fn identifiers(response: &BatchResponse) -> Vec<Option<&str>> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref()).collect()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers can be built")
        .block_on(future)
}

fn run(
    processor: BatchProcessor,
    source: Source,
    messages: &[Message],
) -> (Result<BatchResponse, BatchProcessingError>, Vec<Event>) {
    let records = batch(messages.iter().enumerate().map(|(index, message)| source.record(index, message.group)));
    let events = RefCell::new(Vec::new());
    let result = block_on(processor.process(&records, async |record| {
        let index: usize = record.identifier().expect("every record has one").parse().expect("it is a number");
        events.borrow_mut().push(Event::Begin(index));
        for _ in 0..messages[index].pauses {
            tokio::task::yield_now().await;
        }
        events.borrow_mut().push(Event::End(index));
        match messages[index].outcome {
            Outcome::Success => Ok(()),
            Outcome::Error => Err("an error"),
            // Unlike `panic!`, this doesn't print.
            Outcome::Panic => std::panic::resume_unwind(Box::new("a panic")),
        }
    }));
    (result, events.into_inner())
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let outcome = prop_oneof![4 => Just(Outcome::Success), 1 => Just(Outcome::Error), 1 => Just(Outcome::Panic)];
    let message = (prop::option::weighted(0.9, 0..3u8), outcome, 0..4usize)
        .prop_map(|(group, outcome, pauses)| Message { group, outcome, pauses });
    prop::collection::vec(message, 0..12)
}

fn sources() -> impl Strategy<Value = Source> {
    prop::sample::select(&[Source::Sqs, Source::SqsFifo, Source::Kinesis, Source::DynamoDb][..])
}

fn policies() -> impl Strategy<Value = AfterFailure> {
    prop::sample::select(&[AfterFailure::Continue, AfterFailure::Stop, AfterFailure::SkipGroup][..])
}

proptest! {
    #[test]
    fn one_at_a_time_equals_a_plain_loop(
        messages in messages(), source in sources(), after_failure in policies(), raise: bool,
    ) {
        let is_stream = matches!(source, Source::Kinesis | Source::DynamoDb);
        let mut tried = Vec::new();
        let mut left = Vec::new();
        let mut failed = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let skipped = match after_failure {
                AfterFailure::Continue => false,
                AfterFailure::Stop => !failed.is_empty(),
                AfterFailure::SkipGroup => {
                    !is_stream && failed.iter().any(|&other: &&Message| message.group.is_some() && other.group == message.group)
                }
            };
            if !skipped {
                tried.extend([Event::Begin(index), Event::End(index)]);
            }
            if skipped || message.outcome != Outcome::Success {
                left.push(index.to_string());
            }
            if !skipped && message.outcome != Outcome::Success {
                failed.push(message);
            }
        }
        let all_left = !messages.is_empty() && left.len() == messages.len();
        if is_stream && after_failure == AfterFailure::Stop {
            left.truncate(1);
        }

        let processor = source.processor().after_failure(after_failure).raise_on_entire_batch_failure(raise);
        let (result, events) = run(processor, source, &messages);
        prop_assert_eq!(events, tried);
        match result {
            Ok(response) => {
                prop_assert!(!(all_left && raise));
                prop_assert_eq!(identifiers(&response), left.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>());
            }
            Err(error) => {
                prop_assert!(all_left && raise);
                prop_assert_eq!((error.failed, error.not_tried), (failed.len(), messages.len() - failed.len()));
            }
        }
    }

    #[test]
    fn concurrency_keeps_the_order_and_the_bound(
        messages in messages(), source in sources(), after_failure in policies(), concurrency in 0..6usize,
    ) {
        let processor = source
            .processor()
            .after_failure(after_failure)
            .concurrency(concurrency)
            .raise_on_entire_batch_failure(false);
        let (result, events) = run(processor, source, &messages);
        let response = result.expect("a batch that failed as a whole is not raised");

        let fails = |index: usize| messages[index].outcome != Outcome::Success;
        let is_stream = matches!(source, Source::Kinesis | Source::DynamoDb);
        let grouped = source == Source::SqsFifo || after_failure == AfterFailure::SkipGroup;
        let same_group = |a: usize, b: usize| {
            grouped && !is_stream && messages[a].group.is_some() && messages[a].group == messages[b].group
        };
        let mut running: Vec<usize> = Vec::new();
        let mut begun: Vec<usize> = Vec::new();
        let mut failed: Vec<usize> = Vec::new();
        let mut at_work_after_failure = 0;
        for &event in &events {
            match event {
                Event::Begin(index) => {
                    prop_assert!(running.len() < concurrency.max(1));
                    prop_assert!(!begun.contains(&index));
                    prop_assert!(!running.iter().any(|&other| same_group(other, index)));
                    prop_assert!(!begun.iter().any(|&other| same_group(other, index) && other > index));
                    match after_failure {
                        AfterFailure::Continue => {}
                        // The others whose turn it was by then may do their first step after it.
                        AfterFailure::Stop => {
                            at_work_after_failure += usize::from(!failed.is_empty());
                            prop_assert!(at_work_after_failure < concurrency.max(1));
                        }
                        AfterFailure::SkipGroup => {
                            prop_assert!(!failed.iter().any(|&other| same_group(other, index)));
                        }
                    }
                    running.push(index);
                    begun.push(index);
                }
                Event::End(index) => {
                    running.retain(|&other| other != index);
                    if fails(index) {
                        if failed.is_empty() {
                            at_work_after_failure = running.len();
                        }
                        failed.push(index);
                    }
                }
            }
        }
        prop_assert!(running.is_empty());
        for index in (0..messages.len()).filter(|index| !begun.contains(index)) {
            match after_failure {
                AfterFailure::Continue => prop_assert!(false, "{index} was not tried"),
                AfterFailure::Stop => prop_assert!(!failed.is_empty()),
                AfterFailure::SkipGroup => prop_assert!(failed.iter().any(|&other| same_group(other, index))),
            }
        }
        let mut left: Vec<usize> =
            (0..messages.len()).filter(|&index| fails(index) || !begun.contains(&index)).collect();
        if is_stream && after_failure == AfterFailure::Stop {
            prop_assert_eq!(left.first(), failed.iter().min());
            left.truncate(1);
        }
        let left: Vec<String> = left.iter().map(usize::to_string).collect();
        prop_assert_eq!(identifiers(&response), left.iter().map(|id| Some(id.as_str())).collect::<Vec<_>>());
    }
}

fn message(group: u8, outcome: Outcome, pauses: usize) -> Message {
    Message { group: Some(group), outcome, pauses }
}

#[test]
fn groups_of_a_fifo_queue_run_concurrently() {
    let messages = [message(0, Outcome::Success, 3), message(0, Outcome::Success, 0), message(1, Outcome::Success, 0)];
    let (_, events) = run(BatchProcessor::sqs_fifo().concurrency(2), Source::SqsFifo, &messages);
    use Event::{Begin, End};
    assert_eq!(events, [Begin(0), Begin(2), End(2), End(0), Begin(1), End(1)]);
}

#[test]
fn after_a_failure_nothing_starts_and_running_handlers_finish() {
    let messages = [message(0, Outcome::Error, 1), message(1, Outcome::Success, 3), message(2, Outcome::Success, 0)];
    for source in [Source::Sqs, Source::SqsFifo, Source::Kinesis, Source::DynamoDb] {
        let processor = source.processor().after_failure(AfterFailure::Stop).concurrency(2);
        let (result, events) = run(processor, source, &messages);
        use Event::{Begin, End};
        assert_eq!(events, [Begin(0), Begin(1), End(0), End(1)]);
        let response = result.expect("one record succeeded");
        match source {
            Source::Sqs | Source::SqsFifo => assert_eq!(identifiers(&response), [Some("0"), Some("2")]),
            Source::Kinesis | Source::DynamoDb => assert_eq!(identifiers(&response), [Some("0")]),
        }
    }
}

#[test]
fn an_invalid_record_fails_alone() {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "body")]
        _body: String,
    }
    for odd in [
        json!({"messageId": "odd"}),
        json!({"messageId": "odd", "body": 1}),
        json!({"messageId": "odd", "body": {}, "attributes": "none"}),
    ] {
        let records = batch([json!({"messageId": "1", "body": ""}), odd, json!({"messageId": "3", "body": ""})]);
        let response =
            block_on(BatchProcessor::sqs().process(&records, async |record| record.parse::<Body>().map(drop)));
        assert_eq!(identifiers(&response.expect("two records succeeded")), [Some("odd")]);
    }
}

#[test]
fn a_failed_record_without_an_identifier_makes_lambda_retry_the_whole_batch() {
    for unnamed in [json!({}), json!(null), json!("odd"), json!({"messageId": ""}), json!({"messageId": 1})] {
        let records = batch([json!({"messageId": "1"}), unnamed]);
        let response =
            block_on(BatchProcessor::sqs().process(&records, async |record: &Record| {
                record.identifier().map(drop).ok_or("it has no identifier")
            }));
        let response = serde_json::to_value(response.expect("one record succeeded")).expect("it is JSON");
        assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": null}]}));
    }
}

#[test]
fn an_event_is_a_list_of_records_and_may_be_empty() {
    for (event, reason) in [
        ("{}", "missing field `Records`"),
        (r#"{"Records":null}"#, "invalid type: null, expected a sequence"),
        ("[]", "invalid length 0"),
        ("null", "expected struct BatchEvent"),
    ] {
        let error = serde_json::from_str::<BatchEvent>(event).expect_err("it has no records").to_string();
        assert!(error.contains(reason), "{error}");
    }
    let response = block_on(BatchProcessor::sqs().process(&batch([]), async |_| Err("never called")));
    assert_eq!(response, Ok(BatchResponse::default()));
}

#[test]
fn the_log_does_not_quote_a_record() {
    let [record] = &batch([json!({"messageId": "1", "body": "ada@school.example"})])[..] else { panic!("it is one") };
    assert_eq!(format!("{record:?}"), r#"Record { identifier: Some("1"), .. }"#);
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only parsed")]
    struct Message {
        body: u32,
    }
    let error = record.parse::<Message>().expect_err("its body is no number");
    assert!(error.to_string().contains("Message: unexpected or missing data at line 1 column "), "{error}");
    assert!(!error.to_string().contains("ada"), "{error}");
    assert!(error.source().is_some_and(|reason| reason.to_string().contains("ada")));
}

#[test]
fn the_error_of_a_failed_batch_has_its_name_in_powertools() {
    let error = BatchProcessingError { failed: 1, not_tried: 2 };
    assert_eq!(Diagnostic::from(error).error_type, "BatchProcessingError");
}

#[test]
fn the_age_of_the_failures_is_that_of_the_oldest_message() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let message = |identifier: &str, seconds: u64| {
        let sent = (now - Duration::from_secs(seconds)).as_millis();
        json!({"messageId": identifier, "attributes": {"SentTimestamp": sent.to_string()}})
    };
    let records = batch([
        message("oldest", 9_000),
        message("old", 4_000),
        message("new", 5),
        json!({"messageId": "timeless", "attributes": {"SentTimestamp": "18446744073709551616"}}),
        message("", 8_000),
    ]);
    let age_of = |failed: &[usize]| {
        let mut response = BatchResponse::default();
        failed.iter().for_each(|&index| response.add_failure(&records[index]));
        response.oldest_failure(&records).map(|age| age.as_secs() / 1_000 * 1_000)
    };
    assert_eq!(age_of(&[]), None);
    assert_eq!(age_of(&[3]), None);
    assert_eq!(age_of(&[1, 2, 3]), Some(4_000));
    // Lambda delivers the whole batch again.
    assert_eq!(age_of(&[4]), Some(9_000));
}

#[test]
fn groups_of_records_are_reported_by_the_first_that_was_not_written() {
    let records = batch((0..4).map(|index| Source::DynamoDb.record(index, None)));
    let mut response = BatchResponse::default();
    if let Some(run) = records.chunks(2).find(|run| run[0].identifier().as_deref() == Some("2")) {
        response.add_failure(&run[0]);
    }
    assert_eq!(identifiers(&response), [Some("2")]);
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html>
#[test]
fn a_tumbling_window_gets_its_state_with_and_without_records() {
    for (records, failures) in [(0, json!([])), (2, json!([{"itemIdentifier": "1"}]))] {
        let records = batch((0..records).map(|index| Source::DynamoDb.record(index, None)));
        let handler = async |record: &Record| record.identifier().filter(|name| name == "0").map(drop).ok_or("no");
        let mut response = block_on(BatchProcessor::stream().process(&records, handler)).expect("not all failed");
        assert_eq!(serde_json::to_value(&response).expect("it is JSON"), json!({"batchItemFailures": failures}));
        response.state = Some(json!({"1": 282}));
        let expected = json!({"batchItemFailures": failures, "state": {"1": 282}});
        assert_eq!(serde_json::to_value(&response).expect("it is JSON"), expected);
    }
}

#[test]
fn handlers_may_borrow_and_their_futures_may_move_between_threads() {
    struct Shop {
        name: String,
    }
    async fn handle(shop: &Shop, event: LambdaEvent<BatchEvent>) -> Result<BatchResponse, Error> {
        let processor = BatchProcessor::sqs().concurrency(2);
        let response = processor.process(&event.payload.records, async |record| {
            let name: &str = record.parse()?;
            tokio::task::yield_now().await;
            if name == shop.name { Ok(()) } else { Err::<_, Error>("not here".into()) }
        });
        Ok(response.await?)
    }
    fn sendable<F: Future + Send>(future: F) -> F {
        future
    }
    let shop = Shop { name: "books".into() };
    let event = serde_json::from_value(json!({"Records": ["books", "bread"]})).expect("it has records");
    let response = block_on(sendable(handle(&shop, LambdaEvent::new(event, Context::default()))));
    assert_eq!(identifiers(&response.expect("one record succeeded")), [None]);
}

#[test]
fn an_unparsed_event_is_what_lambda_sent() {
    let sent = r#"{"Records":[ {"any":"text", "not even": JSON} ]}"#;
    let mut service = Unparsed.layer(service_fn(|invocation: LambdaInvocation| {
        let parsed = serde_json::from_slice::<UnparsedEvent>(&invocation.body);
        async { parsed }
    }));
    for _ in 0..2 {
        let (parts, ()) = http::Response::new(()).into_parts();
        let invocation = LambdaInvocation { parts, body: sent.into(), context: Context::default() };
        let UnparsedEvent(event) = block_on(service.call(invocation)).expect("the layer is there");
        assert_eq!(event, sent);
    }
    let error = serde_json::from_str::<UnparsedEvent>("{}").expect_err("there is no layer");
    assert!(error.to_string().contains("powertools::batch::Unparsed"), "{error}");
}
