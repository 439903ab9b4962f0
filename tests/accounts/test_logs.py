"""The logs of the accounts' functions when requests fail: no personal data, and the metrics of their alarms."""

from account_requests import WORKFLOW_FUNCTIONS, queue_request, recognisable_account, sign_up, wait_until_settled
from faults import denied
from log_lines import assert_nothing_personal_is_logged, counts, of_function
from rooms import Room
from stack import Stack, wait_until


def test_no_log_names_a_student_whatever_a_request_ends_with(stack: Stack, local_cloud: None) -> None:
    request = recognisable_account()
    assert sign_up(stack, request).status_code == 201
    assert sign_up(stack, request).status_code == 409
    hostile = recognisable_account(given_name="Zoltán <zoltan@school.example>")
    assert sign_up(stack, hostile).status_code == 422
    assert sign_up(stack, recognisable_account(programme="x" * 501)).status_code == 400
    student = stack.sign_in(request["email"])
    for name, status in (("Featherstonehaugh-Zoltán", 200), ("Zoltán <zoltan@school.example>", 422)):
        changes = {"family_name": name}
        assert student.request("PATCH", "/accounts/me", "accounts", json=changes).status_code == status
    assert student.request("DELETE", "/accounts/me", "accounts").status_code == 202
    for function, action in [
        ("check-account", "dynamodb:GetItem"),
        ("create-account", "dynamodb:*"),
        ("create-account", "cognito-idp:*"),
        ("notify-student", "events:PutEvents"),
    ]:
        with denied(stack, function, action):
            assert sign_up(stack, recognisable_account()).status_code == 503
    assert queue_request(stack, hostile).status_code == 202
    wait_until(lambda: bool(of_function(stack, "start-account-workflow")), "a queued request is answered")
    assert all(of_function(stack, function) for function in WORKFLOW_FUNCTIONS)
    assert_nothing_personal_is_logged(stack)


def test_a_request_that_goes_back_to_the_queue_moves_the_metric_of_its_alarm(stack: Stack, impatient: None) -> None:
    alarm = Room("accounts").alarms["AccountRequestsHandedBackAlarm"]["Properties"]
    with denied(stack, "start-account-workflow", "states:StartSyncExecution"):
        assert queue_request(stack, recognisable_account()).status_code == 202
        wait_until(lambda: counts(stack, "start-account-workflow", alarm), "the metric is in the log")
    wait_until_settled(stack)
