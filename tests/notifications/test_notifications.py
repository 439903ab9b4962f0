"""One e-mail to the student of each new account, whatever fails meanwhile."""

import random
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import account_requests
import pytest
import queues
from account_requests import WORKFLOW_FUNCTIONS, account, items, queue_request, sign_up, students
from emails import assert_one_account_and_one_email, notified, wait_until_settled
from faults import denied, environment, intercepted, kill_function, killed_at_random
from local_mailbox import mails_to
from stack import Stack, wait_until

pytestmark = pytest.mark.usefixtures("many_requests")


def test_a_student_is_told_of_a_new_account_once(stack: Stack, local_cloud: None) -> None:
    request = account()
    assert sign_up(stack, request).status_code == 201
    assert_one_account_and_one_email(stack, request["email"])


def test_a_student_is_told_of_an_account_that_was_asked_for_through_the_queue(stack: Stack, local_cloud: None) -> None:
    request = account()
    assert queue_request(stack, request).status_code == 202
    assert_one_account_and_one_email(stack, request["email"])


def test_a_queued_request_that_is_refused_is_told_to_its_student_once_a_day(stack: Stack, impatient: None) -> None:
    request = account(given_name="<b>Zoë</b>", family_name="http://evil.example")
    address = request["email"]
    for email in (address, f" {address.upper()} ", "x@1.2.3.4"):
        answer = queue_request(stack, request | {"email": email})
        assert answer.status_code == 202
    wait_until(lambda: mails_to(stack, address) != [], "the student is told")
    wait_until_settled(stack)
    [mail] = mails_to(stack, address)
    assert [line.partition(":")[0] for line in mail["BodyText"].splitlines() if line.startswith("- ")] == [
        "- given name",
        "- family name",
    ]
    # The caller may be a stranger, who must not write to this address.
    assert "Zoë" not in mail["BodyText"]
    assert "evil" not in mail["BodyText"]
    assert students(stack, address) == []
    assert mails_to(stack, "x@1.2.3.4") == []


def test_an_account_that_is_deleted_before_its_student_is_told_fails_nothing(stack: Stack, impatient: None) -> None:
    student_id = str(uuid.uuid4())
    account_created = {"detail-type": "AccountCreated", "detail": {"student_id": student_id}}
    email_sent = {"detail-type": "Email Sent", "detail": {"student_ids": [student_id]}}
    for event in (account_created, email_sent):
        queues.send(stack, "NotificationsQueueUrl", event)
    wait_until_settled(stack)


def test_an_outage_of_ses_delays_the_e_mail(stack: Stack, impatient: None) -> None:
    def in_progress() -> set[str]:
        records = stack.client("dynamodb").scan(TableName=stack.outputs["IdempotencyTableName"])["Items"]
        return {record["id"]["S"] for record in records if record["status"]["S"] == "INPROGRESS"}

    request, before = account(), in_progress()
    with denied(stack, "send-notification", "ses:SendEmail"):
        assert sign_up(stack, request).status_code == 201

        def has_failed() -> bool:
            return queues.count(stack, "NotificationsQueueUrl") > 0 and in_progress() <= before

        wait_until(has_failed, "the first attempt has failed")
        assert notified(stack)[request["email"]] == 0
    assert_one_account_and_one_email(stack, request["email"])


def test_an_e_mail_whose_sender_died_is_not_sent_again(stack: Stack, impatient: None) -> None:
    killed = []

    def kill(operation: str) -> None:
        if not killed:
            killed.append(kill_function(f"{stack.name}-send-notification"))

    request = account()
    with (
        intercepted(lambda operation: True, kill) as url,
        environment(stack, "send-notification", AWS_ENDPOINT_URL_SESV2=url),
    ):
        assert sign_up(stack, request).status_code == 201
        assert_one_account_and_one_email(stack, request["email"])
    assert sum(killed) >= 1


def test_an_e_mail_whose_sender_died_before_it_was_sent_is_sent_later(stack: Stack, impatient: None) -> None:
    met = []

    def kill(operation: str) -> bool:
        met.append(operation)
        if len(met) == 1:
            kill_function(f"{stack.name}-send-notification")
        return len(met) > 1

    request = account()
    with (
        intercepted(kill, lambda operation: None) as url,
        environment(stack, "send-notification", AWS_ENDPOINT_URL_SESV2=url, IN_PROGRESS_SECONDS="5"),
    ):
        assert sign_up(stack, request).status_code == 201
        assert_one_account_and_one_email(stack, request["email"])
    assert len(met) == 2


@pytest.mark.large
def test_hundreds_of_requests_at_once_with_functions_dying_make_one_account_and_one_e_mail_each(
    stack: Stack, impatient: None
) -> None:
    chance = random.Random(3)
    requested = [account() for _ in range(450)]
    requested += [request | {"email": request["email"].upper()} for request in chance.sample(requested, 50)]
    chance.shuffle(requested)
    addresses = {request["email"].lower() for request in requested}

    functions = [*WORKFLOW_FUNCTIONS, "start-account-workflow", "send-notification"]
    with environment(stack, "send-notification", IN_PROGRESS_SECONDS="60"):
        with killed_at_random(stack, functions, chance.choice) as hit:
            with ThreadPoolExecutor(50) as pool:
                answers = list(pool.map(lambda request: queue_request(stack, request), requested))
            assert {answer.status_code for answer in answers} == {202}
            account_requests.wait_until_settled(stack, seconds=600)
        wait_until_settled(stack, seconds=600)
    assert len(hit) > 10
    told = notified(stack)
    assert {address: told[address] for address in addresses} == dict.fromkeys(addresses, 1)
    accounts = [item for item in items(stack, "STUDENT:") if item["email"]["S"] in addresses]
    assert Counter(item["email"]["S"] for item in accounts) == dict.fromkeys(addresses, 1)
    assert all("unfinished" not in item for item in accounts)
