"""Who reads the material: through the deployed distribution, with signed cookies."""

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pay
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from deployed_content import COOKIES, Content, Origin, clock_ahead, id_of, material
from stack import Stack, Student

BODY = b"Only for students who have paid."


@pytest.fixture(scope="module")
def reader(content: Content, stack: Stack) -> Student:
    """A student who has paid."""
    student = stack.create_student("reader@school.example")
    content.pay(id_of(student))
    return student


@pytest.fixture
def newcomer(stack: Stack) -> Student:
    """A student who has never paid."""
    return stack.create_student(f"{uuid.uuid4()}@school.example")


@pytest.fixture(scope="module")
def path(content: Content) -> str:
    return content.put("/members/lecture.txt", BODY)


# ---- The session


def test_a_session_ends_after_a_quarter_of_an_hour_or_with_the_payment(content: Content, newcomer: Student) -> None:
    now = datetime.now(timezone.utc)
    for until, expected in [
        (now + timedelta(days=90), now + timedelta(minutes=15)),
        (now + timedelta(minutes=5), now + timedelta(minutes=5)),
    ]:
        content.pay(id_of(newcomer), until)
        answer = content.open_session(newcomer)
        assert answer.status_code == 200
        assert abs(pay.end(answer.json()["expires_at"]) - expected) < timedelta(minutes=1)


def test_cookies_are_for_the_material_alone_and_for_no_script(content: Content, reader: Student) -> None:
    for method, headers in [("POST", {"Authorization": f"Bearer {reader.token}"}), ("DELETE", {})]:
        answer = content.get("/session", method, headers=headers)
        lines = answer.raw.headers.getlist("Set-Cookie")
        assert {line.partition("=")[0] for line in lines} >= set(COOKIES)
        for line in lines:
            _, *attributes = line.split("; ")
            assert {"Path=/members/", "Secure", "HttpOnly", "SameSite=Lax"} < set(attributes)
            assert any(attribute.startswith("Max-Age=") for attribute in attributes)
    assert answer.status_code == 204
    assert all("Max-Age=0" in line for line in lines)


def test_who_has_not_paid_learns_since_when(content: Content, newcomer: Student) -> None:
    answer = content.open_session(newcomer)
    # Not 403, which the distribution replaces by a page.
    assert (answer.status_code, answer.json()["code"], answer.json()["paid_until"]) == (402, "NOT_PAID", None)
    content.pay(id_of(newcomer))
    assert content.open_session(newcomer).status_code == 200
    content.lapse(id_of(newcomer))
    answer = content.open_session(newcomer)
    assert answer.status_code == 402
    assert pay.end(answer.json()["paid_until"]) <= datetime.now(timezone.utc)
    assert "Set-Cookie" not in answer.headers


