"""Refusals to create or delete a resource, on which a deployment to AWS fails.

MiniStack creates event source mappings, failure destinations, schedules and logging state machines whose roles lack
permissions; the lack shows later, or never. Its stacks delete resources that are protected against deletion.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cognito, dynamodb, lambda_svc, scheduler, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from local_cloud import queue_mapping
from local_cloud.role import RoleNotAssumable, assume_role, is_allowed, is_caller_allowed

Properties = dict[str, Any]

STREAM_ACTIONS = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]
# For a failure destination: the actions, and the suffix of its ARN. PutObject on a part of the bucket is not enough,
# not even on the prefix that Lambda writes to.
DESTINATION_ACTIONS = {
    "s3": [("s3:PutObject", "/*"), ("s3:ListBucket", "")],
    "sns": [("sns:Publish", "")],
    "sqs": [("sqs:SendMessage", "")],
}
NETWORK_ACTIONS = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]
LOG_ACTIONS = [
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
]


# The rule by which Step Functions hears of a job's end ("IAM policies for Amazon EMR Serverless").
JOB_TASK, JOB_RULE = ":emr-serverless:startJobRun.sync", "StepFunctionsGetEventsForEMRServerlessJobRule"
RULE_ACTIONS = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]


class Refused(Exception):
    """A service does not create or delete something; the message is the service's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def lacking(role_arn: str, service: str, action: str, resource: str) -> bool:
    """Whether the role lacks this permission, or the service can't assume it."""
    try:
        credentials = assume_role(role_arn, f"{service}.amazonaws.com")
    except RoleNotAssumable:
        return True
    return not is_allowed(credentials, action, resource, get_region())


def configuration_of(function: str) -> Properties:
    _, configuration, _ = lambda_svc._get_func_record_for_ref(function)
    if configuration is None:
        raise Refused("ResourceNotFoundException", f"Function not found: {function}")
    return configuration


def check_mapping(mapping: Properties) -> None:
    configuration = configuration_of(mapping["FunctionName"])
    role, source = configuration["Role"], mapping["EventSourceArn"]
    if source.startswith("arn:aws:dynamodb:"):
        if any(lacking(role, "lambda", action, source) for action in STREAM_ACTIONS):
            raise Refused(
                "InvalidParameterValueException",
                f"Cannot access stream {source}. Please ensure the role can perform the GetRecords, GetShardIterator, "
                "DescribeStream, and ListStreams Actions on your stream in IAM.",
            )
    elif source.startswith("arn:aws:sqs:"):
        for action in queue_mapping.ACTIONS:
            if lacking(role, "lambda", action, source):
                raise permission_refused(action)
        visibility = int(sqs._queue_by_arn(source)["attributes"]["VisibilityTimeout"])
        if visibility < int(configuration["Timeout"]):
            raise Refused(
                "InvalidParameterValueException",
                f"Queue visibility timeout: {visibility} seconds is less than "
                f"Function timeout: {configuration['Timeout']} seconds",
            )
    for action, _ in lacking_for_destination(role, mapping):
        raise permission_refused(action)


def permission_refused(action: str) -> Refused:
    service, name = action.split(":")
    return Refused(
        "InvalidParameterValueException",
        f"The function execution role does not have permissions to call {name} on {service.upper()}",
    )


def lacking_for_destination(role_arn: str, settings: Properties) -> list[tuple[str, str]]:
    """The actions that the role may not do on the failure destination, each with the destination."""
    on_failure = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    destination = on_failure.get("Destination")
    if not destination:
        return []
    needed = DESTINATION_ACTIONS[destination.split(":")[2]]
    return [
        (action, destination)
        for action, suffix in needed
        if lacking(role_arn, "lambda", action, f"{destination}{suffix}")
    ]


def check_mapping_update(mapping_uuid: str, changes: Properties) -> None:
    if mapping := lambda_svc._esms.get(mapping_uuid):
        role = configuration_of(mapping["FunctionArn"])["Role"]
        for action, _ in lacking_for_destination(role, changes):
            raise permission_refused(action)


def check_asynchronous(function: str, _qualifier: str | None, settings: Properties) -> None:
    for action, destination in lacking_for_destination(configuration_of(function)["Role"], settings):
        raise Refused(
            "InvalidParameterValueException",
            f"The function's execution role does not have permissions to call {action.split(':')[1]} on {destination}",
        )


def check_network(function: Properties) -> None:
    if not (function.get("VpcConfig") or {}).get("SubnetIds"):
        return
    for action in NETWORK_ACTIONS:
        # These actions are asked for without a resource.
        if lacking(function["Role"], "lambda", action, "*"):
            raise Refused(
                "InvalidParameterValueException",
                f"The provided execution role does not have permissions to call {action.removeprefix('ec2:')} on EC2",
            )


