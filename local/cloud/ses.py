"""SES v2: who may send what, the event that says that a mail was sent, and a page with the mails.

MiniStack authorises SendEmail on every resource at once and publishes no events. The page is for people who try the
project on their machine.
"""

import html
import json
import time
from email.utils import parseaddr
from http import HTTPStatus
from typing import Any

from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, ses_v2
from ministack.services import ses as ses_v1

Answer = tuple[int, dict[str, str], bytes]

SEND_EMAIL = ("POST", "/v2/email/outbound-emails")
MAILBOX = "/_registrar/mailbox"

_enforce_other_call = app._enforce_ses_v2
_handle_call = ses_v2.handle_request
_handle_other_page = app._handle_ses_messages_request


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:ses:{get_region()}:{get_account_id()}:{kind}/{name}"


def _identity_arn(sender: str) -> str:
    """The identity that a mail is sent from: the address, if that is one, or else its domain."""
    address, domain = parseaddr(sender)[1], _domain(sender)
    names = (address, *ses_v1._domain_and_parents(domain))
    known = (name for name in names if name in ses_v1._identities or name in ses_v2._identities)
    return _arn("identity", next(known, domain))


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


def _enforce(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
) -> Answer | None:
    if (method, path) != SEND_EMAIL:
        return _enforce_other_call(method, path, headers, body, query, request_id)
    mail = json.loads(body)
    arns = [_identity_arn(mail.get("FromEmailAddress", ""))]
    if "ConfigurationSetName" in mail:
        arns.append(_arn("configuration-set", mail["ConfigurationSetName"]))
    for arn in arns:
        denied = app._enforce_data_plane(
            "sesv2", "ses:SendEmail", headers, query, request_id, resource_arn=arn, named_resource=arn
        )
        if denied:
            return denied
    return None


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
    if (method, path) != SEND_EMAIL:
        return await _handle_call(method, path, headers, body, query)
    mail = json.loads(body)
    name = mail.get("ConfigurationSetName")
    if name and name not in ses_v2._config_sets:
        return ses_v2._missing_config_set(name)
    answer = await _handle_call(method, path, headers, body, query)
    if name and answer[0] == HTTPStatus.OK and _publishes_sends(name):
        _publish(mail, json.loads(answer[2])["MessageId"], name)
    return answer


def _publishes_sends(configuration_set: str) -> bool:
    destinations = ses_v2._config_sets[configuration_set].get("EventDestinations", {})
    return any(
        destination["Enabled"] and "SEND" in destination["MatchingEventTypes"]
        for destination in destinations.values()
        if "EventBridgeDestination" in destination
    )


def _publish(mail: dict[str, Any], message_id: str, configuration_set: str) -> None:
    sender, destination = mail.get("FromEmailAddress", ""), mail.get("Destination", {})
    tags = {tag["Name"]: [tag["Value"]] for tag in mail.get("EmailTags", [])}
    detail = {
        "eventType": "Send",
        "mail": {
            "timestamp": _utc(time.time()),
            "source": sender,
            "sourceArn": _identity_arn(sender),
            "sendingAccountId": get_account_id(),
            "messageId": message_id,
            "destination": [address for addresses in destination.values() for address in addresses],
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
    if path != MAILBOX:
        return await _handle_other_page(method, path, headers, query)
    mails = [mail for mails in ses_v1._sent_emails.to_dict().values() for mail in mails]
    mails.sort(key=lambda mail: mail["Timestamp"], reverse=True)
    page = PAGE.format(mails="".join(map(_article, mails)) or "<p>No mail yet.</p>")
    return 200, {"Content-Type": "text/html; charset=utf-8"}, page.encode()


def _article(mail: dict[str, Any]) -> str:
    text = mail.get("RenderedBodyText") or mail.get("BodyText") or mail.get("BodyHtml") or ""
    return ARTICLE.format(
        time=_utc(mail["Timestamp"]),
        to=html.escape(", ".join(mail.get("To", []))),
        subject=html.escape(mail.get("RenderedSubject") or mail.get("Subject", "")),
        text=html.escape(text),
    )


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
</article>
"""


def install() -> None:
    app._enforce_ses_v2 = _enforce
    ses_v2.handle_request = _handle
    app._handle_ses_messages_request = _handle_page
