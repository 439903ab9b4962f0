"""Applications and job runs of EMR Serverless, without an engine.

Quotations are from the EMR Serverless User Guide and its API Reference.
"""

import json
import uuid
from typing import Any

import psutil
import pytest
import requests
from botocore.exceptions import ClientError
from running_cloud import Cloud
from sessions import new_caller
from spark_jobs import APPLICATION, OF_JOBS, Jobs, template


@pytest.fixture
def caller(jobs: Jobs) -> tuple[str, Any]:
    """A role without permissions, and a client of it."""
    return new_caller(jobs.cloud, "emr-serverless")


def processes(script: str) -> list[psutil.Process]:
    return [
        one for one in psutil.process_iter(["cmdline"]) if any(script in word for word in one.info["cmdline"] or [])
    ]


# ---- Applications


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ReleaseLabel": None}, "must have releaseLabel"),
        ({"Type": None}, "must have type"),
        ({"Type": "Hive"}, "of the type Spark"),
        ({"ReleaseLabel": "emr-7.99.0"}, "Release label emr-7.99.0 is not supported"),
        ({"Architecture": "RISCV"}, "must be one of"),
        ({"MaximumCapacity": {"Cpu": "40 cores", "Memory": "160 GB"}}, "must satisfy the pattern"),
        ({"AutoStopConfiguration": {"Enabled": True, "IdleTimeoutMinutes": 0}}, "must be 1 to 10080"),
        ({"Idle": True}, "has no member Idle"),
    ],
)
def test_an_application_that_aws_refuses_fails_its_stack(
    cloud: Cloud, jobs: Jobs, change: dict[str, Any], reason: str
) -> None:
    properties = {name: value for name, value in (APPLICATION | change).items() if value is not None}
    [failure] = cloud.deploy(f"refused-{uuid.uuid4()}", TemplateBody=template(properties))
    assert reason in failure


def test_an_application_with_an_active_job_is_not_deleted(cloud: Cloud, jobs: Jobs) -> None:
    """API_StopApplication: "All scheduled and running jobs must be completed or cancelled before stopping"."""
    job = jobs.start("endless")
    jobs.wait(job, "RUNNING")
    assert jobs.emr.get_application(applicationId=jobs.application)["application"]["state"] == "STARTED"
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="spark")
    cloud.wait_for(lambda: stacks.describe_stacks(StackName="spark")["Stacks"][0]["StackStatus"] == "DELETE_FAILED")
    jobs.emr.cancel_job_run(applicationId=jobs.application, jobRunId=job)
    jobs.wait(job, "CANCELLED")
    assert jobs.emr.get_application(applicationId=jobs.application)["application"]["state"] == "STOPPED"


# ---- Job runs


def test_a_job_runs_its_files_and_logs_with_its_role(jobs: Jobs) -> None:
    job = jobs.start("printing", name="greeting")
    assert jobs.end(job)["state"] == "SUCCESS", jobs.get(job)
    assert jobs.log(job, "stdout") == ["hello a b c"]
    listed = jobs.emr.list_job_runs(applicationId=jobs.application)["jobRuns"]
    assert [(one["name"], one["state"]) for one in listed if one["id"] == job] == [("greeting", "SUCCESS")]


@pytest.mark.parametrize(("action", "resource"), OF_JOBS)
def test_a_job_fails_without_a_permission_of_its_role(jobs: Jobs, action: str, resource: str) -> None:
    jobs.cloud.forbid("spark-job", action)
    try:
        ended = jobs.end(jobs.start("printing"))
    finally:
        jobs.cloud.allow("spark-job", action, resource)
    assert ended["state"] == "FAILED"
    assert "AccessDenied" in ended["stateDetails"]


def test_a_job_that_fails_says_why(jobs: Jobs) -> None:
    ended = jobs.end(job := jobs.start("failing"))
    assert (
        ended["state"],
        ended["stateDetails"].endswith("ExitCode: 1. Last few exceptions: the archive is empty"),
    ) == (
        "FAILED",
        True,
    )
    assert jobs.log(job, "stderr") == ["the archive is empty"]


def test_a_role_that_emr_serverless_cant_assume_fails_the_job(jobs: Jobs) -> None:
    role = jobs.cloud.create_role("of-another-service", "lambda.amazonaws.com")
    assert "does not let emr-serverless" in jobs.end(jobs.start("printing", executionRoleArn=role))["stateDetails"]


