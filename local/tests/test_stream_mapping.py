"""The promises that AWS makes about event source mappings of DynamoDB streams.

Each test names one promise and quotes the page that makes it. Unless it says otherwise, the quotation
is from the Lambda Developer Guide. Time is simulated, except in the last test.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from local_cloud.stream_mapping import (
    STREAM_RETENTION_SECONDS,
    Discard,
    Invocation,
    Lane,
    Page,
    Record,
    Settings,
    invocation_record,
    lane_of,
    object_key,
    retry_delay,
)
from running_cloud import Cloud

START = 1_700_000_000.0
# The second number has fewer digits and is later in the alphabet: sequence numbers are not text.
FIRST_SEQUENCE_NUMBER = 998


class Refused(Exception):
    """The service, not the function, cannot do it now."""


class FunctionError(Exception):
    """The function was invoked and failed."""


class Simulation:
    """A shard, a function and a destination around the lanes of one mapping, in simulated time."""

    def __init__(self, handler: Callable[[list[int]], Any], **settings: Any) -> None:
        self.handler = handler
        self.settings = Settings(**settings)
        self.now = START
        self.shard: list[Record] = []
        self.invocations: list[list[int]] = []
        self.invoked_at: list[float] = []
        self.sent: list[tuple[str, Discard]] = []
        self.reports: list[str] = []
        self.matches: Callable[[Record], bool] = lambda record: True
        self.refuse_reading: Callable[[], bool] = lambda: False
        self.refuse_sending: Callable[[], bool] = lambda: False
        self.page_size = 1000
        lanes = self.settings.parallelization_factor
        self.lanes = [self.new_lane(number, lanes, 0) for number in range(lanes)]

    def new_lane(self, number: int, lanes: int, position: int) -> Lane:
        return Lane(
            number,
            lanes,
            position,
            clock=lambda: self.now,
            settings=lambda: self.settings,
            read=self.read,
            matches=lambda record: self.matches(record),
            invoke=self.invoke,
            send=self.send,
            report=self.reports.append,
        )

    def write(self, *items: str, filler: str = "") -> None:
        for item in items:
            self.shard.append(
                {
                    "eventName": "INSERT",
                    "dynamodb": {
                        "ApproximateCreationDateTime": int(self.now),
                        "Keys": {"id": {"S": item}},
                        "NewImage": {"id": {"S": item}, "filler": {"S": filler}},
                        "SequenceNumber": str(FIRST_SEQUENCE_NUMBER + len(self.shard)),
                    },
                }
            )

    def read(self, position: int) -> Page:
        if self.refuse_reading():
            raise Refused("AccessDeniedException")
        return Page(position, self.shard[position : position + self.page_size])

    def invoke(self, records: list[Record]) -> Invocation:
        numbers = sequence_numbers(records)
        try:
            response = self.handler(numbers)
        except FunctionError as error:
            response = error
        self.invocations.append(numbers)
        self.invoked_at.append(self.now)
        if isinstance(response, FunctionError):
            return Invocation(function_error="an error")
        return Invocation(response)

    def send(self, destination: str, discard: Discard) -> None:
        if self.refuse_sending():
            raise Refused("AccessDenied")
        self.sent.append((destination, discard))

    @property
    def discarded(self) -> list[list[int]]:
        return [sequence_numbers(discard.batch.records) for _, discard in self.sent]

    @property
    def settled(self) -> bool:
        return all(lane.checkpoint == len(self.shard) for lane in self.lanes)

    def run_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(500_000):
            if condition():
                return
            self.now += min(lane.step() for lane in self.lanes)
        raise AssertionError("the simulation does not get there")

    def run(self) -> None:
        self.run_until(lambda: self.settled)


def sequence_numbers(records: list[Record]) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in records]


def failures(*numbers: int) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in numbers]}


def fails_on(*poison: int) -> Callable[[list[int]], Any]:
    """A function that raises when one of these records is in its batch."""

    def handler(numbers: list[int]) -> None:
        if set(poison) & set(numbers):
            raise FunctionError

    return handler


def reports(*poison: int) -> Callable[[list[int]], Any]:
    """A function that reports these records, in no useful order."""
    return lambda numbers: failures(*reversed([number for number in numbers if number in poison]))


def once(outcome: Any) -> Callable[[list[int]], Any]:
    """A function that returns this the first time, and succeeds from then on."""
    outcomes = [outcome]
    return lambda numbers: outcomes.pop() if outcomes else None


def test_a_retry_starts_at_the_lowest_reported_sequence_number() -> None:
    """Configuring partial batch response with DynamoDB and Lambda: "If the batchItemFailures array contains
    multiple items, Lambda uses the record with the lowest sequence number as the checkpoint. Lambda then
    retries all records starting from that checkpoint."
    """
    simulation = Simulation(once(failures(1002, 999, 1000)), report_batch_item_failures=True)
    simulation.write("a", "b", "c", "d", "e")
    simulation.run()
    assert simulation.invocations == [[998, 999, 1000, 1001, 1002], [999, 1000, 1001, 1002]]


@pytest.mark.parametrize("response", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}])
def test_an_empty_or_null_report_is_complete_success(response: Any) -> None:
    """Configuring partial batch response: "Lambda treats a batch as a complete success if you return any of the
    following: An empty batchItemFailure list; A null batchItemFailure list; An empty EventResponse; A null
    EventResponse".
    """
    simulation = Simulation(once(response), report_batch_item_failures=True)
    simulation.write("a", "b")
    simulation.run()
    assert simulation.invocations == [[998, 999]]
    assert simulation.reports[-1] == "OK"


@pytest.mark.parametrize(
    "response",
    [
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"sequenceNumber": "999"}]},
        # AWS says nothing of these. They must not be mistaken for a success.
        {"batchItemFailures": [{"itemIdentifier": "999"}, {"itemIdentifier": "5"}]},
        {"batchItemFailures": [{"itemIdentifier": "999"}, {"itemIdentifier": "event-1"}]},
        {"batchItemFailures": ["999"]},
        {"batchItemFailures": {"itemIdentifier": "999"}},
        "not a JSON object",
    ],
)
def test_a_report_that_cannot_be_understood_is_complete_failure(response: Any) -> None:
    """Configuring partial batch response: "Lambda treats a batch as a complete failure if you return any of the
    following: An empty string itemIdentifier; A null itemIdentifier; An itemIdentifier with a bad key name".
    """
    simulation = Simulation(once(response), report_batch_item_failures=True)
    simulation.write("a", "b")
    simulation.run()
    assert simulation.invocations == [[998, 999], [998, 999]]


def test_a_report_counts_only_if_the_mapping_asks_for_it() -> None:
    """Configuring partial batch response: "these responses will not be processed by Lambda unless the
    ReportBatchItemFailures feature is explicitly turned on for your event source mapping."
    """
    simulation = Simulation(reports(999))
    simulation.write("a", "b")
    simulation.run()
    assert simulation.invocations == [[998, 999]]


def test_bisecting_isolates_a_bad_record_without_using_up_retries() -> None:
    """Retain discarded records for a DynamoDB event source in Lambda: "BisectBatchOnFunctionError, which splits a
    failed batch into two smaller batches, isolating bad records and avoiding timeouts. Splitting batches doesn't
    consume the retry quota."
    """
    simulation = Simulation(
        fails_on(1000), bisect_batch_on_function_error=True, maximum_retry_attempts=1, destination="bucket"
    )
    simulation.write("a", "b", "c", "d")
    simulation.run()
    assert simulation.invocations == [[998, 999, 1000, 1001], [998, 999], [1000, 1001], [1000], [1000], [1001]]
    assert simulation.discarded == [[1000]]


def test_bisecting_a_reported_batch_retries_only_what_remains() -> None:
    """Configuring partial batch response: "the batch is bisected at the returned sequence number and Lambda retries
    only the remaining records."
    """
    simulation = Simulation(
        reports(1000),
        report_batch_item_failures=True,
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=0,
        destination="bucket",
    )
    simulation.write("a", "b", "c", "d")
    simulation.run()
    assert simulation.invocations == [[998, 999, 1000, 1001], [1000, 1001], [1000], [1001]]
    assert simulation.discarded == [[1000]]


@pytest.mark.parametrize("maximum_retry_attempts", [0, 2])
@pytest.mark.parametrize("handler", [fails_on(999), reports(999)])
def test_a_batch_is_given_up_when_its_retries_are_used_up(
    handler: Callable[[list[int]], Any], maximum_retry_attempts: int
) -> None:
    """Retain discarded records: "Lambda retries until the records expire, exceed the maximum age
    (MaximumRecordAgeInSeconds), or reach the configured retry quota (MaximumRetryAttempts). [...] If the error
    handling measures fail, Lambda discards the records and continues processing batches from the stream."
    """
    simulation = Simulation(
        handler,
        batch_size=2,
        report_batch_item_failures=True,
        maximum_retry_attempts=maximum_retry_attempts,
        destination="bucket",
    )
    simulation.write("z")
    simulation.run()
    simulation.write("b", "c", "d")
    simulation.run()
    assert simulation.invocations == [[998], *[[999, 1000]] * (1 + maximum_retry_attempts), [1001]]
    ((destination, discard),) = simulation.sent
    assert destination == "bucket"
    assert discard.condition == "RetryAttemptsExhausted"
    assert sequence_numbers(discard.batch.records) == [999, 1000]
    assert discard.batch.invocations == 1 + maximum_retry_attempts


def test_without_a_retry_limit_a_batch_is_retried_until_it_expires() -> None:
    """Lambda parameters for Amazon DynamoDB event source mappings, of MaximumRetryAttempts: "-1 means infinite:
    failed records are retried until the record expires". Of MaximumRecordAgeInSeconds: "The data retention limit
    for DynamoDB Streams is 24 hours."
    """
    simulation = Simulation(fails_on(998), destination="bucket")
    simulation.write("a")
    simulation.run_until(lambda: bool(simulation.invocations))
    simulation.write("b")
    simulation.run()
    assert STREAM_RETENTION_SECONDS - 10 < simulation.invoked_at[-2] - START <= STREAM_RETENTION_SECONDS
    assert simulation.discarded[0] == [998]
    assert simulation.sent[0][1].condition == "MaxRecordAgeExceeded"


def test_records_that_are_too_old_are_given_up_and_the_rest_of_the_batch_is_not() -> None:
    """CreateEventSourceMapping, MaximumRecordAgeInSeconds: "Discard records older than the specified age."""
    simulation = Simulation(fails_on(998), maximum_record_age_in_seconds=60, destination="bucket")
    simulation.write("a")
    simulation.now += 30
    simulation.write("b", "c")
    simulation.run()
    assert simulation.discarded == [[998]]
    assert simulation.sent[0][1].condition == "MaxRecordAgeExceeded"
    assert START + 60 < simulation.sent[0][1].time < START + 70
    assert simulation.invocations[-1] == [999, 1000]


