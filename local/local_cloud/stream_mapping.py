"""Event source mappings of DynamoDB streams, with the semantics that AWS Lambda documents.

MiniStack's poller ignores reported item failures, bisecting, retry limits and S3 destinations. This module replaces it.

The first half is the semantics: a ``Lane`` knows neither MiniStack nor threads nor
real time. The second half runs lanes against MiniStack.
"""

import json
import logging
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

import boto3
from ministack import app
from ministack.core import iam_actions, responses
from ministack.core.concurrency import spawn_background
from ministack.services import dynamodb, dynamodb_streams, lambda_svc

from local_cloud.role import assume_role, signed_json_request

logger = logging.getLogger(__name__)

Record = dict[str, Any]

PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024
STREAM_RETENTION_SECONDS = 24 * 60 * 60
# The seconds that an idle lane waits before it reads again. A write to the table wakes it earlier.
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """The parameters of a mapping, with Lambda's defaults."""

    batch_size: int = 100
    maximum_batching_window_in_seconds: int = 0
    maximum_retry_attempts: int = -1
    maximum_record_age_in_seconds: int = -1
    bisect_batch_on_function_error: bool = False
    report_batch_item_failures: bool = False
    parallelization_factor: int = 1
    destination: str = ""
    filter_criteria: str = ""

    @classmethod
    def of(cls, mapping: dict[str, Any]) -> "Settings":
        def number(name: str, default: int) -> int:
            return default if mapping.get(name) is None else int(mapping[name])

        on_failure = (mapping.get("DestinationConfig") or {}).get("OnFailure") or {}
        return cls(
            batch_size=number("BatchSize", cls.batch_size),
            maximum_batching_window_in_seconds=number(
                "MaximumBatchingWindowInSeconds", cls.maximum_batching_window_in_seconds
            ),
            maximum_retry_attempts=number("MaximumRetryAttempts", cls.maximum_retry_attempts),
            maximum_record_age_in_seconds=number("MaximumRecordAgeInSeconds", cls.maximum_record_age_in_seconds),
            bisect_batch_on_function_error=is_true(mapping.get("BisectBatchOnFunctionError", False)),
            report_batch_item_failures="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or []),
            parallelization_factor=number("ParallelizationFactor", cls.parallelization_factor),
            destination=on_failure.get("Destination") or "",
            filter_criteria=json.dumps(mapping.get("FilterCriteria") or {}, sort_keys=True),
        )


def is_true(value: Any) -> bool:
    """A CloudFormation parameter arrives as text, where "false" would be truthy."""
    return str(value).lower() == "true"


class Page(NamedTuple):
    """The records of one read. ``start`` is later than requested when records have expired."""

    start: int
    records: list[Record]


class Entry(NamedTuple):
    position: int
    record: Record
    size: int


@dataclass(frozen=True)
class Invocation:
    """The outcome of an invocation that reached the function."""

    response: Any = None
    function_error: str | None = None
    executed_version: str = "$LATEST"


@dataclass(frozen=True)
class Batch:
    entries: list[Entry]
    retries: int = 0
    invocations: int = 0
    last_invocation: Invocation | None = None

    @property
    def records(self) -> list[Record]:
        return [entry.record for entry in self.entries]


@dataclass(frozen=True)
class Discard:
    """A discarded batch. Its identifier and time stay the same in every attempt to send it."""

    condition: str
    batch: Batch
    time: float
    identifier: str


def lane_of(record: Record, lanes: int) -> int:
    """The lane of a record: the same for every change of one item, in this process and the next.

    AWS promises order for an item, "partition and sort key", and no more. Promising order for a
    partition key here would hide a mistake until it is deployed.
    """
    keys = json.dumps(record["dynamodb"]["Keys"], sort_keys=True)
    return zlib.crc32(keys.encode()) % lanes


