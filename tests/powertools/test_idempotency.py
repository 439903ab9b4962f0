"""Idempotency: Python's and Rust's Powertools share a table and its records; a body runs once for concurrent calls."""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.shared.json_encoder import Encoder
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from examples import example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_api import Function

PREFIX = "shop"
# The time for which a body that never ends keeps its record in progress.
TIMEOUT_SECONDS = 2
PATH = "powertools_json(body).[user, order]"

# Handles the events of the example `compat_idempotency`.
PYTHON = f"""
import json, os, time
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

def handler(event, context):
    outcomes, runs = [], 0
    for call in event["calls"]:
        store = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
        config = IdempotencyConfig(
            event_key_jmespath=call["path"],
            payload_validation_jmespath="amount" if "validation" in call else "",
            expires_after_seconds=60,
            lambda_context=context,
        )

        @idempotent_function(
            data_keyword_argument="payload", persistence_store=store, config=config, key_prefix="{PREFIX}"
        )
        def body(payload):
            nonlocal runs
            runs += 1
            if "response" in call:
                return call["response"]
            if "error" in call:
                raise RuntimeError(call["error"])
            time.sleep(60)

        try:
            outcomes.append({{"response": json.dumps(body(payload=call["payload"]))}})
        except Exception as error:
            outcomes.append({{"error": type(error).__name__}})
    return {{"outcomes": outcomes, "runs": runs}}
"""


