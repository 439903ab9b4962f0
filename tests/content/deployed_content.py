"""The deployed library: its distribution, its session, and payments."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pay
import requests
from stack import Stack, Student, stack_name, wait_until
from tokens import claims_of

STRIPE_SECRET = "whsec_test"
COOKIES = ("CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id", "CloudFront-Hash-Algorithm")


def id_of(student: Student) -> str:
    return claims_of(student.token)["custom:student_id"]


class Content:
    """The library beside the stack under test."""

    def __init__(self, stack: Stack) -> None:
        self.root = stack
        self.stack = Stack(stack_name(stack.name, "content"))
        self.url = self.stack.outputs["ContentUrl"]
        self.address, self.host = self.stack.distribution("content")

    def get(
        self, path: str, method: str = "GET", cookies: dict[str, str] | None = None, **arguments: Any
    ) -> requests.Response:
        headers = self.host | arguments.pop("headers", {})
        if cookies:
            # The jar of this client sends no Secure cookies to the local cloud.
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        address = f"{self.address}{path}"
        return requests.request(method, address, headers=headers, timeout=30, allow_redirects=False, **arguments)

    def put(self, path: str, body: bytes, kind: str = "text/plain") -> str:
        """Uploads material; returns its path."""
        bucket = self.stack.outputs["MaterialsBucketName"]
        self.stack.client("s3").put_object(Bucket=bucket, Key=path.removeprefix("/"), Body=body, ContentType=kind)
        return path

    def open_session(self, student: Student) -> requests.Response:
        return self.get("/session", "POST", headers={"Authorization": f"Bearer {student.token}"})

    def cookies(self, student: Student) -> dict[str, str]:
        """The cookies of a student who has paid."""
        answer = self.open_session(student)
        assert answer.status_code == 200, answer.text
        return answer.cookies.get_dict()

    def pay(self, student_id: str, until: datetime | None = None) -> None:
        """Records a payment, for 90 days if no time is given."""
        until = until or datetime.now(timezone.utc) + timedelta(days=90)
        pay.pay(self.root, student_id, until)
        self.wait_for(student_id, lambda paid: paid == int(until.timestamp()))

    def lapse(self, student_id: str) -> None:
        pay.lapse(self.root, student_id)
        self.wait_for(student_id, lambda paid: paid is not None and paid <= datetime.now(timezone.utc).timestamp())

    def paid_until(self, student_id: str) -> int | None:
        table = self.stack.outputs["EntitlementsTableName"]
        key = {"student_id": {"S": student_id}}
        item = self.stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        return int(item["paid_until"]["N"]) if item else None

    def wait_for(self, student_id: str, condition: Callable[[int | None], bool]) -> None:
        wait_until(lambda: condition(self.paid_until(student_id)), "the payment is recorded")

    def send(self, kind: str, **detail: str) -> None:
        """Puts an event of payments on the school's bus."""
        entry = {
            "EventBusName": self.root.outputs["SchoolEventsName"],
            "Source": pay.SOURCE,
            "DetailType": kind,
            "Detail": json.dumps(detail),
        }
        assert self.root.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    def copied(self, change: Callable[[dict[str, Any]], None] = lambda config: None) -> dict[str, str]:
        """Makes a distribution with the room's configuration, but for a change; returns the headers that lead to it."""
        cloudfront = self.stack.client("cloudfront")
        identifier = self.stack.outputs["ContentDistributionId"]
        config = cloudfront.get_distribution_config(Id=identifier)["DistributionConfig"]
        config["CallerReference"] = str(uuid.uuid4())
        for origin in config["Origins"]["Items"]:
            if "CustomOriginConfig" in origin:
                # CloudFront shows its defaults; the local cloud does not.
                origin["CustomOriginConfig"] = {"HTTPPort": 80, "HTTPSPort": 443} | origin["CustomOriginConfig"]
        change(config)
        return {"Host": cloudfront.create_distribution(DistributionConfig=config)["Distribution"]["DomainName"]}


@contextmanager
def clock_ahead(content: Content, by: timedelta) -> Iterator[None]:
    """Moves the clock of the local cloud's CloudFront."""

    def move(seconds: float) -> None:
        requests.get(f"{content.address}/_local/clock", params={"ahead": seconds}, timeout=30).raise_for_status()

    move(by.total_seconds())
    try:
        yield
    finally:
        move(0)


def material(config: dict[str, Any]) -> dict[str, Any]:
    """The cache behavior of the material."""
    [behavior] = [one for one in config["CacheBehaviors"]["Items"] if one["PathPattern"] == "/members/*"]
    return behavior


class Origin:
    """A server in the bucket's place, which keeps the headers of its requests while the context is open."""

    def __init__(self, body: bytes) -> None:
        seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.seen = seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def serve(self, config: dict[str, Any]) -> None:
        """Makes it the origin of the material: the bucket lets only the room's own distribution read."""
        [origin] = [one for one in config["Origins"]["Items"] if one["Id"] == "materials"]
        for name in ("S3OriginConfig", "OriginAccessControlId"):
            origin.pop(name, None)
        port = self._server.server_address[1]
        origin["DomainName"] = "127.0.0.1"
        origin["CustomOriginConfig"] = {"HTTPPort": port, "HTTPSPort": port, "OriginProtocolPolicy": "http-only"}

    def __enter__(self) -> "Origin":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