def first_failure(records: list[Record], response: Any) -> int:
    """The index at which a retry of the batch starts; its length, if all of it succeeded."""
    if response in (None, "", {}):
        return len(records)
    if not isinstance(response, dict):
        return 0
    failures = response.get("batchItemFailures")
    if failures in (None, []):
        return len(records)
    if not isinstance(failures, list):
        return 0
    # As integers, because a function that parses a sequence number drops MiniStack's leading zeros.
    index_of = {int(record["dynamodb"]["SequenceNumber"]): index for index, record in enumerate(records)}
    try:
        return min(index_of[int(str(failure["itemIdentifier"]))] for failure in failures)
    except (KeyError, TypeError, ValueError):
        # AWS says "complete failure" of an empty, null or misnamed identifier and nothing of one
        # that is not in the batch; retrying everything is the reading that loses nothing.
        return 0


def retry_delay(consecutive_failures: int) -> float:
    """The delay before a retry, in seconds: exponential, and short enough for tests."""
    return min(5.0, 0.2 * 2 ** (min(consecutive_failures, 10) - 1))


def invocation_record(discard: Discard, function_arn: str, stream_arn: str, shard_id: str) -> dict[str, Any]:
    """The record that Lambda sends to an on-failure destination."""
    first, last = discard.batch.records[0]["dynamodb"], discard.batch.records[-1]["dynamodb"]
    invocation = discard.batch.last_invocation
    response_context = (
        {
            "responseContext": {
                "statusCode": 200,
                "executedVersion": invocation.executed_version,
                "functionError": "Unhandled" if invocation.function_error else None,
            },
        }
        if invocation
        else {}
    )
    return {
        "requestContext": {
            "requestId": discard.identifier,
            "functionArn": function_arn,
            "condition": discard.condition,
            "approximateInvokeCount": discard.batch.invocations,
        },
        **response_context,
        "version": "1.0",
        "timestamp": _utc(discard.time).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": first["SequenceNumber"],
            "endSequenceNumber": last["SequenceNumber"],
            "approximateArrivalOfFirstRecord": f"{_utc(first['ApproximateCreationDateTime']):%Y-%m-%dT%H:%M:%SZ}",
            "approximateArrivalOfLastRecord": f"{_utc(last['ApproximateCreationDateTime']):%Y-%m-%dT%H:%M:%SZ}",
            "batchSize": len(discard.batch.records),
            "streamArn": stream_arn,
        },
    }


def object_key(discard: Discard, mapping_uuid: str, shard_id: str) -> str:
    """``aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>``"""
    return f"aws/lambda/{mapping_uuid}/{shard_id}/{_utc(discard.time):%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{discard.identifier}"


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)