def test_no_session_without_an_id_token(content: Content, stack: Stack, reader: Student) -> None:
    cognito = stack.client("cognito-idp")
    password = f"Aa1-{uuid.uuid4()}"
    pool, email = stack.outputs["UserPoolId"], "reader@school.example"
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
    signed_in = cognito.initiate_auth(
        ClientId=stack.outputs["UserPoolClientId"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )["AuthenticationResult"]
    header, payload, signature = reader.token.split(".")
    for token in (signed_in["AccessToken"], f"{header}.{payload}.{signature[::-1]}", ""):
        answer = content.get("/session", "POST", headers={"Authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers


# ---- The material


@pytest.mark.parametrize(
    ("method", "headers", "status"), [("GET", {}, 200), ("HEAD", {}, 200), ("GET", {"Range": "bytes=5-7"}, 206)]
)
def test_what_a_paying_student_has_read_is_given_to_nobody_else(
    content: Content, reader: Student, newcomer: Student, path: str, method: str, headers: dict[str, str], status: int
) -> None:
    cookies = content.cookies(reader)
    content.get(path, cookies=cookies)
    answer = content.get(path, method, cookies, headers=headers)
    assert (answer.status_code, answer.headers["X-Cache"]) == (status, "Hit from cloudfront")
    assert answer.content == {"HEAD": b"", "GET": BODY[5:8] if headers else BODY}[method]
    # A student who has not paid has no cookies; one who has just cancelled has none that are new.
    assert content.open_session(newcomer).status_code == 402
    forged = cookies | {"CloudFront-Signature": cookies["CloudFront-Signature"][::-1]}
    for others in ({}, forged, cookies | {"CloudFront-Key-Pair-Id": "K2JCJMDEHXQW5F"}):
        refused = content.get(path, method, others, headers=headers)
        assert refused.status_code == 403
        assert BODY not in refused.content


def test_who_cancels_is_refused_within_a_quarter_of_an_hour(
    local_cloud: None, content: Content, newcomer: Student, path: str
) -> None:
    content.pay(id_of(newcomer))
    cookies = content.cookies(newcomer)
    content.lapse(id_of(newcomer))
    with clock_ahead(content, timedelta(minutes=14)):
        assert content.get(path, cookies=cookies).status_code == 200
    with clock_ahead(content, timedelta(minutes=15, seconds=1)):
        for method, headers in [("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=5-7"})]:
            assert content.get(path, method, cookies, headers=headers).status_code == 403
    assert content.open_session(newcomer).status_code == 402


def test_a_large_file_is_resumed(content: Content, reader: Student) -> None:
    body = bytes(range(256)) * 40_000
    path, cookies = content.put("/members/film.bin", body, "application/octet-stream"), content.cookies(reader)
    first = content.get(path, cookies=cookies, headers={"Range": "bytes=0-999999"})
    # If-Range: the rest of the same file, or else the whole new one.
    resumed = {"Range": "bytes=1000000-", "If-Range": first.headers["ETag"]}
    rest = content.get(path, cookies=content.cookies(reader), headers=resumed)
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.content + rest.content == body


def test_no_browser_keeps_the_material_and_it_runs_no_script(content: Content, reader: Student, path: str) -> None:
    headers = content.get(path, cookies=content.cookies(reader)).headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    "spelling",
    ["/members%2Flecture.txt", "//members/lecture.txt", "/x/../members/lecture.txt", "/%6dembers/lecture.txt"],
)
def test_another_spelling_of_a_path_opens_nothing(content: Content, path: str, spelling: str) -> None:
    # requests would normalize the path.
    prepared = requests.Request("GET", f"{content.address}/", headers=content.host).prepare()
    prepared.url = f"{content.address}{spelling}"
    with requests.Session() as session:
        answer = session.send(prepared, timeout=30, allow_redirects=False)
    assert answer.status_code in (403, 404)
    assert BODY not in answer.content


def test_the_bucket_is_read_through_the_distribution_only(content: Content, path: str) -> None:
    bucket = content.stack.outputs["MaterialsBucketName"]
    s3 = boto3.client("s3", config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError, match=r"AccessDenied|Forbidden|403"):
        s3.get_object(Bucket=bucket, Key=path.removeprefix("/"))


def test_a_missing_file_is_not_taken_for_a_refusal(content: Content, reader: Student) -> None:
    # CloudFront keeps answers, also these.
    name = uuid.uuid4()
    assert content.get(f"/members/{name}.txt", cookies=content.cookies(reader)).status_code == 404
    assert content.get(f"/members/{name}.txt").status_code == 403
    assert content.get(f"/{name}.html").status_code == 404


def test_a_refusal_leads_to_the_library(content: Content) -> None:
    answer = content.get("/members/lecture.txt")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")


# ---- Copies of the distribution


def test_cookies_open_no_other_distribution_with_the_same_key(
    local_cloud: None, content: Content, reader: Student
) -> None:
    with Origin(BODY) as origin:
        answer = content.get("/members/x", cookies=content.cookies(reader), headers=content.copied(origin.serve))
    assert answer.status_code == 403
    assert origin.seen == []


def test_neither_the_token_nor_a_cookie_reaches_the_origin(
    local_cloud: None, content: Content, reader: Student
) -> None:
    def open_to_all(config: dict[str, Any]) -> None:
        origin.serve(config)
        # Cookies are for the distribution itself; what is forwarded does not depend on them.
        material(config)["TrustedKeyGroups"] = {"Enabled": False, "Quantity": 0}

    with Origin(BODY) as origin:
        headers = content.copied(open_to_all) | {"Authorization": f"Bearer {reader.token}"}
        assert content.get("/members/x", cookies=content.cookies(reader), headers=headers).content == BODY
    [seen] = origin.seen
    assert not {"cookie", "authorization"} & seen.keys()


# ---- What nobody else sees


def test_neither_the_token_nor_a_cookie_is_in_a_log(
    local_cloud: None, content: Content, reader: Student, path: str
) -> None:
    cookies = content.cookies(reader)
    content.get(path, cookies=cookies)
    secrets = [reader.token.split(".")[2], cookies["CloudFront-Signature"], cookies["CloudFront-Policy"]]
    logs = content.stack.client("logs")
    groups = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    assert f"/aws/lambda/{content.root.name}-open-session" in groups
    for group in groups:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        messages = "\n".join(event["message"] for page in pages for event in page["events"])
        assert not [secret for secret in secrets if secret in messages], group


# ---- Payments


def test_events_that_are_late_or_repeated_change_nothing(content: Content) -> None:
    student, now = f"student-{uuid.uuid4()}", datetime.now(timezone.utc)

    def at(days: int) -> str:
        return pay.in_rfc_3339(now + timedelta(days=days))

    content.send("PaymentRecorded", student_id=student, paid_until=at(30), occurred_at=at(-2))
    content.wait_for(student, lambda paid: paid is not None)
    for _ in range(2):
        content.send("PaymentRecorded", student_id=student, paid_until=at(60), occurred_at=at(-1))
    content.send("PaymentLapsed", student_id=student, occurred_at=at(-3))
    content.send("PaymentRecorded", student_id=student, paid_until=at(90), occurred_at=at(-4))
    # The last one to be recorded: the others have been, too, or have changed nothing.
    other = f"student-{uuid.uuid4()}"
    content.send("PaymentRecorded", student_id=other, paid_until=at(1), occurred_at=at(0))
    content.wait_for(other, lambda paid: paid is not None)
    content.wait_for(student, lambda paid: paid == int((now + timedelta(days=60)).timestamp()))
