"""Mails sent by SES v2, on MiniStack with IAM enforced."""

import json
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud


@pytest.fixture(scope="module", autouse=True)
def _identities(cloud: Cloud) -> None:
    for identity in ("school.example", "office@school.example"):
        cloud.client("sesv2").create_email_identity(EmailIdentity=identity)


def sender(cloud: Cloud, name: str, *resources: str) -> Any:
    """A client of a user who may send with these resources."""
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    arns = [f"arn:aws:ses:{REGION}:000000000000:{resource}" for resource in resources]
    statement = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": arns}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="send", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        "sesv2",
        endpoint_url=cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


def send(client: Any, source: str = "School <news@school.example>", **parameters: Any) -> str:
    subject, text = parameters.pop("subject", "Welcome"), parameters.pop("text", "Hello")
    return client.send_email(
        FromEmailAddress=source,
        Destination={"ToAddresses": ["ada@student.example"]},
        Content={"Simple": {"Subject": {"Data": subject}, "Body": {"Text": {"Data": text}}}},
        **parameters,
    )["MessageId"]


def test_sending_needs_permission_for_the_identity_of_the_sender(cloud: Cloud) -> None:
    """Identity and access management in Amazon SES: "To restrict the identities that a user is allowed to send from,
    set Resource to the ARNs of the identities that you are permitting the user to use."
    """
    client = sender(cloud, "of-the-domain", "identity/school.example")
    send(client)
    # The address is an identity of its own.
    with pytest.raises(ClientError, match=r"AccessDenied.*identity/office@school\.example"):
        send(client, "office@school.example")
    send(sender(cloud, "of-the-address", "identity/office@school.example"), "office@school.example")


def test_sending_needs_permission_for_the_configuration_set_that_is_named(cloud: Cloud) -> None:
    """Service Authorization Reference, Amazon Simple Email Service v2: the resource types of SendEmail are identity and
    configuration-set.
    """
    cloud.client("sesv2").create_configuration_set(ConfigurationSetName="restricted")
    client = sender(cloud, "without-set", "identity/school.example")
    with pytest.raises(ClientError, match=r"AccessDenied.*configuration-set/restricted"):
        send(client, ConfigurationSetName="restricted")
    client = sender(cloud, "with-set", "identity/school.example", "configuration-set/*")
    send(client, ConfigurationSetName="restricted")
    with pytest.raises(ClientError, match="NotFoundException"):
        send(client, ConfigurationSetName="no-such-set")


def test_a_mail_that_was_sent_is_an_event(cloud: Cloud) -> None:
    """Monitoring SES events using Amazon EventBridge: "Certain SES features will generate and send events that you
    define when creating an event destination to the EventBridge default event bus." The detail is that of a Send
    record, whose tags are those of the mail and ses:configuration-set.
    """
    queue_url, queue_arn = cloud.create_queue("mail-events")
    events = cloud.client("events")
    pattern = {"source": ["aws.ses"], "detail-type": ["Email Sent"]}
    rule_arn = events.put_rule(Name="mail-events", EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule="mail-events", Targets=[{"Id": "target", "Arn": queue_arn}])
    cloud.let_rule_send(rule_arn, queue_url, queue_arn)
    ses = cloud.client("sesv2")
    for name, kind in (("published", "SEND"), ("unpublished", "BOUNCE")):
        ses.create_configuration_set(ConfigurationSetName=name)
        ses.create_configuration_set_event_destination(
            ConfigurationSetName=name,
            EventDestinationName="events",
            EventDestination={
                "Enabled": True,
                "MatchingEventTypes": [kind],
                "EventBridgeDestination": {"EventBusArn": f"arn:aws:events:{REGION}:000000000000:event-bus/default"},
            },
        )
    send(ses)
    send(ses, ConfigurationSetName="unpublished")
    tags = [{"Name": "student_id", "Value": "7d1f"}]
    message_id = send(ses, ConfigurationSetName="published", EmailTags=tags)
    cloud.wait_for(lambda: bool(cloud.messages(queue_url)))
    [event] = cloud.messages(queue_url)
    mail = event["detail"]["mail"]
    assert event["detail"]["eventType"] == "Send"
    assert (mail["messageId"], mail["destination"]) == (message_id, ["ada@student.example"])
    assert mail["sourceArn"].endswith("identity/school.example")
    assert mail["tags"]["ses:configuration-set"] == ["published"]
    assert mail["tags"]["student_id"] == ["7d1f"]


def test_the_mailbox_shows_the_mails_newest_first(cloud: Cloud) -> None:
    ses = cloud.client("sesv2")
    send(ses, subject="An older mail")
    send(ses, subject="<b>A newer mail</b>", text="A line & another\n<script>")
    page = requests.get(f"{cloud.endpoint_url}/_registrar/mailbox", timeout=10)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Local mailbox</title>" in page.text
    assert page.text.index("&lt;b&gt;A newer mail&lt;/b&gt;") < page.text.index("An older mail")
    assert "A line &amp; another\n&lt;script&gt;" in page.text
    assert "ada@student.example" in page.text
    assert "<script" not in page.text