def check_schedule(_name: str, schedule: Properties) -> None:
    role = schedule["Target"]["RoleArn"]
    service = {"iam:PassedToService": "scheduler.amazonaws.com"}
    if not is_caller_allowed("iam:PassRole", role, get_region(), **service):
        raise Refused(
            "AccessDeniedException", f"The caller is not authorized to perform: iam:PassRole on resource: {role}"
        )
    try:
        # The schedule does not exist yet, so a trust policy that names its ARN refuses this.
        assume_role(role, "scheduler.amazonaws.com")
    except RoleNotAssumable:
        message = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        raise Refused("ValidationException", message) from None


def check_logging(role_arn: str, destinations: list[Any] | None) -> None:
    # These actions have no resource.
    if destinations and any(lacking(role_arn, "states", action, "*") for action in LOG_ACTIONS):
        raise Refused(
            "AccessDeniedException", "The state machine IAM Role is not authorized to access the Log Destination"
        )


def check_job_events(role_arn: str, definition: str) -> None:
    if JOB_TASK not in definition:
        return
    rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{JOB_RULE}"
    if any(lacking(role_arn, "states", action, rule) for action in RULE_ACTIONS):
        raise Refused("AccessDeniedException", f"'{role_arn}' is not authorized to create managed-rule.")


def check_state_machine(parameters: Properties) -> None:
    check_logging(parameters["roleArn"], parameters.get("loggingConfiguration", {}).get("destinations"))
    check_job_events(parameters["roleArn"], parameters.get("definition", ""))


def check_state_machine_update(changes: Properties) -> None:
    if machine := stepfunctions._state_machines.get(changes["stateMachineArn"]):
        check_state_machine({"roleArn": machine["roleArn"]} | changes)


def check_state_machine_of_stack(properties: Properties) -> None:
    check_logging(properties["RoleArn"], properties.get("LoggingConfiguration", {}).get("Destinations"))
    check_job_events(properties["RoleArn"], provisioners._sfn_definition(properties))


def check_table_deletion(name: str) -> None:
    if dynamodb._tables.get(name, {}).get("DeletionProtectionEnabled"):
        raise Refused(
            "ValidationException",
            "Resource cannot be deleted as it is currently protected against deletion. "
            "Disable deletion protection first.",
        )


def check_user_pool_deletion(pool_id: str) -> None:
    if cognito._user_pools.get(pool_id, {}).get("DeletionProtection") == "ACTIVE":
        raise Refused("InvalidParameterException", f"The user pool {pool_id} is protected against deletion.")


def install() -> None:
    lambda_svc._create_esm = guarded(lambda_svc._create_esm, check_mapping)
    lambda_svc._update_esm = guarded(lambda_svc._update_esm, check_mapping_update)
    # A stack creates and updates these two through the call.
    lambda_svc._put_event_invoke_config = guarded(lambda_svc._put_event_invoke_config, check_asynchronous)
    stepfunctions._update_state_machine = guarded(stepfunctions._update_state_machine, check_state_machine_update)
    stepfunctions._create_state_machine = guarded(stepfunctions._create_state_machine, check_state_machine)
    scheduler._create_schedule = guarded(scheduler._create_schedule, check_schedule)
    scheduler._update_schedule = guarded(scheduler._update_schedule, check_schedule)
    guard_resource("AWS::Lambda::EventSourceMapping", check_mapping)
    guard_resource("AWS::Lambda::Function", check_network)
    guard_resource("AWS::Scheduler::Schedule", lambda properties: check_schedule("", properties))
    guard_resource("AWS::StepFunctions::StateMachine", check_state_machine_of_stack)
    guard_deletion("AWS::DynamoDB::Table", check_table_deletion)
    guard_deletion("AWS::Cognito::UserPool", check_user_pool_deletion)


def guarded(handle: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """The handler of a call, behind a check that can refuse it."""

    @wraps(handle)
    def handle_or_refuse(*arguments: Any) -> Any:
        try:
            check(*arguments)
        except Refused as refusal:
            return error_response_json(refusal.code, str(refusal), 400)
        return handle(*arguments)

    return handle_or_refuse


def guard_resource(kind: str, check: Callable[[Properties], None]) -> None:
    """Checks a resource that a stack creates or updates; a refusal is the reason in the stack's events."""
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    create, update = handlers["create"], handlers["update"]

    @wraps(create)
    def guarded_create(logical_id: str, properties: Properties, stack_name: str) -> Any:
        check(properties)
        return create(logical_id, properties, stack_name)

    @wraps(update)
    def guarded_update(physical_id: str, old: Properties, new: Properties, *more: Any) -> Any:
        check(new)
        return update(physical_id, old, new, *more)

    provisioners._RESOURCE_HANDLERS[kind] = handlers | {"create": guarded_create, "update": guarded_update}


def guard_deletion(kind: str, check: Callable[[str], None]) -> None:
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    delete = handlers["delete"]

    @wraps(delete)
    def guarded_delete(physical_id: str, *more: Any) -> Any:
        check(physical_id)
        return delete(physical_id, *more)

    provisioners._RESOURCE_HANDLERS[kind] = handlers | {"delete": guarded_delete}
