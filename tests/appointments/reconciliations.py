"""Lost changes, and reconciliations that find them."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from archived import Table, appointments, archived
from stack import Stack, wait_until

# The longest duration of an invocation: the reconciliation waits at least this long between `find` and `confirm`.
GRACE_SECONDS = 10

# Drops a share of the records, except those of one advisor, and passes on the others.
DROPPING_CODE = """
import json, os, random
import boto3

def is_kept(record):
    advisor = record["dynamodb"]["Keys"]["advisor_id"]["S"]
    return advisor == os.environ["KEPT"] or random.random() >= float(os.environ["SHARE"])

def handler(event, context):
    kept = [record for record in event["Records"] if is_kept(record)]
    archive = {"FunctionName": os.environ["ARCHIVE"], "Payload": json.dumps({"Records": kept})}
    return json.loads(boto3.client("lambda").invoke(**archive)["Payload"].read())
"""


@contextmanager
def records_dropped(stack: Stack, share: float, batch_size: int = 10_000) -> Iterator[None]:
    """The stream drives a function that reports all records as archived, and drops this share of them, at random."""
    functions, iam, mapping = stack.client("lambda"), stack.client("iam"), stack.outputs["StreamMappingId"]
    archive = functions.get_function_configuration(FunctionName=stack.outputs["ArchiveAppointmentsFunctionName"])
    name, last = f"{stack.name}-dropping", f"advisor-{uuid.uuid4()}"
    policy = {"RoleName": archive["Role"].rpartition("/")[2], "PolicyName": name}
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": archive["FunctionArn"]}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as package:
        package.writestr("code.py", DROPPING_CODE)
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="code.handler",
        Role=archive["Role"],
        Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"ARCHIVE": archive["FunctionName"], "SHARE": str(share), "KEPT": last}},
        Timeout=60,
    )
    before = functions.get_event_source_mapping(UUID=mapping)["BatchSize"]
    functions.update_event_source_mapping(UUID=mapping, FunctionName=name, BatchSize=batch_size)
    try:
        yield
        # When this record is archived, all earlier ones have been processed: the stream has one shard, and one batch
        # at a time.
        Table(stack).put(appointments(last, 1))
        wait_until(lambda: archived(stack, last) == 1, "the stream has been read", 900)
    finally:
        functions.update_event_source_mapping(UUID=mapping, FunctionName=archive["FunctionName"], BatchSize=before)
        functions.delete_function(FunctionName=name)
        iam.delete_role_policy(**policy)


@contextmanager
def short_invocations(stack: Stack, seconds: int) -> Iterator[None]:
    """The function's time-out is seconds, so it works in several invocations, and the grace period can be as short."""
    functions, name = stack.client("lambda"), stack.outputs["ReconcileArchiveFunctionName"]
    before = functions.get_function_configuration(FunctionName=name)["Timeout"]
    functions.update_function_configuration(FunctionName=name, Timeout=seconds)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Timeout=before)


def start(stack: Stack, **settings: Any) -> str:
    """Starts a reconciliation, and returns its name."""
    name = str(uuid.uuid4())
    stack.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["ReconcileArchiveArn"], name=name, input=json.dumps(settings)
    )
    return name


def execution(stack: Stack, run: str) -> dict[str, Any]:
    arn = stack.outputs["ReconcileArchiveArn"].replace(":stateMachine:", ":execution:")
    return stack.client("stepfunctions").describe_execution(executionArn=f"{arn}:{run}")


def wait_for_end(stack: Stack, run: str, seconds: float = 120) -> dict[str, Any]:
    wait_until(lambda: execution(stack, run)["status"] != "RUNNING", f"the run {run} has ended", seconds)
    return execution(stack, run)


def progress(stack: Stack, run: str) -> dict[str, Any]:
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    try:
        body = s3.get_object(Bucket=bucket, Key=f"reconciliation/{run}/progress.json")["Body"].read()
    except s3.exceptions.NoSuchKey:
        return {"step": None, "missing": 0, "restored_objects": 0}
    return json.loads(body)


def ledger(stack: Stack) -> dict[str, Any]:
    """The ledger's entries, by the keys of their objects."""
    return {entry["object_key"]["S"]: entry for entry in stack.items("LedgerTableName")}
