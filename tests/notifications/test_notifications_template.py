"""The promises of the notifications' template."""

from rooms import Room

ROOM = Room("notifications")


def test_without_a_sender_messages_wait_in_their_queue() -> None:
    """The local cloud reports each mapping as enabled."""
    [mapping] = ROOM.functions["SendNotification"]["Properties"]["Events"].values()
    assert mapping["Properties"]["Enabled"] == {"Fn::If": ["HasSender", True, False]}
    has_sender = {"Fn::Not": [{"Fn::Equals": [{"Ref": "NotificationSender"}, ""]}]}
    assert ROOM.template["Conditions"]["HasSender"] == has_sender
    two_weeks = 14 * 24 * 60 * 60
    assert ROOM.resources["NotificationsQueue"]["Properties"]["MessageRetentionPeriod"] == two_weeks


def test_students_are_told_of_each_event_that_is_about_them() -> None:
    pattern = ROOM.resources["AccountsRule"]["Properties"]["EventPattern"]
    assert pattern["detail-type"] == ["AccountCreated", "AccountRefused"]
