"""The promises of the reminders' template."""

import json

from rooms import Room

ROOM = Room("reminders")


def test_without_a_sender_messages_wait_in_their_queue() -> None:
    """The local cloud reports each mapping as enabled."""
    [mapping] = ROOM.functions["SendReminder"]["Properties"]["Events"].values()
    assert mapping["Properties"]["Enabled"] == {"Fn::If": ["HasSender", True, False]}
    has_sender = {"Fn::Not": [{"Fn::Equals": [{"Ref": "NotificationSender"}, ""]}]}
    assert ROOM.template["Conditions"]["HasSender"] == has_sender
    two_weeks = 14 * 24 * 60 * 60
    assert ROOM.resources["RemindersQueue"]["Properties"]["MessageRetentionPeriod"] == two_weeks


def test_the_stream_is_filtered_by_what_lambda_can_filter_by() -> None:
    """Using event filtering with a DynamoDB event source: mappings "only support filtering on the dynamodb key", and
    Filter rule syntax: "Exists … only works on leaf nodes".
    """
    [mapping] = ROOM.functions["QueueReminders"]["Properties"]["Events"].values()
    filters = mapping["Properties"]["FilterCriteria"]["Filters"]
    for one, image in zip(filters, ("NewImage", "OldImage"), strict=True):
        assert json.loads(one["Pattern"]) == {
            "dynamodb": {
                "Keys": {"advisor_id": {"S": [{"anything-but": ["canary"]}]}},
                image: {"student_id": {"S": [{"exists": True}]}},
            }
        }
