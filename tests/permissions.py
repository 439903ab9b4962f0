"""Removes each permission from the deployed stack in turn, and finds a test that fails without it.

All tests run in one session of pytest, against one local cloud: a permission is put back before the next one is taken
out. What was found is in docs/<room>/permissions.md, where a later run finds the test to begin with. A room whose tests
leave something behind when they fail puts it right in tests/<room>/clean_up.py.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import stack as stack_module
from _pytest.runner import runtestprotocol
from botocore.exceptions import ClientError
from deployed import physical_ids
from rooms import PROJECT, ROOMS, Room
from stack import Stack

HEADER = ["granted by", "statement", "action", "resource", "without it, this fails"]
NOTHING = "**nothing**"
UNCLEAR = "**unclear** "

# How much longer than ever before a test may wait after the removed permission was refused.
PATIENCE_SECONDS = 5
SECONDS_TO_RECOVER = 90
LONG_SECONDS = 20
SECONDS_OF_POLLING = 3

POLICIES = {
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SQS::QueuePolicy": "Queues",
}
# The rooms whose templates permit something.
GRANTING = [room for room in ROOMS if room.of_type("AWS::IAM::Role", *POLICIES)]
# What permits a service to invoke a function: one that SAM writes for the function's event, or one of the template.
INVOCATIONS = ["AWS::Lambda::Permission", "AWS::Serverless::Function"]
# Events of a function for which SAM writes no permission, because Lambda polls these sources.
POLLED_EVENTS = {"DynamoDB", "Kinesis", "SQS"}


class Reason(NamedTuple):
    """Why a permission is kept although no test in the local cloud can need it."""

    name: str
    applies: str
    """A regular expression for ``Permission.__str__``."""
    why: str
    url: str


LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg"
STATES = "https://docs.aws.amazon.com/step-functions/latest/dg"
REASONS = [
    Reason(
        "access logs",
        r"AmazonAPIGatewayPushToCloudWatchLogs$",
        "API Gateway writes access logs with the role that the account's settings name; the local cloud writes none.",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html",
    ),
    Reason(
        "alarms",
        r"^\w+ \w+ sns:Publish \w+ for cloudwatch$",
        "An alarm publishes to the topic; the local cloud has no metrics of functions and queues that would raise one.",
        "https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html",
    ),
    Reason(
        "child executions",
        r"^\w+ \w+ states:(DescribeExecution|RedriveExecution|StopExecution) execution:",
        "Step Functions follows, stops and redrives the children of a distributed map with the role; "
        "the local cloud runs them inside their parent.",
        f"{STATES}/iam-policies-eg-dist-map.html",
    ),
    Reason(
        "gradual deployments",
        r"^\w+DeploymentsRole ",
        "CodeDeploy moves an alias from version to version with the role; the local cloud has no CodeDeploy.",
        "https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambdaLimited.html",
    ),
    Reason(
        "job events",
        r"^\w+ \w+ events:(DescribeRule|PutRule|PutTargets) rule/StepFunctionsGetEventsFor\w+$",
        "Step Functions asks for these permissions when it creates a state machine that waits for jobs, and so does "
        "the local cloud: without them there is no stack to test.",
        f"{STATES}/emr-serverless-iam.html",
    ),
    Reason(
        "files of Spark",
        r"^\w+ WriteAnswers s3:(GetObject \w+/answers|DeleteObject \w+/(answers|compacting))/\*$",
        "Spark looks whether a file is there before it writes one, and deletes its temporary files; the local cloud's "
        "Sail does neither.",
        "https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/committers.html",
    ),
    Reason(
        "streams",
        r"^\w+ \w+ dynamodb:ListStreams ",
        "Lambda asks for this permission when it creates a mapping of a stream, and so does the local cloud: "
        "without it there is no stack to test.",
        "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
        "iam-policy-example-lamda-process-dynamodb-streams.html",
    ),
    Reason(
        "functions in networks",
        r"^\w+ JoinNetwork ec2:\w+ \*$",
        "Lambda asks for these permissions when it connects a function to a network, and so does the local cloud: "
        "without them there is no stack to test.",
        f"{LAMBDA}/configuration-vpc.html",
    ),
    Reason(
        "function logs",
        r"^(\w+)Role \w+ logs:(CreateLogStream|PutLogEvents) \1Logs$",
        "Lambda writes a function's logs with the function's role; the local cloud writes them itself.",
        f"{LAMBDA}/monitoring-cloudwatchlogs.html",
    ),
    Reason(
        "function traces",
        r"^\w+ \w+ xray:Put(TraceSegments|TelemetryRecords) \*$",
        "The X-Ray daemon sends the segments of functions and state machines with their role; "
        "the local cloud's go to a collector.",
        f"{LAMBDA}/services-xray.html",
    ),
    Reason(
        "workflow traces",
        r"^\w+ \w+ xray:GetSampling(Rules|Targets) \*$",
        "Step Functions asks X-Ray with the role which executions to trace; the local cloud traces all.",
        f"{STATES}/xray-iam.html",
    ),
    Reason(
        "workflow logs",
        r"^\w+ DeliverLogs logs:\w+ \*$",
        "Step Functions asks for these permissions when it creates a state machine that logs, and so does the local "
        "cloud: without them there is no stack to test.",
        f"{STATES}/cw-logs.html",
    ),
]


class Permission(NamedTuple):
    """One action on one resource, allowed by a statement of a role or of a resource's policy."""

    room: Room
    granted_by: str
    """The logical id of a role, of a resource's policy, or of a function."""
    policy: str
    """The name of a role's policy; empty for others."""
    statement: str
    number: int
    """The position of this permission among those of the statement."""
    action: str
    resource: str
    """The permission's name for readers, with the principal of a resource's policy."""

    def __str__(self) -> str:
        return " ".join((self.granted_by, self.statement, self.action, self.resource))

    @property
    def grantor(self) -> dict[str, Any]:
        return self.room.resources[self.granted_by]

    def row(self) -> tuple[str, str, str, str]:
        return self.granted_by, self.statement, self.action, self.resource

    def reason(self) -> Reason | None:
        return next((reason for reason in REASONS if re.search(reason.applies, str(self))), None)


