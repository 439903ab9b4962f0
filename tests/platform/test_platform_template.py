"""The promises of the platform's template."""

from rooms import Room

RESOURCES = Room("platform").resources


def test_a_student_can_not_become_another_one() -> None:
    """Cognito enforces this; the local cloud does not."""
    [attribute] = RESOURCES["UserPool"]["Properties"]["Schema"]
    assert (attribute["Name"], attribute["Mutable"]) == ("student_id", False)
    client = RESOURCES["UserPoolClient"]["Properties"]
    assert "custom:student_id" in client["ReadAttributes"]
    assert not {"custom:student_id", "email"} & set(client["WriteAttributes"])


def test_the_queue_of_failed_deliveries_takes_events_of_the_rules_of_this_account_only() -> None:
    [from_rule, tls_only] = RESOURCES["FailedDeliveriesQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    rules = {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*"}
    assert from_rule["Condition"] == {"ArnLike": {"aws:SourceArn": rules}}
    assert tls_only["Effect"] == "Deny"