class Shared:
    """A function in each language, and their shared table."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        clients = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        self.dynamodb = boto3.client("dynamodb", **clients)
        self._lambda = boto3.client("lambda", **clients)
        self.create_table("shared")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam = boto3.client("iam", **clients)
        self._role = iam.create_role(
            RoleName="idempotency",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]["Arn"]
        # The permissions that the documentation names; Python needs one more.
        for name, actions in {"rust": ["PutItem", "UpdateItem", "DeleteItem"], "python": ["GetItem"]}.items():
            allow = {"Effect": "Allow", "Action": [f"dynamodb:{action}" for action in actions], "Resource": "*"}
            iam.put_role_policy(
                RoleName="idempotency",
                PolicyName=name,
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
            )
        self._create_function("rust", "provided.al2023", "bootstrap", example("compat_idempotency").read_bytes())
        self._create_function("python", "python3.12", "function.py", PYTHON.encode())

    def create_table(self, name: str) -> None:
        self.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )

    def _create_function(self, name: str, runtime: str, file: str, content: bytes) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o755 << 16
            files.writestr(entry, content)
        self._lambda.create_function(
            FunctionName=name,
            Runtime=runtime,
            Handler="function.handler",
            Role=self._role,
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": self.environment("shared")},
            Timeout=TIMEOUT_SECONDS,
        )

    def environment(self, table: str) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": self.endpoint, "IDEMPOTENCY_TABLE": table, "KEY_PREFIX": PREFIX}

    def call(self, function: str, order: str, amount: int = 1, **body: Any) -> tuple[dict[str, str], int]:
        """The result of a call, and how often the body ran; without a body, the call never ends."""
        payload = {"body": json.dumps({"user": "ada", "order": order}), "amount": amount}
        event = {"calls": [{"payload": payload, "path": PATH, **body}]}
        answer = json.load(self._lambda.invoke(FunctionName=function, Payload=json.dumps(event))["Payload"])
        return (answer["outcomes"][0], answer["runs"]) if "runs" in answer else (answer, 1)

    def record(self, order: str) -> dict[str, Any] | None:
        item = self.dynamodb.get_item(TableName="shared", Key={"id": {"S": self.id(order)}}).get("Item")
        return item and {name: next(iter(value.values())) for name, value in item.items()}

    def expire(self, order: str) -> None:
        self.dynamodb.update_item(
            TableName="shared",
            Key={"id": {"S": self.id(order)}},
            UpdateExpression="SET expiration = :past",
            ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 10)}},
        )

    @staticmethod
    def id(order: str) -> str:
        return f"{PREFIX}#{hashlib.md5(json.dumps(['ada', order]).encode()).hexdigest()}"


@pytest.fixture(scope="session")
def shared(cloud: str) -> Shared:
    return Shared(cloud)


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return result


IN_PROGRESS = {"error": "IdempotencyAlreadyInProgressError"}
DONE = {"response": '"done"'}
RESPONSE = {"name": "Zoë 😀", "amount": 1e16, "of": [1, 2.0, None]}


@pytest.mark.parametrize(("first", "second"), [("python", "rust"), ("rust", "python"), ("rust", "rust")])
class TestSharedRecords:
    def test_what_one_has_done_the_other_gives_again(self, shared: Shared, first: str, second: str) -> None:
        order = f"{first}-{second}-done"
        answer, runs = shared.call(first, order, response=RESPONSE)
        assert (json.loads(answer["response"]), runs) == (RESPONSE, 1)
        record = shared.record(order)
        assert record.keys() == {"id", "status", "expiration", "in_progress_expiration", "data"}
        assert record["status"] == "COMPLETED"
        assert abs(int(record["expiration"]) - time.time() - 60) < 10
        assert abs(int(record["in_progress_expiration"]) / 1000 - time.time() - TIMEOUT_SECONDS) < 10
        assert json.loads(record["data"]) == RESPONSE

        answer, runs = shared.call(second, order, response="other")
        assert (json.loads(answer["response"]), runs) == (RESPONSE, 0)
        if second == "rust":
            assert answer["response"] == record["data"]

        shared.expire(order)
        assert shared.call(second, order, response="done") == (DONE, 1)

    def test_an_error_deletes_the_record(self, shared: Shared, first: str, second: str) -> None:
        order = f"{first}-{second}-error"
        answer, runs = shared.call(first, order, error="refused")
        assert ("error" in answer, runs) == (True, 1)
        assert shared.record(order) is None
        assert shared.call(second, order, response="done") == (DONE, 1)

    def test_another_payload_is_an_error(self, shared: Shared, first: str, second: str) -> None:
        order = f"{first}-{second}-payload"
        assert shared.call(first, order, amount=1, validation=1, response="done") == (DONE, 1)
        assert shared.record(order)["validation"] == hashlib.md5(b"1").hexdigest()
        answer = shared.call(second, order, amount=2, validation=2, response="other")
        assert answer == ({"error": "IdempotencyValidationError"}, 0)
        assert shared.call(second, order, amount=1, validation=1, response="other") == (DONE, 0)


@pytest.mark.parametrize(("first", "second"), [("python", "rust"), ("rust", "python")])
def test_in_progress_is_an_error_until_the_invocation_is_over(shared: Shared, first: str, second: str) -> None:
    order = f"{first}-{second}-hang"
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(shared.call, first, order)
        record = wait_for(lambda: shared.record(order))
        assert record["status"] == "INPROGRESS"
        assert shared.call(second, order, response="done") == (IN_PROGRESS, 0)
        done = wait_for(lambda: next((a for a in [shared.call(second, order, response="done")] if a[1]), None))
    assert time.time() > int(record["in_progress_expiration"]) / 1000
    assert done == (DONE, 1)
    assert "errorMessage" in hanging.result()[0]


@pytest.mark.parametrize("function", ["python", "rust"])
def test_records_that_other_programs_wrote_are_read_alike(shared: Shared, function: str) -> None:
    def outcome(**attributes: Any) -> tuple[dict[str, str], int]:
        order = f"{function}-{json.dumps(attributes)}"
        record = {"status": {"S": "COMPLETED"}, "expiration": {"N": "9999999999"}, "data": {"S": '"done"'}}
        item = {"id": {"S": shared.id(order)}, **record, **attributes}
        shared.dynamodb.put_item(TableName="shared", Item=item)
        return shared.call(function, order, response="other")

    assert outcome(expiration={"N": "9999999999.5"}) == (DONE, 0)
    assert outcome(data={"NULL": True}) == outcome(data={"S": ""}) == ({"response": "null"}, 0)
    invalid = {"error": "IdempotencyPersistenceLayerError"}
    assert outcome(status={"S": "DONE"}) == outcome(expiration={"S": "1"}) == (invalid, 0)
    answer, runs = outcome(data={"M": {"a": {"S": "done"}}})
    assert (answer, runs) == ({"error": "TypeError"} if function == "python" else invalid, 0)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# Including surrogates without their other half.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def test_the_hash_of_any_payload_is_that_of_python(shared: Shared) -> None:
    shared.create_table("hashes")
    expected: dict[str, Any] = {}
    with Function(example("compat_idempotency"), shared.environment("hashes")) as function:

        @settings(max_examples=30, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(PAYLOADS, min_size=30, max_size=60))
        def run(payloads: list[Any]) -> None:
            answer = function.invoke({"calls": [{"payload": payload, "response": 1} for payload in payloads]})
            assert len(answer["outcomes"]) == len(payloads)
            for payload in payloads:
                if not BasePersistenceLayer.is_missing_idempotency_key(payload):
                    text = json.dumps(payload, cls=Encoder, sort_keys=True)
                    expected[f"{PREFIX}#{hashlib.md5(text.encode()).hexdigest()}"] = text

        run()
    pages = shared.dynamodb.get_paginator("scan").paginate(TableName="hashes")
    actual = {item["id"]["S"] for page in pages for item in page["Items"]}
    assert {text for key, text in expected.items() if key not in actual} == set()
    assert actual == expected.keys()
    assert len(expected) > 200, len(expected)


@pytest.fixture(scope="module")
def four(shared: Shared) -> Iterator[list[Function]]:
    """Execution environments of one function."""
    functions = [Function(example("compat_idempotency"), shared.environment("shared")) for _ in range(4)]
    yield functions
    for function in functions:
        function.stop()


def ask(functions: list[Function], payload: str) -> tuple[int, list[Any]]:
    """Calls 200 times concurrently; returns how often the body ran, and the results."""
    event = {"calls": [{"payload": payload, "response": "done"}] * (200 // len(functions))}
    with ThreadPoolExecutor(len(functions)) as pool:
        answers = list(pool.map(lambda function: function.invoke(event), functions))
    return sum(answer["runs"] for answer in answers), [outcome for answer in answers for outcome in answer["outcomes"]]


def test_200_simultaneous_requests_run_the_body_once(four: list[Function]) -> None:
    runs, outcomes = ask(four, "simultaneous")
    assert (runs, len(outcomes)) == (1, 200)
    assert DONE in outcomes
    assert all(outcome in (DONE, IN_PROGRESS) for outcome in outcomes)
    assert ask(four, "simultaneous") == (0, [DONE] * 200)


def test_a_function_killed_in_the_middle_is_followed_by_one_run(shared: Shared, four: list[Function]) -> None:
    key = {"id": {"S": f"{PREFIX}#{hashlib.md5(json.dumps('killed').encode()).hexdigest()}"}}

    def record() -> Any:
        return shared.dynamodb.get_item(TableName="shared", Key=key).get("Item")

    with Function(example("compat_idempotency"), shared.environment("shared")) as victim:
        # Longer than a function of these tests may take, however busy the machine is.
        ThreadPoolExecutor(1).submit(victim.invoke, {"calls": [{"payload": "killed"}]}, timeout=20)
        over = int(wait_for(record)["in_progress_expiration"]["N"]) / 1000
    assert time.time() < over
    assert ask(four, "killed") == (0, [IN_PROGRESS] * 200)

    shared.dynamodb.update_item(
        TableName="shared",
        Key=key,
        UpdateExpression="SET in_progress_expiration = :past",
        ExpressionAttributeValues={":past": {"N": str(int(time.time() * 1000) - 1)}},
    )
    runs, outcomes = ask(four, "killed")
    assert (runs, DONE in outcomes) == (1, True)
    assert ask(four, "killed") == (0, [DONE] * 200)


def test_a_lease_outlasts_the_invocation_and_an_unknown_outcome(shared: Shared) -> None:
    environment = shared.environment("shared") | {"IN_PROGRESS_FOR": "600"}
    with Function(example("compat_idempotency"), environment) as function:

        def ask(**body: str) -> Any:
            return function.invoke({"calls": [{"payload": "lease", **body}]})["outcomes"][0]

        assert "refused" not in ask(error="refused")
        assert "error" in ask(error="unknown")
        assert ask(response="done") == IN_PROGRESS
    key = {"id": {"S": f"{PREFIX}#{hashlib.md5(json.dumps('lease').encode()).hexdigest()}"}}
    record = shared.dynamodb.get_item(TableName="shared", Key=key)["Item"]
    assert int(record["in_progress_expiration"]["N"]) / 1000 > time.time() + 500
    # Readers that look only at the expiry of the whole record must find the lease there, too.
    assert int(record["expiration"]["N"]) > time.time() + 500


def test_the_example_charges_once(shared: Shared) -> None:
    with Function(example("idempotency"), shared.environment("shared")) as function:
        event = {"body": json.dumps({"customer": "ada", "order": "o-1", "amount": 7})}
        assert function.invoke(event) == function.invoke(event) == {"statusCode": 201, "body": "charged"}
        with pytest.raises(Exception, match="IdempotencyValidationError"):
            function.invoke({"body": json.dumps({"customer": "ada", "order": "o-1", "amount": 8})})
        with pytest.raises(Exception, match="IdempotencyKeyError"):
            function.invoke({"body": "{}"})


def test_switched_off_nothing_is_recorded_or_checked(shared: Shared) -> None:
    shared.create_table("off")
    environment = shared.environment("off") | {"POWERTOOLS_IDEMPOTENCY_DISABLED": "true"}
    with Function(example("idempotency"), environment) as function:
        for amount in (7, 8):
            event = {"body": json.dumps({"customer": "ada", "order": "o-1", "amount": amount})}
            assert function.invoke(event) == {"statusCode": 201, "body": "charged"}
    assert shared.dynamodb.scan(TableName="off")["Count"] == 0
