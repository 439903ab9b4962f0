"""SES v2: identities that their owners confirm, permission to send, attachments, ``Email Sent``, a page with all mails.

MiniStack creates every identity as confirmed, even one that exists, authorises SendEmail on ``*``, drops attachments
and publishes no events. The page shows the e-mails to everybody, so whoever opens the link in one confirms the
identity. The same link confirms a domain, whose owner would change its DNS.
"""

import html
import json
import time
from email.utils import parseaddr
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from ministack import app
from ministack.core.responses import get_account_id, get_region, set_request_region
from ministack.services import eventbridge, ses_v2
from ministack.services import ses as ses_v1
from ministack.services.cloudformation import provisioners

Answer = tuple[int, dict[str, str], bytes]

SEND_EMAIL = ("POST", "/v2/email/outbound-emails")
CREATE_IDENTITY = ("POST", "/v2/email/identities")
MAILBOX = "/_local/mailbox"
CONFIRM = "/_local/confirm"

# By the id of the message.
_attachments: dict[str, list[dict[str, Any]]] = {}

_enforce_other_call = app._enforce_ses_v2
_handle_call = ses_v2.handle_request
_handle_other_page = app._handle_ses_messages_request
_make_confirmed = ses_v1._make_identity
_create_resource = provisioners._ses_email_identity_create


def _make_identity(identity: str, kind: str) -> dict[str, Any]:
    # A stack's identity also has a record in SES v1, and either record would be enough to send.
    return _make_confirmed(identity, kind) | {"VerificationStatus": "Pending"}


def _ask_owner(identity: str) -> None:
    """Marks a new identity as unconfirmed, and sends the link to the owner of an address."""
    ses_v2._identities[identity]["VerifiedForSendingStatus"] = False
    if "@" in identity:
        link = f"{CONFIRM}?{urlencode({'identity': identity, 'region': get_region()})}"
        ses_v1.send_internal_email(
            "no-reply-aws@amazon.com",
            [identity],
            f"Amazon Web Services - Email Address Verification Request in region {get_region()}",
            f"To confirm that you are authorized to use this email address, open {link} on this cloud.",
        )