class Lane:
    """One of the concurrent batches of a shard: reads, invokes, retries and discards, in order.

    ``read``, ``invoke`` and ``send`` raise when the service cannot do it now. That is retried
    without using up anything: "If a Lambda event source mapping is unable to invoke the function
    due to throttling or other issues, it retries until the records expire or exceed the maximum age".
    """

    def __init__(
        self,
        number: int,
        lanes: int,
        position: int,
        *,
        clock: Callable[[], float],
        settings: Callable[[], Settings],
        read: Callable[[int], Page],
        matches: Callable[[Record], bool],
        invoke: Callable[[list[Record]], Invocation],
        send: Callable[[str, Discard], None],
        report: Callable[[str], None],
    ) -> None:
        self._number = number
        self._lanes = lanes
        self._read_position = position
        self._clock = clock
        self._settings = settings
        self._read = read
        self._matches = matches
        self._invoke = invoke
        self._send = send
        self._report = report
        self._filter_criteria = settings().filter_criteria
        self._pending: deque[Entry] = deque()
        self._window_opened: float | None = None
        # The parts of one bisected batch, in order; they come before the pending records.
        self._batches: list[Batch] = []
        self._discard: Discard | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def checkpoint(self) -> int:
        """The position before which this lane has delivered or discarded every record."""
        if self._batches:
            return self._batches[0].entries[0].position
        if self._pending:
            return self._pending[0].position
        return self._read_position

    def step(self) -> float:
        """Do the next thing that is due, and return the seconds until something can be due again."""
        wait = self._not_before - self._clock()
        if wait > 0:
            return wait
        if self._discard:
            return self._deliver(self._discard)
        if self._batches:
            return self._process(self._batches[0])
        return self._gather()

    def _gather(self) -> float:
        settings = self._settings()
        if settings.filter_criteria != self._filter_criteria:
            # The records that were read ahead passed the old filter.
            self._read_position = self.checkpoint
            self._pending.clear()
            self._filter_criteria = settings.filter_criteria
        found = False
        count, full = self._next_batch(settings)
        if not full:
            try:
                page = self._read(self._read_position)
            except Exception as error:
                return self._problem(f"PROBLEM: The stream could not be read: {error}")
            if self._failures:
                self._failures = 0
                self._report("OK")
            found = bool(page.records)
            self._accept(page)
            count, full = self._next_batch(settings)
        now = self._clock()
        if not count:
            self._window_opened = None
            return 0.0 if found else POLL_SECONDS
        if self._window_opened is None:
            self._window_opened = now
        window_left = self._window_opened + settings.maximum_batching_window_in_seconds - now
        if not full and window_left > 0:
            return 0.0 if found else min(window_left, POLL_SECONDS)
        self._window_opened = None
        self._batches = [Batch([self._pending.popleft() for _ in range(count)])]
        return 0.0

    def _accept(self, page: Page) -> None:
        for position, record in enumerate(page.records, page.start):
            if lane_of(record, self._lanes) == self._number and self._matches(record):
                self._pending.append(Entry(position, record, len(json.dumps(record))))
        self._read_position = page.start + len(page.records)

    def _next_batch(self, settings: Settings) -> tuple[int, bool]:
        """How many pending records make the next batch, and whether more of them would not fit."""
        size = 0
        for count, entry in enumerate(self._pending):
            size += entry.size
            if count == settings.batch_size or (count and size > PAYLOAD_LIMIT_BYTES):
                return count, True
        return len(self._pending), len(self._pending) == settings.batch_size

    def _process(self, batch: Batch) -> float:
        settings = self._settings()
        maximum_age = settings.maximum_record_age_in_seconds
        # "-1 means infinite: failed records are retried until the record expires."
        if maximum_age < 0 or maximum_age > STREAM_RETENTION_SECONDS:
            maximum_age = STREAM_RETENTION_SECONDS
        oldest = self._clock() - maximum_age
        expired = 0
        for record in batch.records:
            if record["dynamodb"]["ApproximateCreationDateTime"] >= oldest:
                break
            expired += 1
        if expired:
            return self._give_up(batch, expired, "MaxRecordAgeExceeded")

        try:
            invocation = self._invoke(batch.records)
        except Exception as error:
            return self._problem(f"PROBLEM: The function could not be invoked: {error}")
        batch = replace(batch, invocations=batch.invocations + 1, last_invocation=invocation)
        self._batches[0] = batch

        if invocation.function_error:
            checkpoint = 0
        elif settings.report_batch_item_failures:
            checkpoint = first_failure(batch.records, invocation.response)
        else:
            checkpoint = len(batch.entries)
        if checkpoint == len(batch.entries):
            self._batches.pop(0)
            self._failures = 0
            self._report("OK")
            return 0.0

        if checkpoint:
            # The same with and without bisecting: "the batch is bisected at the returned sequence
            # number and Lambda retries only the remaining records". AWS does not say whether they have
            # all their retries again; accounts of how it behaves say that they do.
            self._batches[0] = replace(batch, entries=batch.entries[checkpoint:], retries=0)
            self._failures = 0
        elif settings.bisect_batch_on_function_error and len(batch.entries) > 1:
            middle = len(batch.entries) // 2
            self._batches[0:1] = [
                replace(batch, entries=batch.entries[:middle]),
                replace(batch, entries=batch.entries[middle:]),
            ]
            self._failures = 0
        elif 0 <= settings.maximum_retry_attempts <= batch.retries:
            return self._give_up(batch, len(batch.entries), "RetryAttemptsExhausted")
        else:
            self._batches[0] = replace(batch, retries=batch.retries + 1)
        if invocation.function_error:
            return self._problem(f"PROBLEM: Function call failed: {invocation.function_error}")
        sequence_number = batch.records[checkpoint]["dynamodb"]["SequenceNumber"]
        return self._problem(f"PROBLEM: Function reported a failure from sequence number {sequence_number}")

    def _give_up(self, batch: Batch, count: int, condition: str) -> float:
        given_up = replace(batch, entries=batch.entries[:count])
        remaining = batch.entries[count:]
        self._batches[0:1] = [given_up, replace(batch, entries=remaining)] if remaining else [given_up]
        self._discard = Discard(condition, given_up, self._clock(), str(uuid.uuid4()))
        self._report(
            f"PROBLEM: {condition}: {count} record(s) from sequence number "
            f"{given_up.records[0]['dynamodb']['SequenceNumber']} are given up"
        )
        return 0.0

    def _deliver(self, discard: Discard) -> float:
        destination = self._settings().destination
        if destination:
            try:
                self._send(destination, discard)
            except Exception as error:
                # AWS documents only that it counts DestinationDeliveryFailures, not that it tries
                # again. Here it retries, so that a missing permission loses no records.
                return self._problem(f"PROBLEM: {destination} did not take the discarded records: {error}")
        self._discard = None
        self._batches.pop(0)
        self._failures = 0
        return 0.0

    def _problem(self, result: str) -> float:
        self._report(result)
        self._failures += 1
        delay = retry_delay(self._failures)
        self._not_before = self._clock() + delay
        return delay