def test_an_invocation_that_is_throttled_does_not_use_up_retries() -> None:
    """Retain discarded records: "If a Lambda event source mapping is unable to invoke the function due to throttling
    or other issues, it retries until the records expire or exceed the maximum age".
    """
    throttles = [Refused("TooManyRequestsException")] * 20

    def handler(numbers: list[int]) -> None:
        if throttles:
            raise throttles.pop()

    simulation = Simulation(
        handler, maximum_retry_attempts=0, bisect_batch_on_function_error=True, destination="bucket"
    )
    simulation.write("a", "b")
    simulation.run()
    assert simulation.invocations == [[998, 999]]
    assert simulation.sent == []
    assert "TooManyRequestsException" in simulation.reports[0]


def test_retries_are_paced() -> None:
    """Not AWS's pace, which it does not document, but quick at first and never a busy loop."""
    simulation = Simulation(fails_on(998), maximum_retry_attempts=7)
    simulation.write("a")
    simulation.run()
    delays = [later - earlier for earlier, later in zip(simulation.invoked_at, simulation.invoked_at[1:], strict=False)]
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert retry_delay(100_000) == 5.0


def test_without_a_destination_the_records_are_discarded() -> None:
    """Retain discarded records: "Lambda discards the records and continues processing batches from the stream." """
    simulation = Simulation(fails_on(998), batch_size=1, maximum_retry_attempts=0)
    simulation.write("a", "b")
    simulation.run()
    assert simulation.invocations == [[998], [999]]
    assert simulation.sent == []