# ---- The template's permissions


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def parts(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """The statement split into several, each with one action, one resource and one source."""
    condition = statement.get("Condition", {})
    sources = [
        (operator, source)
        for operator, keys in condition.items()
        for key, values in keys.items()
        if key.lower() == "aws:sourcearn"
        for source in as_list(values)
    ]
    several = []
    for action, resource, source in product(
        as_list(statement["Action"]), as_list(statement["Resource"]), sources or [None]
    ):
        part = {name: value for name, value in statement.items() if name != "Sid"}
        part |= {"Action": action, "Resource": resource}
        if source:
            part["Condition"] = condition | {source[0]: condition[source[0]] | {"aws:SourceArn": source[1]}}
        several.append(part)
    return several


def source_of(part: dict[str, Any]) -> Any:
    return next((keys["aws:SourceArn"] for keys in part.get("Condition", {}).values() if "aws:SourceArn" in keys), None)


def is_from(use: dict[str, Any], source: str | None) -> bool:
    """Whether a use has this source, which can be a pattern. Without a source, any use has it."""
    return source is None or fnmatchcase(use["source"] or "", source)


def named(value: Any) -> str:
    """A resource of a statement, by its name in the template."""
    if isinstance(value, dict):
        [(function, argument)] = value.items()
        if function == "Ref":
            return argument
        if function == "Fn::GetAtt":
            return as_list(argument)[0].partition(".")[0]
        if function == "Fn::Sub":
            text = re.sub(r"^arn:.*?:\$\{AWS::AccountId\}:", "", as_list(argument)[0])
            return re.sub(r"\$\{(?:AWS::)?(\w+)(?:\.\w+)?\}", r"\1", text)
    return value if isinstance(value, str) else json.dumps(value)


def statements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of a policy in a template, also those that a condition adds."""
    for statement in as_list(document["Statement"]):
        _, *branches = statement.get("Fn::If", ("", statement))
        yield from (branch for branch in branches if "Effect" in branch)


def permissions(room: Room) -> list[Permission]:
    """All permissions of a room's template, in its order."""
    found = []
    for name, resource in room.resources.items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        documents = []
        if kind == "AWS::IAM::Role":
            documents = [(policy["PolicyName"], policy["PolicyDocument"]) for policy in properties.get("Policies", [])]
            # AWS's managed policies have no statements of ours.
            found += [
                Permission(room, name, "", "managed policy", 0, "*", named(arn).rpartition("/")[2])
                for arn in properties.get("ManagedPolicyArns", [])
            ]
        elif kind in POLICIES:
            documents = [("", properties["PolicyDocument"])]
        elif kind == "AWS::Serverless::Function":
            found += [
                Permission(room, name, "", event, 0, "lambda:InvokeFunction", f"{name} for its event")
                for event, source in properties.get("Events", {}).items()
                if source["Type"] not in POLLED_EVENTS
            ]
        elif kind == "AWS::Lambda::Permission":
            function, service = named(properties["FunctionName"]), properties["Principal"].partition(".")[0]
            found.append(Permission(room, name, "", "permission", 0, properties["Action"], f"{function} for {service}"))
        # An endpoint's policy only limits what passes through it.
        elif "PolicyDocument" in properties and kind != "AWS::EC2::VPCEndpoint":
            raise ValueError(f"{name}: tests/permissions.py does not know what a {kind} permits")
        for policy, document in documents:
            for statement in statements(document):
                if statement["Effect"] != "Allow":
                    continue
                for number, part in enumerate(parts(statement)):
                    source, service = source_of(part), part.get("Principal", {}).get("Service", "").partition(".")[0]
                    user = f" for {named(source) if source else service}" if service else ""
                    where = named(part["Resource"]) + user
                    found.append(Permission(room, name, policy, statement["Sid"], number, part["Action"], where))
    return found


# ---- The table


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def page(room: Room) -> Path:
    return PROJECT / "docs" / room.name / "permissions.md"


def listed(room: Room) -> dict[tuple[str, ...], str]:
    """The rows of docs/<room>/permissions.md."""
    if not page(room).exists():
        return {}
    rows = [line[2:-2].split(" | ") for line in page(room).read_text().splitlines() if line.startswith("| ")]
    plain = [[text.replace("\\|", "|").replace("`", "") for text in row] for row in rows]
    return {tuple(row[:4]): row[4] for row in plain if len(row) == len(HEADER) and row != HEADER}


def write(room: Room, found: dict[tuple[str, ...], str]) -> None:
    """Writes a room's table of permissions, with the tests found so far."""
    lines = [f"# Permissions of {room}", "", "Written by `make permissions`: [permissions.md](../permissions.md).", ""]
    lines += ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    reasons = []
    for permission in permissions(room):
        reason = permission.reason()
        needed_by = f"[{reason.name}]" if reason else found.get(permission.row())
        if needed_by is None:
            continue
        if reason:
            reasons.append(reason)
        code = needed_by if needed_by.startswith(("[", "*")) else f"`{needed_by}`"
        granted_by, statement, action, resource = map(cell, permission.row())
        lines.append(f"| {granted_by} | {statement} | `{action}` | `{resource}` | {cell(code)} |")
    used = [reason for reason in REASONS if reason in reasons]
    if used:
        lines += ["", "## What no local test can need", ""]
        lines += [f"- [{reason.name}]: {reason.why}" for reason in used]
        lines += [""] + [f"[{reason.name}]: {reason.url}" for reason in used]
    page(room).write_text("\n".join(lines) + "\n")


# ---- The deployed permissions


@dataclass
class Document:
    """A policy of the deployed stack."""

    read: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any]], Any]
    """Gets a document with at least one statement."""
    delete: Callable[[], Any]