class StreamError(Exception):
    """An error answer of the DynamoDB Streams API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Mapping:
    """An enabled event source mapping, and the threads that run its lanes."""

    def __init__(self, account_id: str, region: str, mapping: dict[str, Any]) -> None:
        self._account_id = account_id
        self._region = region
        self._mapping = mapping
        self._uuid = mapping["UUID"]
        self.stream_arn = mapping["EventSourceArn"]
        self._table_name = self.stream_arn.split("/")[1]
        self._stream_end = -1
        self._failed = False
        lambda_svc._init_stream_position(self._uuid, self.stream_arn, mapping.get("StartingPosition", "LATEST"))
        position = lambda_svc._dynamodb_stream_positions[self._uuid]
        # The number of lanes is fixed at the start; with another number, a record could change its lane.
        lanes = Settings.of(mapping).parallelization_factor
        self._lanes = [
            Lane(
                number,
                lanes,
                position,
                clock=time.time,
                settings=lambda: Settings.of(mapping),
                read=StreamReader(self),
                matches=lambda record: bool(lambda_svc._apply_filter_criteria([record], mapping)),
                invoke=self._invoke,
                send=self._send,
                report=self._report,
            )
            for number in range(lanes)
        ]
        self._checkpoints = [position] * lanes
        self._wakers = [threading.Event() for _ in self._lanes]
        self._threads = [
            spawn_background(self._run, number, thread_name=f"stream-mapping-{self._uuid}-{number}")
            for number in range(lanes)
        ]

    @property
    def finished(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def wake(self) -> None:
        """Wakes the lanes if the stream has grown since the last call."""
        end = dynamodb.stream_end_position(self._table_name, account_id=self._account_id, region=self._region)
        if end != self._stream_end:
            self._stream_end = end
            for waker in self._wakers:
                waker.set()

    def _run(self, number: int) -> None:
        lane, waker = self._lanes[number], self._wakers[number]
        try:
            while self._is_current():
                wait = lane.step()
                self._keep_position(number, lane.checkpoint)
                if wait:
                    waker.wait(min(wait, POLL_SECONDS))
                    waker.clear()
        except BaseException:
            # All lanes stop, and the next poll restarts them at the stored position.
            self._failed = True
            raise

    def _is_current(self) -> bool:
        return (
            not self._failed
            and lambda_svc._esms.get(self._uuid) is self._mapping
            and is_true(self._mapping.get("Enabled", True))
            and Settings.of(self._mapping).parallelization_factor == len(self._lanes)
        )

    def _keep_position(self, number: int, checkpoint: int) -> None:
        self._checkpoints[number] = checkpoint
        with lambda_svc._dynamodb_stream_positions_lock:
            # A deleted mapping has no position any more.
            if self._uuid in lambda_svc._dynamodb_stream_positions:
                lambda_svc._dynamodb_stream_positions[self._uuid] = min(self._checkpoints)

    def _report(self, result: str) -> None:
        if result != self._mapping["LastProcessingResult"] and result != "OK":
            logger.warning("event source mapping %s: %s", self._uuid, result)
        self._mapping["LastProcessingResult"] = result

    def _function(self) -> dict[str, Any]:
        function, _ = lambda_svc._get_func_record_for_qualifier(
            self._mapping["FunctionName"], self._mapping.get("Qualifier")
        )
        if function is None:
            raise LookupError(f"Function not found: {self._mapping['FunctionArn']}")
        return function

    def _invoke(self, records: list[Record]) -> Invocation:
        function = self._function()
        result = lambda_svc._execute_function(function, {"Records": records})
        body = result.get("body")
        if result.get("throttle"):
            raise RuntimeError(f"{body['__type']}: {body['message']}")
        function_error = None
        if result.get("error"):
            function_error = json.dumps(body)
        return Invocation(body, function_error, function["config"].get("Version", "$LATEST"))

    def _send(self, destination: str, discard: Discard) -> None:
        credentials = assume_role(self._function()["config"]["Role"], "lambda.amazonaws.com")
        shard_id = dynamodb_streams._DEFAULT_SHARD_ID
        record = invocation_record(discard, self._mapping["FunctionArn"], self.stream_arn, shard_id)
        _, _, service, region, account_id, name = destination.split(":", 5)
        endpoint_url = f"http://127.0.0.1:{app._resolve_port()}"
        # A new session, because creating clients from boto3's default session is not thread-safe.
        client = boto3.session.Session().client(
            service,
            endpoint_url=endpoint_url,
            region_name=region or self._region,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
        )
        if service == "s3":
            # AWS requires s3:ListBucket as well as s3:PutObject; this call needs it.
            client.head_bucket(Bucket=name)
            client.put_object(
                Bucket=name,
                Key=object_key(discard, self._uuid, shard_id),
                Body=json.dumps({**record, "payload": json.dumps({"Records": discard.batch.records})}),
            )
        elif service == "sqs":
            client.send_message(QueueUrl=f"{endpoint_url}/{account_id}/{name}", MessageBody=json.dumps(record))
        elif service == "sns":
            client.publish(TopicArn=destination, Message=json.dumps(record))
        else:
            raise ValueError("not the ARN of an S3 bucket, an SQS queue or an SNS topic")

    def call_stream(self, action: str, **parameters: Any) -> dict[str, Any]:
        credentials = assume_role(self._function()["config"]["Role"], "lambda.amazonaws.com")
        target = f"DynamoDBStreams_20120810.{action}"
        body = json.dumps(parameters).encode()
        status, content = signed_json_request("dynamodb", target, body, credentials, "1.0", self._region)
        answer = json.loads(content)
        if status != 200:
            raise StreamError(
                answer.get("__type", str(status)).rpartition("#")[2],
                answer.get("message") or answer.get("Message") or "",
            )
        return answer

    def iterator_at(self, position: int) -> tuple[str, int]:
        """A shard iterator at a position of the stream, or at the oldest record if that one has expired."""
        description = self.call_stream("DescribeStream", StreamArn=self.stream_arn)["StreamDescription"]
        oldest = self.call_stream(
            "GetShardIterator",
            StreamArn=self.stream_arn,
            ShardId=description["Shards"][0]["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        # The API finds a record by its sequence number. A mapping that starts at LATEST on an empty
        # stream has none, only the position that MiniStack noted when the mapping was created.
        place = dynamodb_streams._decode_iterator(oldest)
        position = max(position, place["p"])
        iterator = dynamodb_streams._encode_iterator(
            place["t"], place["s"], position, account_id=place["a"], region=place["r"], stream_arn=place["arn"]
        )
        return iterator, position


class StreamReader:
    """Reads the stream of a mapping as its function's role, for one lane."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._iterator: str | None = None
        self._position = 0

    def __call__(self, position: int) -> Page:
        if self._iterator is None or position != self._position:
            self._iterator, self._position = self._mapping.iterator_at(position)
        try:
            answer = self._mapping.call_stream("GetRecords", ShardIterator=self._iterator)
        except StreamError as error:
            # The iterator of a lane that retried for a quarter of an hour has expired.
            if error.code not in ("ExpiredIteratorException", "TrimmedDataAccessException"):
                raise
            self._iterator, self._position = self._mapping.iterator_at(position)
            answer = self._mapping.call_stream("GetRecords", ShardIterator=self._iterator)
        page = Page(
            self._position,
            [{**record, "eventSourceARN": self._mapping.stream_arn} for record in answer["Records"]],
        )
        self._iterator = answer.get("NextShardIterator")
        self._position += len(page.records)
        return page