def test_cancelling_a_job_ends_its_processes(jobs: Jobs) -> None:
    job = jobs.start("endless")
    jobs.wait(job, "RUNNING")
    jobs.cloud.wait_for(lambda: any(one.children() for one in processes(job)))
    [*_, driver] = processes(job)
    family = [driver, *driver.children(recursive=True)]
    jobs.emr.cancel_job_run(applicationId=jobs.application, jobRunId=job)
    assert jobs.end(job)["state"] == "CANCELLED"
    jobs.cloud.wait_for(lambda: not any(one.is_running() for one in family))
    with pytest.raises(ClientError, match="CANCELLED"):
        jobs.emr.cancel_job_run(applicationId=jobs.application, jobRunId=job)


def test_a_job_is_cancelled_when_its_time_is_over(jobs: Jobs) -> None:
    """API_StartJobRun: "If the job run runs beyond this duration, it will be automatically cancelled"."""
    job = jobs.start("endless", executionTimeoutMinutes=1)
    jobs.wait(job, "RUNNING")
    page = f"{jobs.cloud.endpoint_url}/_local/clock"
    requests.get(page, params={"ahead": 61}, timeout=10).raise_for_status()
    try:
        ended = jobs.end(job)
    finally:
        requests.get(page, params={"ahead": 0}, timeout=10).raise_for_status()
    assert (ended["state"], ended["stateDetails"]) == ("CANCELLED", "The job run timed out after 1 minutes")


# ---- Tokens


def test_a_repeated_token_answers_with_the_first_run(jobs: Jobs) -> None:
    """API_StartJobRun: "Its value must be unique for each request"."""
    token = str(uuid.uuid4())
    first = jobs.start("printing", clientToken=token)
    jobs.end(first)
    assert jobs.start("printing", clientToken=token) == first
    with pytest.raises(ClientError) as refused:
        jobs.start("failing", clientToken=token)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    assert jobs.start("printing", clientToken=str(uuid.uuid4())) != first


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"clientToken": "x" * 65}, "clientToken must be 1 to 64 long"),
        ({"clientToken": "a:b"}, "clientToken must satisfy"),  # pragma: allowlist secret
        ({"executionRoleArn": "arn:aws:iam::000000000000:user/x"}, "executionRoleArn must satisfy"),
        ({"jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/j.py", "sparkSubmitParameters": "--jars x"}}}, "--jars"),
        (
            {
                "jobDriver": {
                    "sparkSubmit": {
                        "entryPoint": "s3://b/j.py",
                        "sparkSubmitParameters": "--conf spark.executor.cores=2 --conf spark.executor.memory=15g",
                    }
                }
            },
            "4 to 16 GB",
        ),
    ],
)
def test_a_wrong_job_is_refused(jobs: Jobs, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as refused:
        jobs.start("printing", **given)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


# ---- Permissions of the caller


def test_a_caller_needs_each_permission(jobs: Jobs, caller: tuple[str, Any]) -> None:
    """Service Authorization Reference, Amazon EMR Serverless: StartJobRun needs iam:PassRole for the job's role."""
    name, client = caller
    arn = jobs.emr.get_application(applicationId=jobs.application)["application"]["arn"]
    with pytest.raises(ClientError, match="emr-serverless:StartJobRun"):
        jobs.start("printing", client)
    jobs.cloud.allow(name, "emr-serverless:StartJobRun", arn)
    with pytest.raises(ClientError, match="iam:PassRole"):
        jobs.start("printing", client)
    jobs.cloud.allow(name, "iam:PassRole", jobs.role)
    job = jobs.start("printing", client)
    with pytest.raises(ClientError, match="emr-serverless:GetJobRun"):
        client.get_job_run(applicationId=jobs.application, jobRunId=job)
    jobs.cloud.allow(name, "emr-serverless:GetJobRun", f"{arn}/jobruns/*")
    assert f"/{name}/" in client.get_job_run(applicationId=jobs.application, jobRunId=job)["jobRun"]["createdBy"]
    with pytest.raises(ClientError, match="emr-serverless:CancelJobRun"):
        client.cancel_job_run(applicationId=jobs.application, jobRunId=job)
    jobs.end(job)


def test_a_role_is_passed_to_emr_serverless_only_if_the_policy_names_it(jobs: Jobs, caller: tuple[str, Any]) -> None:
    name, client = caller
    jobs.cloud.allow(name, "emr-serverless:StartJobRun", "*")
    for service, is_passed in (("lambda", False), ("emr-serverless", True)):
        condition = {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}
        statement = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": jobs.role, "Condition": condition}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        jobs.cloud.client("iam").put_role_policy(RoleName=name, PolicyName="pass", PolicyDocument=document)
        if is_passed:
            jobs.end(jobs.start("printing", client))
        else:
            with pytest.raises(ClientError, match="iam:PassRole"):
                jobs.start("printing", client)