def test_a_destination_that_refuses_does_not_cost_the_records() -> None:
    """Lambda documents no second delivery. This layer makes one, until the destination takes the records; nothing
    overtakes them, and they arrive under one name. A destination that is corrected meanwhile is the one used.
    """
    simulation = Simulation(fails_on(998), batch_size=1, maximum_retry_attempts=0, destination="mistyped")
    simulation.refuse_sending = lambda: simulation.settings.destination == "mistyped"
    simulation.write("a", "b")
    simulation.run_until(lambda: len(simulation.reports) > 5)
    assert "did not take the discarded records" in simulation.reports[-1]
    assert simulation.invocations == [[998]]
    assert simulation.lanes[0].checkpoint == 0
    simulation.settings = replace(simulation.settings, destination="bucket")
    simulation.run()
    assert [destination for destination, _ in simulation.sent] == ["bucket"]
    assert simulation.discarded == [[998]]
    assert simulation.sent[0][1].time == START
    assert simulation.invocations == [[998], [999]]


def test_a_batch_waits_for_its_window_or_until_it_is_full() -> None:
    """Using AWS Lambda with Amazon DynamoDB: "Before invoking the function, Lambda continues to read records from
    the event source until it has gathered a full batch, the batching window expires, or the batch reaches the
    payload limit of 6 MB."
    """
    simulation = Simulation(lambda numbers: None, batch_size=100, maximum_batching_window_in_seconds=30)
    simulation.write("a")
    simulation.run_until(lambda: simulation.now > START + 20)
    simulation.write("b")
    simulation.run()
    assert simulation.invocations == [[998, 999]]
    assert simulation.invoked_at == pytest.approx([START + 30])

    simulation.write(*["c"] * 250)
    simulation.run()
    assert [len(numbers) for numbers in simulation.invocations[1:]] == [100, 100, 50]
    full, also_full, rest = simulation.invoked_at[1:]
    assert full == also_full == pytest.approx(rest - 30)

    simulation.write(*["d"] * 40, filler="x" * 300_000)
    simulation.run()
    assert [len(numbers) for numbers in simulation.invocations[4:]] == [20, 20]
    full, rest = simulation.invoked_at[4:]
    assert full == pytest.approx(rest - 30)