class Deployed:
    """The stack, with the rights to change its policies."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        # A stack beside the root may be deployed later, by the fixture of its tests.
        self.physical_ids = cache(lambda room: physical_ids(stack, room.name))
        self.part = cache(self._part)

    def id_of(self, permission: Permission) -> str:
        """The physical id of the resource that grants a permission."""
        return self.physical_ids(permission.room)[permission.granted_by]

    def document(self, permission: Permission) -> Document:
        resource = permission.grantor
        if resource["Type"] == "AWS::IAM::Role":
            iam, name = self.stack.client("iam"), self.id_of(permission)
            policy = {"RoleName": name, "PolicyName": permission.policy}
            return Document(
                lambda: iam.get_role_policy(**policy)["PolicyDocument"],
                lambda document: iam.put_role_policy(**policy, PolicyDocument=json.dumps(document)),
                lambda: iam.delete_role_policy(**policy),
            )
        if resource["Type"] in INVOCATIONS:
            function = named(resource["Properties"]["FunctionName"])
            return self._function(self.physical_ids(permission.room).get(function) or self.id_of(permission))
        [target] = as_list(resource["Properties"][POLICIES[resource["Type"]]])
        name = self.physical_ids(permission.room)[target["Ref"]]
        if resource["Type"] == "AWS::S3::BucketPolicy":
            s3 = self.stack.client("s3")
            return Document(
                lambda: json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]),
                lambda document: s3.put_bucket_policy(Bucket=name, Policy=json.dumps(document)),
                lambda: s3.delete_bucket_policy(Bucket=name),
            )
        if resource["Type"] == "AWS::SQS::QueuePolicy":
            sqs = self.stack.client("sqs")

            def set_policy(text: str) -> None:
                sqs.set_queue_attributes(QueueUrl=name, Attributes={"Policy": text})

            def policy_of_queue() -> dict[str, Any]:
                attributes = sqs.get_queue_attributes(QueueUrl=name, AttributeNames=["Policy"])["Attributes"]
                return json.loads(attributes["Policy"])

            return Document(policy_of_queue, lambda document: set_policy(json.dumps(document)), lambda: set_policy(""))
        raise ValueError(f"{permission}: no test can need it; say why in REASONS")

    def _function(self, name: str) -> Document:
        functions = self.stack.client("lambda")

        def read() -> dict[str, Any]:
            return json.loads(functions.get_policy(FunctionName=name)["Policy"])

        def add(document: dict[str, Any]) -> None:
            [statement] = document["Statement"]
            functions.add_permission(
                FunctionName=name,
                StatementId=statement["Sid"],
                Action=statement["Action"],
                Principal=statement["Principal"]["Service"],
                SourceArn=next(iter(statement["Condition"].values()))["AWS:SourceArn"],
            )

        def remove() -> None:
            functions.remove_permission(FunctionName=name, StatementId=read()["Statement"][0]["Sid"])

        return Document(read, add, remove)

    def _part(self, permission: Permission) -> dict[str, Any]:
        """The permission as it is deployed."""
        document = self.document(permission).read()
        [*_, statement] = [
            statement
            for statement in document["Statement"]
            if statement.get("Sid") == permission.statement or permission.grantor["Type"] in INVOCATIONS
        ]
        return parts(statement)[permission.number]

    @contextmanager
    def without(self, permission: Permission) -> Iterator[None]:
        """Removes a permission in this context."""
        # Kept in the cache: while it is removed, it can't be read.
        self.part(permission)
        document = self.document(permission)
        whole = document.read()
        left = []
        for statement in whole["Statement"]:
            several = [statement]
            if statement.get("Sid") == permission.statement:
                several = parts(statement)
                del several[permission.number]
            left += several
        if left and permission.grantor["Type"] not in INVOCATIONS:
            document.write(whole | {"Statement": left})
        else:
            document.delete()
        try:
            yield
        finally:
            document.write(whole)

    def used(self) -> list[dict[str, Any]]:
        """The allowed and refused uses since the last call, as the local cloud records them."""
        endpoint = self.stack.client("iam").meta.endpoint_url
        return requests.get(f"{endpoint}/_local/permissions", timeout=30).json()

    def watch_idle(self) -> None:
        """Records the uses of pollers, which happen all the time and say nothing about a test."""
        self.used()
        time.sleep(SECONDS_OF_POLLING)
        self.idle = self.used()

    def is_used(self, permission: Permission, uses: list[dict[str, Any]]) -> bool:
        """Whether a test used a permission. A poller's counts if the test also used others of the poller's role."""
        part = self.part(permission)
        role, source = self.id_of(permission) if permission.policy else None, source_of(part)
        of_role = [use for use in uses if use["allowed"] and role in (None, use["principal"])]
        used = [
            use
            for use in of_role
            if (use["action"], use["resource"]) == (part["Action"], part["Resource"]) and is_from(use, source)
        ]
        return any(use not in self.idle or any(other not in self.idle for other in of_role) for use in used)

    def is_refused(self, permission: Permission, uses: list[dict[str, Any]]) -> bool:
        """Whether this permission was missing: neither the role's policies nor the resource's granted it."""
        part = self.part(permission)
        role, source = self.id_of(permission) if permission.policy else None, source_of(part)
        of_action = [
            use
            for use in uses
            if use["action"] == part["Action"] and role in (None, use["principal"]) and is_from(use, source)
        ]
        # The policy of a key allows "*", and leaves it to the role's own policies.
        is_any = part["Resource"] == "*"
        allowed = [use["resource"] for use in of_action if use["allowed"] and (is_any or use["resource"] != "*")]
        return any(
            fnmatchcase(use["resource"], part["Resource"])
            and not any(fnmatchcase(use["resource"], pattern) for pattern in allowed)
            for use in of_action
            if not use["allowed"]
        )

    def clean_up(self, item: pytest.Item) -> None:
        """Repairs the damage of a failed test."""
        for room in GRANTING:
            if module := room.module("clean_up"):
                module.clean_up(self.stack, item)
        sqs = self.stack.client("sqs")
        for room in GRANTING:
            try:
                ids = self.physical_ids(room)
            except ClientError:
                # A stack beside the root is deployed by its own tests.
                continue
            for name in room.of_type("AWS::SQS::Queue"):
                sqs.purge_queue(QueueUrl=ids[name])


# ---- The tests


@dataclass
class Green:
    """A test that has passed with all permissions."""

    item: pytest.Item
    seconds: float
    longest_wait: float
    uses: list[dict[str, Any]]
    passed_again: bool = False


class Mutations:
    """A plugin of pytest, which chooses the order of the tests, and runs each as often as needed."""

    def __init__(self, wanted: list[Permission]) -> None:
        self.wanted = wanted
        self.found = {room: listed(room) for room in GRANTING}
        # The removed permission, and the longest wait of the test that runs without it.
        self.tried: tuple[Permission, float] | None = None
        self.refused_at: float | None = None
        self.longest_wait = 0.0
        self.green: list[Green] = []
        self._wait_until = stack_module.wait_until
        # Before the tests import it.
        stack_module.wait_until = self.wait_until

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        started = time.monotonic()

        def is_over() -> bool:
            if condition():
                return True
            if self.tried and self.is_hopeless():
                raise TimeoutError(f"a permission was refused, and it did not happen: {what}")
            return False

        try:
            self._wait_until(is_over, what, seconds)
        finally:
            self.longest_wait = max(self.longest_wait, time.monotonic() - started)

    def is_hopeless(self) -> bool:
        """Whether the permission was refused, and more time has passed since than the test ever waits with it."""
        permission, longest_wait = self.tried
        if self.refused_at is None and self.deployed.is_refused(permission, self.deployed.used()):
            self.refused_at = time.monotonic()
        return self.refused_at is not None and time.monotonic() - self.refused_at > PATIENCE_SECONDS + longest_wait

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "stack" in item.fixturenames and not item.get_closest_marker("large")]

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        result = yield
        if fixturedef.argname == "stack":
            self.deployed = Deployed(result)
        return result

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        self.say = session.config.pluginmanager.getplugin("terminalreporter").write_line
        wanted = [permission for permission in self.wanted if not permission.reason()]
        remembered = {self.remembered(permission) for permission in wanted}
        # First the tests that the table names; then each test with its first parameters, with its second ones, and so
        # on.
        names = [item.originalname for item in self.items]
        turn = {item: names[:place].count(item.originalname) for place, item in enumerate(self.items)}
        self.pending = sorted(self.items, key=lambda item: (test_of(item) not in remembered, turn[item]))
        # The first test starts the stack.
        self.run_pending()
        self.deployed.watch_idle()
        for place, permission in enumerate(wanted, 1):
            needed_by = self.needed_by(permission)
            self.found[permission.room][permission.row()] = needed_by
            write(permission.room, self.found[permission.room])
            self.say(f"{place}/{len(wanted)} {permission.room} {permission}: {needed_by}")
            session.testsfailed += needed_by.startswith("*")
        return True

    def remembered(self, permission: Permission) -> str:
        """The test that the table names, even if it failed before and did not pass again."""
        return self.found[permission.room].get(permission.row(), "").removeprefix(UNCLEAR)

    def run(self, item: pytest.Item) -> tuple[str, str, float]:
        """Whether the test passed, failed or was skipped, its errors, and its duration in seconds."""
        # As if the next test were in another folder, so that only the stack is kept: the next one may be in any.
        elsewhere = next(other for other in self.items if other.path.parent != item.path.parent)
        reports = runtestprotocol(item, log=False, nextitem=elsewhere)
        errors = "\n".join(report.longreprtext for report in reports if report.failed)
        outcomes = {report.outcome for report in reports}
        outcome = next(outcome for outcome in ("failed", "skipped", "passed") if outcome in outcomes)
        return outcome, errors, sum(report.duration for report in reports if report.when == "call")

    def run_pending(self) -> Green | None:
        """Runs the next test with all permissions."""
        item, self.longest_wait = self.pending.pop(0), 0.0
        outcome, errors, seconds = self.run(item)
        uses = self.deployed.used()
        self.say(f"    {outcome} in {seconds:.1f} s, longest wait {self.longest_wait:.1f} s: {test_of(item)}")
        if outcome != "passed":
            self.say(errors[-2000:])
            return None
        self.green.append(Green(item, seconds, self.longest_wait, uses))
        return self.green[-1]

    def candidates(self, permission: Permission) -> Iterator[Green]:
        """The tests that use a permission: first the one of the table, then fast ones, then those not yet run."""
        remembered = self.remembered(permission)

        def order(green: Green) -> tuple[bool, int, bool]:
            name = test_of(green.item)
            return name != remembered, round(green.seconds), "[" in name

        for green in sorted(self.green, key=order):
            if self.deployed.is_used(permission, green.uses):
                yield green
        while self.pending:
            green = self.run_pending()
            if green and self.deployed.is_used(permission, green.uses):
                yield green

    def needed_by(self, permission: Permission) -> str:
        """The name of a test that fails without a permission and passes with it."""
        for green in self.candidates(permission):
            with self.deployed.without(permission):
                self.deployed.used()
                self.tried, self.refused_at = (permission, green.longest_wait), None
                outcome, errors, _ = self.run(green.item)
                self.tried = None
                is_refused = self.refused_at or self.deployed.is_refused(permission, self.deployed.used())
            if outcome != "failed":
                continue
            if not self.recovers(green):
                return UNCLEAR + test_of(green.item)
            if is_refused:
                return test_of(green.item)
            self.say(f"    fails, but nothing was refused: {test_of(green.item)}: {errors[-300:]}")
        return NOTHING

    def recovers(self, green: Green) -> bool:
        """Whether the test passes with the permission restored. A long test that did so once is not run again."""
        deadline = time.monotonic() + SECONDS_TO_RECOVER
        while time.monotonic() < deadline:
            self.deployed.clean_up(green.item)
            if green.passed_again and green.seconds > LONG_SECONDS:
                return True
            outcome, errors, _ = self.run(green.item)
            if outcome == "passed":
                green.passed_again = True
                return True
            self.say(f"    still fails: {test_of(green.item)}: {errors[-300:]}")
        return False


def test_of(item: pytest.Item) -> str:
    """The name of a test in the tables."""
    return f"{item.path.relative_to(PROJECT / 'tests').with_suffix('')}.{item.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", help="try only what this role, or this policy, permits")
    parser.add_argument("--new", action="store_true", help="try only what the table does not have")
    arguments = parser.parse_args()
    known = {room: listed(room) for room in GRANTING}
    wanted = [
        permission
        for room in GRANTING
        for permission in permissions(room)
        if arguments.role in (None, permission.granted_by)
        and not (arguments.new and not known[room].get(permission.row(), NOTHING).startswith("*"))
    ]
    if not wanted:
        sys.exit("There is nothing to try.")
    for room in GRANTING:
        write(room, known[room])
    if all(permission.reason() for permission in wanted):
        return
    sys.exit(pytest.main(["tests", "-q", "-p", "no:cacheprovider"], plugins=[Mutations(wanted)]))


if __name__ == "__main__":
    main()