_running: dict[str, Mapping] = {}


def _poll_dynamodb_streams() -> bool:
    """Starts, wakes and removes mappings; MiniStack's poll thread calls it on every pass."""
    for account_id, region, mapping in lambda_svc._iter_all_esms():
        is_stream = ":dynamodb:" in mapping["EventSourceArn"] and "/stream/" in mapping["EventSourceArn"]
        if not is_stream or mapping["UUID"] in _running:
            continue
        if not is_true(mapping.get("Enabled", True)):
            mapping["State"] = "Disabled"
            continue
        account_token = responses._request_account_id.set(account_id)
        region_token = responses._request_region.set(region)
        try:
            _running[mapping["UUID"]] = Mapping(account_id, region, mapping)
        finally:
            responses._request_account_id.reset(account_token)
            responses._request_region.reset(region_token)
    for mapping_uuid, mapping in list(_running.items()):
        if mapping.finished:
            del _running[mapping_uuid]
        else:
            mapping.wake()
    # Lanes have their own threads: MiniStack's thread need not return immediately for them.
    return False


_update_mapping = lambda_svc._update_esm


def _update_running_mapping(mapping_uuid: str, changes: dict[str, Any]) -> Any:
    """MiniStack reports a mapping as disabled while its lanes are still working."""
    answer = _update_mapping(mapping_uuid, changes)
    if mapping_uuid in _running and not is_true(changes.get("Enabled", True)):
        lambda_svc._esms[mapping_uuid]["State"] = "Disabling"
    return answer


_extract_resource_arn = iam_actions.extract_resource_arn


def _extract_resource_arn_of_stream(
    service: str, method: str, path: str, headers: dict, body: bytes, query_params: dict, region: str, account_id: str
) -> str:
    """MiniStack checks stream calls against "*", which refuses a policy that names the stream."""
    if service == "dynamodbstreams":
        try:
            parameters = json.loads(body)
            iterator = dynamodb_streams._decode_iterator(parameters.get("ShardIterator", "")) or {}
            return parameters.get("StreamArn") or iterator.get("arn") or "*"
        except (AttributeError, ValueError):
            return "*"
    return _extract_resource_arn(service, method, path, headers, body, query_params, region, account_id)


def install() -> None:
    """Replaces MiniStack's poller of DynamoDB streams."""
    lambda_svc._poll_dynamodb_streams = _poll_dynamodb_streams
    lambda_svc._update_esm = _update_running_mapping
    iam_actions.extract_resource_arn = _extract_resource_arn_of_stream