def test_without_a_window_the_function_is_invoked_as_soon_as_there_is_a_record() -> None:
    """Using AWS Lambda with Amazon DynamoDB: "By default, Lambda invokes your function as soon as records are
    available."
    """
    simulation = Simulation(lambda numbers: None)
    simulation.write("a")
    simulation.run()
    assert simulation.invoked_at == [START]


def test_a_failing_item_holds_up_its_own_lane_only() -> None:
    """Using AWS Lambda with Amazon DynamoDB: "When you increase the number of concurrent batches per shard, Lambda
    still ensures in-order processing at the item (partition and sort key) level."
    """
    simulation = Simulation(fails_on(998), parallelization_factor=4)
    items = [f"item-{number}" for number in range(20)]
    simulation.write(*items, *items)
    own = lane_of(simulation.shard[0], 4)
    in_own_lane = [number for number, record in enumerate(simulation.shard, 998) if lane_of(record, 4) == own]
    assert 2 < len(in_own_lane) < 40
    simulation.run_until(lambda: simulation.now > START + 60)
    seen_elsewhere = sorted(number for batch in simulation.invocations if 998 not in batch for number in batch)
    assert seen_elsewhere == [number for number in range(998, 1038) if number not in in_own_lane]
    assert {tuple(batch) for batch in simulation.invocations if 998 in batch} == {tuple(in_own_lane)}


