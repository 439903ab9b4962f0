"""The README's example is the compiled one, and uses all utilities."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics, Tracer
from examples import ROOT, example
from otlp import Daemon
from runtime_api import Function

Client = Callable[[str], Any]


@pytest.fixture
def shop(client: Client) -> Iterator[None]:
    """The table and the parameters that the example uses."""
    dynamodb, parameters = client("dynamodb"), client("ssm")
    dynamodb.create_table(
        TableName="idempotency",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    parameters.put_parameter(Name="/shop/price", Value="5", Type="String")
    yield
    parameters.delete_parameter(Name="/shop/price")
    dynamodb.delete_table(TableName="idempotency")


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.stop()


def test_the_readme_shows_the_example() -> None:
    crate = ROOT / "crates" / "powertools"
    assert f"```rust,no_run\n{(crate / 'examples' / 'all.rs').read_text()}```\n" in (crate / "README.md").read_text()


@pytest.mark.parametrize("utility", [Logger, Metrics, Tracer])
def test_the_readme_names_all_that_python_has(utility: type) -> None:
    readme = (ROOT / "crates" / "powertools" / "README.md").read_text()
    methods = {name for name in dir(utility) if not name.startswith("_") and callable(getattr(utility, name))}
    unnamed = {name for name in methods - set(dir(logging.Logger)) if not re.search(rf"`[^`]*\b{name}\b", readme)}
    # A deprecated name of append_keys, and the rest of the methods for threads.
    assert unnamed <= {"structure_logs", "thread_safe_clear_keys", "thread_safe_get_current_keys"}


def test_the_example_uses_all_utilities(cloud: str, shop: None, daemon: Daemon) -> None:
    orders = {"Records": [{"messageId": "good", "body": '{"id": "o-1"}'}, {"messageId": "bad", "body": "?"}]}
    environment = {
        "AWS_ENDPOINT_URL": cloud,
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        "POWERTOOLS_METRICS_NAMESPACE": "Shop",
        "POWERTOOLS_SERVICE_NAME": "orders",
    }
    with Function(example("all"), environment) as function:
        for _ in range(2):
            assert function.invoke(orders) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
        spans = {"example", "charge", "SSM.GetParameter", "DynamoDB.PutItem", "DynamoDB.UpdateItem"}
        daemon.wait(lambda received: spans <= {span.name for span in received})
    lines = [json.loads(line) for line in function.lines]

    # One result, although the request came twice.
    [charged] = [line for line in lines if line.get("message") == "charged"]
    assert (charged["service"], charged["order"], charged["price"]) == ("orders", {"id": "o-1"}, 5)
    [blob] = [line for line in lines if "_aws" in line]
    assert (blob["service"], blob["Revenue"]) == ("orders", [5.0])
    assert [line["item_identifier"] for line in lines if line.get("message") == "record failed"] == ["bad"] * 2