def _create_stack_identity(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    identity = properties["EmailIdentity"]
    if identity in ses_v2._identities:
        raise ValueError(f"Resource of type 'AWS::SES::EmailIdentity' with identifier '{identity}' already exists.")
    created = _create_resource(logical_id, properties, stack_name)
    _ask_owner(identity)
    return created


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:ses:{get_region()}:{get_account_id()}:{kind}/{name}"


def _identity(address: str) -> str | None:
    """The identity of an address: the address itself if it is an identity, or else its domain."""
    names = (parseaddr(address)[1], *ses_v1._domain_and_parents(_domain(address)))
    return next((name for name in names if name in ses_v2._identities), None)


def _identity_arn(sender: str) -> str:
    return _arn("identity", _identity(sender) or _domain(sender))


def _domain(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2]


def _recipients(mail: dict[str, Any]) -> list[str]:
    return [address for addresses in mail.get("Destination", {}).values() for address in addresses]


def _enforce(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
) -> Answer | None:
    if (method, path) != SEND_EMAIL:
        return _enforce_other_call(method, path, headers, body, query, request_id)
    mail = json.loads(body)
    sender = mail.get("FromEmailAddress", "")
    # A recipient that is an identity of the account (all are, in the sandbox) is a resource, too.
    recipients = filter(None, map(_identity, _recipients(mail)))
    arns = [_identity_arn(sender), *(_arn("identity", name) for name in recipients)]
    if "ConfigurationSetName" in mail:
        arns.append(_arn("configuration-set", mail["ConfigurationSetName"]))
    for arn in arns:
        denied = app._enforce_data_plane(
            "sesv2",
            "ses:SendEmail",
            headers,
            query,
            request_id,
            resource_arn=arn,
            named_resource=arn,
            service_context={"ses:FromAddress": parseaddr(sender)[1]},
        )
        if denied:
            return denied
    return None


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    if (method, path) == CREATE_IDENTITY:
        return await _create_identity(method, path, headers, body, query)
    if (method, path) != SEND_EMAIL:
        return await _handle_call(method, path, headers, body, query)
    mail = json.loads(body)
    name = mail.get("ConfigurationSetName")
    if name and name not in ses_v2._config_sets:
        return ses_v2._missing_config_set(name)
    attachments = mail.get("Content", {}).get("Simple", {}).get("Attachments", [])
    if problem := next(filter(None, map(_problem, attachments)), None):
        return ses_v2._json_err("BadRequestException", problem)
    answer = await _handle_call(method, path, headers, body, query)
    if attachments and answer[0] == HTTPStatus.OK:
        _attachments[json.loads(answer[2])["MessageId"]] = attachments
    if name and answer[0] == HTTPStatus.OK and _publishes_sends(name):
        _publish(mail, json.loads(answer[2])["MessageId"], name)
    return answer


def _problem(attachment: dict[str, Any]) -> str | None:
    """What is wrong with an attachment by the API Reference, Attachment."""
    if not attachment.get("FileName") or not attachment.get("RawContent"):
        return "An attachment needs FileName and RawContent."
    if len(attachment["FileName"]) > 255 or not 1 <= len(attachment.get("ContentType", "x")) <= 78:
        return "FileName has at most 255 characters, ContentType 1 to 78."
    if attachment.get("ContentDisposition", "ATTACHMENT") not in ("ATTACHMENT", "INLINE"):
        return "ContentDisposition is ATTACHMENT or INLINE."
    if attachment.get("ContentTransferEncoding", "BASE64") not in ("BASE64", "QUOTED_PRINTABLE", "SEVEN_BIT"):
        return "ContentTransferEncoding is BASE64, QUOTED_PRINTABLE or SEVEN_BIT."
    return None


async def _create_identity(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Answer:
    identity = json.loads(body)["EmailIdentity"]
    if identity in ses_v2._identities:
        return ses_v2._json_err("AlreadyExistsException", f"Email identity {identity} already exist.")
    status, answer_headers, answer = await _handle_call(method, path, headers, body, query)
    _ask_owner(identity)
    return status, answer_headers, json.dumps(json.loads(answer) | {"VerifiedForSendingStatus": False}).encode()


def _publishes_sends(configuration_set: str) -> bool:
    destinations = ses_v2._config_sets[configuration_set].get("EventDestinations", {})
    return any(
        destination["Enabled"] and "SEND" in destination["MatchingEventTypes"]
        for destination in destinations.values()
        if "EventBridgeDestination" in destination
    )


def _publish(mail: dict[str, Any], message_id: str, configuration_set: str) -> None:
    sender = mail.get("FromEmailAddress", "")
    tags = {tag["Name"]: [tag["Value"]] for tag in mail.get("EmailTags", [])}
    detail = {
        "eventType": "Send",
        "mail": {
            "timestamp": _utc(time.time()),
            "source": sender,
            "sourceArn": _identity_arn(sender),
            "sendingAccountId": get_account_id(),
            "messageId": message_id,
            "destination": _recipients(mail),
            "tags": {"ses:configuration-set": [configuration_set], "ses:from-domain": [_domain(sender)], **tags},
        },
        "send": {},
    }
    event = {
        "Source": "aws.ses",
        "DetailType": "Email Sent",
        "Detail": json.dumps(detail),
        "Resources": [_arn("configuration-set", configuration_set)],
    }
    eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


async def _handle_page(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
    if path == CONFIRM:
        set_request_region(query["region"][0])
        ses_v2._identities[query["identity"][0]]["VerifiedForSendingStatus"] = True
        return 200, {"Content-Type": "text/plain"}, b"Confirmed."
    if path != MAILBOX:
        answer = await _handle_other_page(method, path, headers, query)
        return answer and _with_attachments(*answer)
    mails = [mail for mails in ses_v1._sent_emails.to_dict().values() for mail in mails]
    mails.sort(key=lambda mail: mail["Timestamp"], reverse=True)
    page = PAGE.format(mails="".join(map(_article, mails)) or "<p>No mail yet.</p>")
    return 200, {"Content-Type": "text/html; charset=utf-8"}, page.encode()


def _with_attachments(status: int, headers: dict[str, str], body: bytes) -> Answer:
    """MiniStack's list of all mails as JSON, by account, with the attachments of each."""
    content = json.loads(body)
    for mail in (mail for mails in content.get("messages", {}).values() for mail in mails):
        mail["Attachments"] = _attachments.get(mail["MessageId"], [])
    return status, headers, json.dumps(content).encode()


def _article(mail: dict[str, Any]) -> str:
    text = mail.get("RenderedBodyText") or mail.get("BodyText") or mail.get("BodyHtml") or ""
    return ARTICLE.format(
        time=_utc(mail["Timestamp"]),
        to=html.escape(", ".join(mail.get("To", []))),
        subject=html.escape(mail.get("RenderedSubject") or mail.get("Subject", "")),
        text=html.escape(text),
        files="".join(map(_file, _attachments.get(mail["MessageId"], []))),
    )


def _file(attachment: dict[str, Any]) -> str:
    name, kind = attachment["FileName"], attachment.get("ContentType", "application/octet-stream").replace(" ", "")
    url = f"data:{kind};base64,{attachment['RawContent']}"
    return f'<p><a download="{html.escape(name)}" href="{html.escape(url)}">{html.escape(name)}</a></p>\n'


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Local mailbox</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 45rem; padding: 0 1rem; }}
  article {{ border-top: 1px solid; padding: 1rem 0; }}
  pre {{ font: inherit; white-space: pre-wrap; }}
</style>
<h1>Local mailbox</h1>
<p>What this cloud would have sent, newest first. Load the page again to see more.</p>
{mails}
</html>
"""
ARTICLE = """<article>
<h2>{subject}</h2>
<p><time datetime="{time}">{time}</time> to {to}</p>
<pre>{text}</pre>
{files}</article>
"""


def install() -> None:
    app._enforce_ses_v2 = _enforce
    ses_v2.handle_request = _handle
    app._handle_ses_messages_request = _handle_page
    ses_v1._make_identity = _make_identity
    # An update that changes the address creates the new identity through this name.
    provisioners._ses_email_identity_create = _create_stack_identity
    provisioners._RESOURCE_HANDLERS["AWS::SES::EmailIdentity"]["create"] = _create_stack_identity