def test_filtered_records_are_passed_over_and_a_new_filter_holds_for_the_next_batch() -> None:
    """Control which events Lambda sends to your function: "If none of your filters are satisfied, Lambda discards the
    record."
    """
    filters = {"odd": lambda number: number % 2, "late": lambda number: number > 1002}
    simulation = Simulation(lambda numbers: None, batch_size=2, filter_criteria="odd")
    simulation.matches = lambda record: filters[simulation.settings.filter_criteria](*sequence_numbers([record]))
    simulation.write(*"abcdefgh")
    simulation.run_until(lambda: len(simulation.invocations) == 1)
    simulation.settings = replace(simulation.settings, filter_criteria="late")
    simulation.run()
    assert simulation.invocations == [[999, 1001], [1003, 1004], [1005]]


def test_an_updated_setting_holds_for_the_next_batch() -> None:
    """Retain discarded records: "Updated settings are applied asynchronously". Here, to the next batch."""
    simulation = Simulation(lambda numbers: None, batch_size=2)
    simulation.write(*"abcdefgh")
    simulation.run_until(lambda: len(simulation.invocations) == 1)
    simulation.settings = replace(simulation.settings, batch_size=4)
    simulation.run()
    assert simulation.invocations == [[998, 999], [1000, 1001, 1002, 1003], [1004, 1005]]


def test_a_stream_that_cannot_be_read_is_reported_and_read_again() -> None:
    """DynamoDB Developer Guide, IAM policy to allow an AWS Lambda function to access DynamoDB stream records: "A Lambda
    function such as this needs permissions to read data from a DynamoDB stream."
    """
    simulation = Simulation(lambda numbers: None)
    simulation.refuse_reading = lambda: simulation.now < START + 10
    simulation.write("a")
    simulation.run()
    assert simulation.reports[0] == "PROBLEM: The stream could not be read: AccessDeniedException"
    assert simulation.reports[-1] == "OK"
    assert simulation.invocations == [[998]]


def test_the_record_of_a_discarded_batch_has_the_documented_shape() -> None:
    """Retain discarded records, "Example Amazon SNS and Amazon SQS invocation record", and: "The S3 object containing
    the invocation record uses the following naming convention:
    aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>".
    """
    simulation = Simulation(fails_on(998), maximum_retry_attempts=1, destination="bucket")
    simulation.write("a", "b")
    simulation.run()
    ((_, discard),) = simulation.sent
    assert invocation_record(discard, "function-arn", "stream-arn", "shardId-1") == {
        "requestContext": {
            "requestId": discard.identifier,
            "functionArn": "function-arn",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2023-11-14T22:13:20.200Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "998",
            "endSequenceNumber": "999",
            "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20Z",
            "approximateArrivalOfLastRecord": "2023-11-14T22:13:20Z",
            "batchSize": 2,
            "streamArn": "stream-arn",
        },
    }
    key = object_key(discard, "mapping-uuid", "shardId-1")
    assert key == f"aws/lambda/mapping-uuid/shardId-1/2023/11/14/2023-11-14T22.13.20-{discard.identifier}"


