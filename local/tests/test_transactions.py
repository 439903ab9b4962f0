"""DynamoDB's transactions are refused as on AWS."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from running_cloud import Cloud

TABLE = "ledger"


@pytest.fixture(scope="module")
def dynamodb(cloud: Cloud) -> Iterator[Any]:
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    yield client
    client.delete_table(TableName=TABLE)


def count(*names: str) -> dict[str, list[dict[str, Any]]]:
    """A transaction that adds one to each of these items."""
    add = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    return {"TransactItems": [{"Update": {"TableName": TABLE, "Key": {"id": {"S": name}}, **add}} for name in names]}


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """The result of each call, or its error."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def test_transactions_on_one_item_at_the_same_time_conflict_and_none_is_half_done(dynamodb: Any) -> None:
    """ "An item in a TransactWriteItems request is part of another ongoing TransactWriteItems request" (Amazon DynamoDB
    Transactions: How it works)."""
    results = at_once([lambda number=number: dynamodb.transact_write_items(**count("shared", f"own-{number}"))
                       for number in range(40)])  # fmt: skip
    refused = [result for result in results if isinstance(result, dynamodb.exceptions.TransactionCanceledException)]
    assert 0 < len(refused) < 40
    for error in refused:
        # "ordered according to the ordering of the TransactWriteItems request parameter" (CancellationReason).
        assert [reason["Code"] for reason in error.response["CancellationReasons"]] == ["TransactionConflict", "None"]
    done = [item for item in dynamodb.scan(TableName=TABLE)["Items"] if item["id"]["S"].startswith("own-")]
    shared = dynamodb.get_item(TableName=TABLE, Key={"id": {"S": "shared"}})["Item"]["n"]["N"]
    assert len(done) == int(shared) == 40 - len(refused)


def test_a_single_write_conflicts_with_an_ongoing_transaction(cloud: Cloud, dynamodb: Any) -> None:
    """ "When a PutItem, UpdateItem, or DeleteItem is rejected, the request fails with a TransactionConflictException"
    (Amazon DynamoDB Transactions: How it works)."""
    put = {"TableName": TABLE, "Item": {"id": {"S": "single"}}}
    calls = [lambda: dynamodb.transact_write_items(**count("single")), lambda: dynamodb.put_item(**put)] * 20
    conflict = dynamodb.exceptions.TransactionConflictException
    cloud.wait_for(lambda: any(isinstance(result, conflict) for result in at_once(calls)))
    dynamodb.put_item(**put)


def test_each_failed_condition_of_a_transaction_is_reported_in_order_with_its_item(dynamodb: Any) -> None:
    """ "Use ReturnValuesOnConditionCheckFailure to get the item attributes if the [...] condition fails" (Put)."""
    dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "there"}, "n": {"N": "7"}})
    is_new = {"ConditionExpression": "attribute_not_exists(id)"}
    is_known = {"ConditionExpression": "attribute_exists(id)"}
    returning = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    put, key = (
        {"TableName": TABLE, "Item": {"id": {"S": "there"}}},
        {"TableName": TABLE, "Key": {"id": {"S": "nowhere"}}},
    )
    free = {"TableName": TABLE, "Item": {"id": {"S": "free"}}}
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as refusal:
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": put | is_new | returning},
                {"Put": free | is_new | returning},
                {"Delete": key | is_known | returning},
            ]
        )
    reasons = refusal.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None", "ConditionalCheckFailed"]
    assert [reason.get("Item") for reason in reasons] == [{"id": {"S": "there"}, "n": {"N": "7"}}, None, None]


def test_a_transaction_reads_no_empty_key(dynamodb: Any) -> None:
    """An attribute of a key can be an empty string nowhere ("Empty values", Naming rules and data types)."""
    get = {"Get": {"TableName": TABLE, "Key": {"id": {"S": ""}}}}
    with pytest.raises(dynamodb.exceptions.ClientError, match="ValidationException"):
        dynamodb.transact_get_items(TransactItems=[get])
