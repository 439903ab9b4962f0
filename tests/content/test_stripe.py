"""What Stripe reports, as the deployed API takes it."""

import hashlib
import hmac
import json
import time
import uuid
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from deployed_content import STRIPE_SECRET, Content
from faults import kill_function
from rooms import PROJECT

pytestmark = pytest.mark.usefixtures("local_cloud")


def invoice(student_id: str, end: int) -> dict[str, Any]:
    event = json.loads((PROJECT / "events/content/receive-stripe-event.json").read_text())
    body = json.loads(event["body"])
    body["created"] = int(time.time())
    body["data"]["object"]["parent"]["subscription_details"]["metadata"]["student_id"] = student_id
    for line in body["data"]["object"]["lines"]["data"]:
        line["period"]["end"] = end
    return body


def send(content: Content, event: dict[str, Any], age: int = 0, secret: str = STRIPE_SECRET) -> int:
    """Sends an event as Stripe signs it; the status of the answer."""
    body, signed_at = json.dumps(event), int(time.time()) - age
    signature = hmac.new(secret.encode(), f"{signed_at}.{body}".encode(), hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={signed_at},v1={signature}", "Content-Type": "application/json"}
    return requests.post(content.stack.api_url("stripe"), data=body, headers=headers, timeout=30).status_code


def test_a_payment_that_stripe_signed_is_recorded(content: Content) -> None:
    # A new process reads the secret.
    kill_function(f"{content.root.name}-receive-stripe-event")
    student, end = f"student-{uuid.uuid4()}", int(datetime.now(timezone.utc).timestamp()) + 1_000_000
    event = invoice(student, end)
    for _ in range(2):
        assert send(content, event) == 200
    content.wait_for(student, lambda paid: paid == end)


@pytest.mark.parametrize("wrong", [{"age": 301}, {"secret": "whsec_other"}], ids=["too old", "another secret"])
def test_a_payment_that_stripe_did_not_sign_now_is_refused(content: Content, wrong: dict[str, Any]) -> None:
    student = f"student-{uuid.uuid4()}"
    assert send(content, invoice(student, 2_000_000_000), **wrong) == 400
    assert content.paid_until(student) is None