def test_mapping_settings_are_read_with_lambdas_defaults_and_from_text() -> None:
    """Lambda parameters for Amazon DynamoDB event source mappings lists the defaults. A CloudFormation parameter
    arrives as text.
    """
    assert Settings.of({"MaximumRetryAttempts": None}) == Settings(filter_criteria="{}")
    assert Settings.of(
        {
            "BatchSize": "10",
            "MaximumRetryAttempts": 0,
            "BisectBatchOnFunctionError": "false",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": "arn"}},
        }
    ) == Settings(
        batch_size=10,
        maximum_retry_attempts=0,
        report_batch_item_failures=True,
        destination="arn",
        filter_criteria="{}",
    )


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens_every_record_is_handled_in_order_or_handed_over(seed: int) -> None:
    """Using AWS Lambda with Amazon DynamoDB: "Lambda event source mappings process each event at least once", and
    "in-order processing at the item (partition and sort key) level".

    A record is handled when an invocation returns without failing it. The function fails, is throttled, reports at
    random, has poison records; reading and sending are refused at random; lanes restart from their checkpoints.
    """
    chance = random.Random(seed)
    lanes = chance.choice([1, 1, 3, 10])
    poison = {number for number in range(998, 1198) if chance.random() < 0.02}
    handled: set[int] = set()
    first_seen: list[int] = []

    def handler(numbers: list[int]) -> Any:
        if chance.random() < 0.1:
            raise Refused("TooManyRequestsException")
        first_seen.extend(number for number in numbers if number not in seen)
        seen.update(numbers)
        failed = [number for number in numbers if number in poison or chance.random() < trouble]
        if failed and chance.random() < 0.3:
            raise FunctionError
        chance.shuffle(failed)
        handled.update(number for number in numbers if number < min(failed, default=10**9))
        return failures(*failed) if failed else chance.choice([None, {}, failures()])

    seen: set[int] = set()
    trouble = chance.choice([0.0, 0.02, 0.2])
    simulation = Simulation(
        handler,
        batch_size=chance.choice([1, 2, 7, 100]),
        maximum_batching_window_in_seconds=chance.choice([0, 0, 2]),
        maximum_retry_attempts=chance.choice([0, 1, 5]),
        maximum_record_age_in_seconds=chance.choice([-1, 60]),
        bisect_batch_on_function_error=chance.random() < 0.5,
        report_batch_item_failures=True,
        parallelization_factor=lanes,
        destination="bucket",
    )
    simulation.page_size = chance.choice([1, 10, 1000])
    simulation.refuse_reading = simulation.refuse_sending = lambda: chance.random() < 0.1
    while len(simulation.shard) < 200 or not simulation.settled:
        if len(simulation.shard) < 200 and chance.random() < 0.2:
            simulation.write(f"item-{chance.randrange(12)}")
        if chance.random() < 0.002:
            position = min(lane.checkpoint for lane in simulation.lanes)
            simulation.lanes = [simulation.new_lane(number, lanes, position) for number in range(lanes)]
        simulation.now += min(lane.step() for lane in chance.sample(simulation.lanes, lanes))

    discarded = {number for batch in simulation.discarded for number in batch}
    assert handled | discarded == set(range(998, 1198))
    assert poison <= discarded
    item_of = {number: record["dynamodb"]["Keys"]["id"]["S"] for number, record in enumerate(simulation.shard, 998)}
    for item in set(item_of.values()):
        in_order = [number for number in first_seen if item_of[number] == item]
        assert in_order == sorted(in_order)


FUNCTION = """
import json

def handler(event, context):
    print("RECORDS " + json.dumps([record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]))
    return {"batchItemFailures": [
        {"itemIdentifier": record["dynamodb"]["SequenceNumber"]}
        for record in event["Records"] if record["dynamodb"]["Keys"]["id"]["S"] == "poison"
    ]}
"""


