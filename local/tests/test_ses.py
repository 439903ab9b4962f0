"""Mails sent by SES v2, on MiniStack with IAM enforced."""

import base64
import json
import re
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud


def create_identity(cloud: Cloud, identity: str) -> None:
    cloud.client("sesv2").create_email_identity(EmailIdentity=identity)


@pytest.fixture(scope="module", autouse=True)
def _identities(cloud: Cloud) -> None:
    for identity in ("school.example", "office@school.example"):
        create_identity(cloud, identity)
        cloud.confirm_identity(identity)


def sender(cloud: Cloud, name: str, *resources: str, condition: dict[str, Any] | None = None) -> Any:
    """A client of a user who may send with these resources."""
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    arns = [f"arn:aws:ses:{REGION}:000000000000:{resource}" for resource in resources]
    statement = {"Effect": "Allow", "Action": "ses:SendEmail", "Resource": arns, "Condition": condition or {}}
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
        Destination={"ToAddresses": [parameters.pop("to", "ada@student.example")]},
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


def test_a_recipient_that_is_an_identity_is_authorized_too(cloud: Cloud) -> None:
    """Reported of accounts in the sandbox, which send to their own identities only, in cloudposse/terraform-aws-ses#40:
    "is not authorized to perform `ses:SendRawEmail' on resource `arn:aws:ses:eu-west-1:…:identity/kevin@particule.io'",
    the address of the recipient, and in aws/aws-sdk-js#3641.
    """
    create_identity(cloud, "grace@student.example")
    client = sender(cloud, "of-the-sender", "identity/school.example")
    send(client)
    with pytest.raises(ClientError, match=r"AccessDenied.*identity/grace@student\.example"):
        send(client, to="grace@student.example")
    # Amazon SES condition keys: "ses:FromAddress: Filters actions based on the From address of a message".
    from_school = {"StringEquals": {"ses:FromAddress": "news@school.example"}}
    client = sender(cloud, "of-all-identities", "identity/*", condition=from_school)
    send(client, to="grace@student.example")
    with pytest.raises(ClientError, match="AccessDenied"):
        send(client, "office@school.example", to="grace@student.example")


def test_nothing_is_sent_before_the_owner_of_the_sender_has_confirmed_it(cloud: Cloud) -> None:
    """CreateEmailIdentity: "When you verify an email address, Amazon SES sends an email to the address. Your email
    address is verified as soon as you follow the link in the verification email."
    """
    ses = cloud.client("sesv2")
    created = ses.create_email_identity(EmailIdentity="bursar@college.example")
    assert created["VerifiedForSendingStatus"] is False
    with pytest.raises(ClientError, match=r"MessageRejected.*is not verified.*US-EAST-1: bursar@college\.example"):
        send(ses, "bursar@college.example")
    mails = requests.get(f"{cloud.endpoint_url}/_ministack/ses/messages", timeout=10).json()["messages"]["000000000000"]
    [mail] = [mail for mail in mails if mail["To"] == ["bursar@college.example"]]
    [link] = re.findall(r"open (\S+) on", mail["BodyText"])
    requests.get(cloud.endpoint_url + link, timeout=10).raise_for_status()
    send(ses, "bursar@college.example")


def test_an_identity_is_made_once(cloud: Cloud) -> None:
    """The words are those of widdix/mastodon-on-aws#27 for a stack, and of anomalyco/sst#4556 for the call."""
    with pytest.raises(ClientError, match=r"AlreadyExistsException.*Email identity school\.example already exist\."):
        create_identity(cloud, "school.example")
    sender = {"Type": "AWS::SES::EmailIdentity", "Properties": {"EmailIdentity": "dean@college.example"}}
    template = json.dumps({"Resources": {"Sender": sender}})
    assert cloud.deploy("first", TemplateBody=template) == []
    # A stack's identity is unconfirmed as well.
    with pytest.raises(ClientError, match="MessageRejected"):
        send(cloud.client("sesv2"), "dean@college.example")
    [reason] = cloud.deploy("second", TemplateBody=template)
    assert "'AWS::SES::EmailIdentity' with identifier 'dean@college.example' already exists." in reason
    cloud.confirm_identity("dean@college.example")
    send(cloud.client("sesv2"), "dean@college.example")


def test_a_mail_has_its_attachments(cloud: Cloud) -> None:
    """API Reference, Attachment: FileName and RawContent are required, ContentDisposition is ATTACHMENT or INLINE."""

    def send_file(**more: str) -> None:
        attachment = {"FileName": "a.ics", "RawContent": b"BEGIN:VCALENDAR", "ContentType": "text/calendar"} | more
        subject, text = {"Data": "With a file"}, {"Text": {"Data": "Hello"}}
        cloud.client("sesv2").send_email(
            FromEmailAddress="news@school.example",
            Destination={"ToAddresses": ["ida@student.example"]},
            Content={"Simple": {"Subject": subject, "Body": text, "Attachments": [attachment]}},
        )

    send_file()
    with pytest.raises(ClientError, match="ContentDisposition"):
        send_file(ContentDisposition="BESIDE")
    mails = requests.get(f"{cloud.endpoint_url}/_ministack/ses/messages", timeout=10).json()["messages"]["000000000000"]
    [mail] = [mail for mail in mails if mail["To"] == ["ida@student.example"]]
    [attachment] = mail["Attachments"]
    assert base64.b64decode(attachment["RawContent"]) == b"BEGIN:VCALENDAR"
    assert "data:text/calendar;base64," in requests.get(f"{cloud.endpoint_url}/_local/mailbox", timeout=10).text


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
    page = requests.get(f"{cloud.endpoint_url}/_local/mailbox", timeout=10)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Local mailbox</title>" in page.text
    assert page.text.index("&lt;b&gt;A newer mail&lt;/b&gt;") < page.text.index("An older mail")
    assert "A line &amp; another\n&lt;script&gt;" in page.text
    assert "ada@student.example" in page.text
    assert "<script" not in page.text
