"""Targets of EventBridge rules and schedules: they need permission, and functions are invoked asynchronously.

MiniStack ignores the resource policies of queues and functions. It invokes a function once, and drops the event when
that fails; Lambda retries an asynchronous invocation, and then sends the event to the function's failure destination
with the function's role. MiniStack starts a state machine and sends to a schedule's queue without a role; here a rule
or a schedule starts it, and a schedule sends, with the target's role.

An event that may not be delivered goes to the target's dead-letter queue: from a rule, if the queue's policy allows
it; from a schedule, with the target's role. A delivery fails for no other reason here, because everything is one
process.
"""

import json
import logging
from contextvars import ContextVar
from typing import Any, NamedTuple

from botocore.credentials import Credentials
from ministack.core.concurrency import spawn_background
from ministack.services import eventbridge, lambda_svc, scheduler, sqs

from local_cloud.resource_policies import permits, permits_invocation
from local_cloud.role import ROOT, RoleNotAssumable, assume_role, signed_json_request

logger = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """A rule or schedule, one of its targets, and the event."""

    source_arn: str
    target: dict[str, Any]
    event: str


# MiniStack does not pass the target to the function that starts a state machine.
delivery: ContextVar[Delivery] = ContextVar("rule_targets_delivery")


def install() -> None:
    invoke_target = eventbridge._invoke_target

    def invoke_permitted_target(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        view = view or eventbridge._pattern_event_view(event)
        is_rule = rule["Arn"].split(":")[2] == "events"
        payload = json.dumps(view.event_with_detail()) if is_rule else target.get("Input", "{}")
        delivery.set(Delivery(rule["Arn"], target, payload))
        if not is_rule and target["Arn"].split(":")[2] == "sqs":
            spawn_background(send_with_role, thread_name="send-with-role")
        elif is_permitted(target["Arn"], rule["Arn"]):
            invoke_target(target, event, rule, view)
        else:
            spawn_background(
                give_up, f"the resource policy of {target['Arn']} doesn't allow it", thread_name="dead-letter"
            )

    def start_in_background(state_machine_arn: str, execution_input: str) -> None:
        # Rules are evaluated on the event loop, which also has to answer this request.
        spawn_background(start_execution, state_machine_arn, execution_input, thread_name="start-execution")

    eventbridge._invoke_target = invoke_permitted_target
    eventbridge._dispatch_to_stepfunctions = start_in_background
    eventbridge._dispatch_to_lambda = invoke_asynchronously
    lambda_svc._route_async_failure = send_to_failure_destination
    # The seconds between two checks for due schedules; MiniStack's default is 10.
    scheduler._SCHEDULE_TICK_INTERVAL = 1


def is_permitted(target_arn: str, rule_arn: str) -> bool:
    """Whether the resource policy of a function or queue allows the rule; other targets have none."""
    service, principal = target_arn.split(":")[2], "events.amazonaws.com"
    if service == "lambda":
        return permits_invocation(target_arn, principal, rule_arn)
    if service == "sqs":
        queue = sqs._queue_by_arn(target_arn)
        policy = queue and queue["attributes"].get("Policy")
        return permits(policy, principal, "sqs:SendMessage", target_arn, rule_arn)
    return True


def start_execution(state_machine_arn: str, execution_input: str) -> None:
    source, target, _ = delivery.get()
    service = source.split(":")[2]
    try:
        credentials = assume_role(target.get("RoleArn", ""), f"{service}.amazonaws.com")
    except RoleNotAssumable as problem:
        give_up(str(problem))
        return
    body = json.dumps({"stateMachineArn": state_machine_arn, "input": execution_input}).encode()
    region = state_machine_arn.split(":")[3]
    status, content = signed_json_request("states", "AWSStepFunctions.StartExecution", body, credentials, "1.0", region)
    if status != 200:
        give_up(content.decode())


def send_with_role() -> None:
    """Sends the input of a schedule to its queue."""
    _, target, payload = delivery.get()
    try:
        credentials = assume_role(target["RoleArn"], "scheduler.amazonaws.com")
    except RoleNotAssumable as problem:
        give_up(str(problem))
        return
    status, content = send_message(target["Arn"], {"MessageBody": payload}, credentials)
    if status != 200:
        give_up(content.decode())


def send_message(queue_arn: str, message: dict[str, Any], credentials: Credentials) -> tuple[int, bytes]:
    _, _, _, region, account_id, queue_name = queue_arn.split(":")
    body = json.dumps({"QueueUrl": sqs._queue_url_for_account(account_id, queue_name), **message}).encode()
    return signed_json_request("sqs", "AmazonSQS.SendMessage", body, credentials, "1.0", region)


def give_up(problem: str) -> None:
    """Sends the event to the dead-letter queue of the target, if it has one."""
    source, target, event = delivery.get()
    service = source.split(":")[2]
    logger.warning("%s does not reach %s: %s", source, target["Arn"], problem)
    if "DeadLetterConfig" not in target:
        return
    queue_arn = target["DeadLetterConfig"]["Arn"]
    try:
        # For a rule, the queue's policy decides, below; EventBridge has no role to sign with.
        credentials = assume_role(target["RoleArn"], f"{service}.amazonaws.com") if service == "scheduler" else ROOT
    except RoleNotAssumable as refusal:
        logger.warning("%s does not reach its dead-letter queue: %s", source, refusal)
        return
    if service == "events" and not is_permitted(queue_arn, source):
        logger.warning("%s does not reach its dead-letter queue: the queue's policy doesn't allow it", source)
        return
    attributes = {
        "RULE_ARN" if service == "events" else "SCHEDULE_ARN": source,
        "TARGET_ARN": target["Arn"],
        "ERROR_CODE": "NO_PERMISSIONS",
        "ERROR_MESSAGE": problem,
    }
    message = {
        "MessageBody": event,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }
    status, content = send_message(queue_arn, message, credentials)
    if status != 200:
        logger.warning("%s does not reach its dead-letter queue: %s", source, content.decode())


def invoke_asynchronously(function_arn: str, payload: str) -> None:
    function, configuration, name = lambda_svc._get_func_record_for_ref(function_arn)
    if not function or not configuration:
        logger.warning("a rule's target, function %s, does not exist", name)
        return
    execution = lambda_svc._execution_record_for_config(function, configuration)
    lambda_svc.invoke_async_with_retry(execution, json.loads(payload))


def send_to_failure_destination(
    destination: str, function_name: str, event: dict[str, Any], result: dict[str, Any]
) -> None:
    """Sends the record that the documentation of asynchronous invocation describes to a queue."""
    if destination.split(":")[2] != "sqs":
        logger.error("failure destination %s: the local cloud knows queues only", destination)
        return
    configuration = lambda_svc._functions[function_name]["config"]
    record = {
        "version": "1.0",
        "requestContext": {
            "functionArn": f"{configuration['FunctionArn']}:$LATEST",
            "condition": "RetriesExhausted",
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": result.get("body"),
    }
    credentials = assume_role(configuration["Role"], "lambda.amazonaws.com")
    status, content = send_message(destination, {"MessageBody": json.dumps(record)}, credentials)
    if status != 200:
        logger.error("%s did not take the failed event of %s: %s", destination, function_name, content.decode())