def test_a_function_that_reports_a_record_for_good_leaves_it_whole_in_s3(cloud: Cloud) -> None:
    """Retain discarded records: "For Amazon S3 destinations, Lambda also sends the entire invocation record along with
    the metadata. [...] Your execution role must have permissions for the destination: [...] s3:PutObject and
    s3:ListBucket".

    On MiniStack, with IAM enforced, and with each permission taken away until its lack has shown.
    """
    role_arn = cloud.create_role("reporter", "lambda.amazonaws.com")
    stream_arn = cloud.client("dynamodb").create_table(
        TableName="changes",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    cloud.client("s3").create_bucket(Bucket="discarded")
    permissions = [
        *((f"dynamodb:{action}", stream_arn) for action in ("DescribeStream", "GetShardIterator", "GetRecords")),
        ("s3:ListBucket", "arn:aws:s3:::discarded"),
        ("s3:PutObject", "arn:aws:s3:::discarded/*"),
    ]
    for action, resource in [*permissions, ("dynamodb:ListStreams", stream_arn)]:
        cloud.allow("reporter", action, resource)

    for name in ("reporter", "witness"):
        cloud.create_function(name, role_arn, FUNCTION)

    def write(item: str) -> None:
        cloud.client("dynamodb").put_item(TableName="changes", Item={"id": {"S": item}})

    for item in ("first", "poison", "last"):
        write(item)
    mapping_uuid = cloud.client("lambda").create_event_source_mapping(
        FunctionName="reporter",
        EventSourceArn=stream_arn,
        StartingPosition="TRIM_HORIZON",
        BatchSize=10,
        MaximumRetryAttempts=1,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::discarded"}},
        Enabled=False,
    )["UUID"]
    # Lambda makes no mapping without them.
    for action, _ in permissions:
        cloud.forbid("reporter", action)
    cloud.client("lambda").update_event_source_mapping(UUID=mapping_uuid, Enabled=True)

    def result() -> str:
        return cloud.client("lambda").get_event_source_mapping(UUID=mapping_uuid)["LastProcessingResult"]

    def objects() -> list[str]:
        return [item["Key"] for item in cloud.client("s3").list_objects_v2(Bucket="discarded").get("Contents", [])]

    def batches(name: str = "reporter") -> list[list[str]]:
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        lines = [line for event in events for line in event["message"].splitlines()]
        return [json.loads(line.partition("RECORDS ")[2]) for line in lines if line.startswith("RECORDS ")]

    for action, resource in permissions[:3]:
        cloud.wait_for(lambda action=action: f"not authorized to perform: {action} " in result())
        cloud.allow("reporter", action, resource)
    for (action, resource), call in zip(permissions[3:], ("HeadBucket", "PutObject"), strict=True):
        cloud.wait_for(lambda call=call: "arn:aws:s3:::discarded did not take" in result() and call in result())
        assert objects() == []
        assert "last" not in batches()[-1]
        cloud.allow("reporter", action, resource)
    cloud.wait_for(lambda: bool(objects()))

    (key,) = objects()
    assert key.startswith(f"aws/lambda/{mapping_uuid}/shardId-00000000000000000000-00000000/20")
    record = json.loads(cloud.client("s3").get_object(Bucket="discarded", Key=key)["Body"].read())
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["DDBStreamBatchInfo"]["batchSize"] == 1
    (change,) = json.loads(record["payload"])["Records"]
    assert change["dynamodb"]["SequenceNumber"] == record["DDBStreamBatchInfo"]["startSequenceNumber"]
    assert change["dynamodb"]["NewImage"] == {"id": {"S": "poison"}}
    assert change["dynamodb"]["Keys"] == {"id": {"S": "poison"}}
    assert change["eventSourceARN"] == stream_arn
    assert {"eventID", "eventName", "eventVersion", "eventSource", "awsRegion"} < set(change)
    assert {"ApproximateCreationDateTime", "SizeBytes", "StreamViewType"} < set(change["dynamodb"])

    expected = [["first", "poison", "last"], ["poison", "last"], ["poison"], ["poison"], ["last"]]
    cloud.wait_for(lambda: batches() == expected)

    # What is written while a mapping is disabled waits for it, and nothing else is sent again.
    cloud.client("lambda").update_event_source_mapping(UUID=mapping_uuid, Enabled=False)
    cloud.client("logs").create_log_group(logGroupName="/aws/lambda/witness")
    write("meanwhile")
    witness_uuid = cloud.client("lambda").create_event_source_mapping(
        FunctionName="witness", EventSourceArn=stream_arn, StartingPosition="TRIM_HORIZON"
    )["UUID"]
    cloud.wait_for(lambda: ["first", "poison", "last", "meanwhile"] in batches("witness"))
    assert batches() == expected
    cloud.client("lambda").update_event_source_mapping(UUID=mapping_uuid, Enabled=True)
    cloud.wait_for(lambda: batches() == [*expected, ["meanwhile"]])
    for created in (mapping_uuid, witness_uuid):
        cloud.client("lambda").delete_event_source_mapping(UUID=created)
