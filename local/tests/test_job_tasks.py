"""State machines that run jobs of EMR Serverless, and redrives.

Unless it says otherwise, a quotation is from the Step Functions Developer Guide.
"""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import REGION, Cloud
from spark_jobs import BUCKET, Jobs

RULE = f"arn:aws:events:{REGION}:*:rule/StepFunctionsGetEventsForEMRServerlessJobRule"
# "IAM policies for Amazon EMR Serverless", StartJobRun, Run a Job.
OF_RULE = ("events:DescribeRule", "events:PutRule", "events:PutTargets")
OF_JOB = ("emr-serverless:StartJobRun", "iam:PassRole", "emr-serverless:GetJobRun", "emr-serverless:CancelJobRun")


def state_machine(cloud: Cloud, states: dict[str, Any], without: str = "") -> str:
    """The ARN of a state machine whose role has the permissions for jobs, without one of them."""
    name = f"job-{uuid.uuid4()}"
    role = cloud.create_role(name, "states.amazonaws.com")
    for action in (*OF_JOB, *OF_RULE):
        if action != without:
            cloud.allow(name, action, RULE if action in OF_RULE else "*")
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    created = cloud.client("stepfunctions").create_state_machine(
        name=name, roleArn=role, definition=json.dumps(definition)
    )
    return created["stateMachineArn"]


def job(jobs: Jobs, script: str, **fields: Any) -> dict[str, Any]:
    """A task that runs a script."""
    submit = {
        "EntryPoint": f"s3://{BUCKET}/{script}.py",
        "SparkSubmitParameters": f"--py-files s3://{BUCKET}/words.py",
    }
    arguments = {
        "ApplicationId": jobs.application,
        "ExecutionRoleArn": jobs.role,
        "ClientToken": "{% $states.context.Execution.Name & '-' & $string($states.context.Execution.RedriveCount) %}",
        "JobDriver": {"SparkSubmit": submit},
    }
    resource = "arn:aws:states:::emr-serverless:startJobRun.sync"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True} | fields


class Execution:
    def __init__(self, jobs: Jobs, machine: str) -> None:
        self.jobs, self.workflows = jobs, jobs.cloud.client("stepfunctions")
        self.name = f"run-{uuid.uuid4().hex}"
        self.arn = self.workflows.start_execution(stateMachineArn=machine, name=self.name)["executionArn"]

    def describe(self) -> dict[str, Any]:
        return self.workflows.describe_execution(executionArn=self.arn)

    def end(self) -> dict[str, Any]:
        self.jobs.cloud.wait_for(lambda: self.describe()["status"] != "RUNNING")
        return self.describe()

    def runs(self) -> list[str]:
        """The ids of its job runs, the newest first."""
        listed = self.jobs.emr.list_job_runs(applicationId=self.jobs.application)["jobRuns"]
        of_all = [self.jobs.get(one["id"]) for one in listed]
        return [one["jobRunId"] for one in of_all if self.name in json.dumps(one["tags"])]


def started(execution: Execution) -> str:
    """The id of its running job."""
    execution.jobs.cloud.wait_for(lambda: bool(execution.runs()))
    [run, *_] = execution.runs()
    execution.jobs.wait(run, "RUNNING")
    return run


def tagged(task: dict[str, Any]) -> dict[str, Any]:
    task["Arguments"]["Tags"] = {"execution": "{% $states.context.Execution.Name %}"}
    return task


# ---- Jobs


def test_a_task_has_the_job_as_its_result(jobs: Jobs) -> None:
    output = "{% [$states.result.State, $states.result.JobDriver.SparkSubmit.EntryPoint] %}"
    ended = Execution(jobs, state_machine(jobs.cloud, {"Run": job(jobs, "printing", Output=output)})).end()
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]) == ["SUCCESS", f"s3://{BUCKET}/printing.py"]


def test_a_task_fails_with_its_job(jobs: Jobs) -> None:
    ended = Execution(jobs, state_machine(jobs.cloud, {"Run": job(jobs, "failing")})).end()
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(ended["cause"])["StateDetails"].endswith("the archive is empty")


def test_stopping_an_execution_cancels_its_job(jobs: Jobs) -> None:
    execution = Execution(jobs, state_machine(jobs.cloud, {"Run": tagged(job(jobs, "endless"))}))
    run = started(execution)
    execution.workflows.stop_execution(executionArn=execution.arn)
    assert jobs.end(run)["state"] == "CANCELLED"
    assert execution.describe()["status"] == "ABORTED"


def test_a_task_that_times_out_cancels_its_job(jobs: Jobs) -> None:
    task = tagged(job(jobs, "endless", TimeoutSeconds=3))
    execution = Execution(jobs, state_machine(jobs.cloud, {"Run": task}))
    assert execution.end()["error"] == "States.Timeout"
    [run] = execution.runs()
    assert jobs.end(run)["state"] == "CANCELLED"


def test_a_job_goes_on_if_the_role_may_not_cancel_it(jobs: Jobs) -> None:
    machine = state_machine(jobs.cloud, {"Run": tagged(job(jobs, "endless"))}, "emr-serverless:CancelJobRun")
    execution = Execution(jobs, machine)
    run = started(execution)
    execution.workflows.stop_execution(executionArn=execution.arn)
    assert jobs.get(run)["state"] == "RUNNING"
    jobs.emr.cancel_job_run(applicationId=jobs.application, jobRunId=run)
    jobs.end(run)


@pytest.mark.parametrize("action", OF_JOB[:3])
def test_a_task_fails_without_a_permission(jobs: Jobs, action: str) -> None:
    ended = Execution(jobs, state_machine(jobs.cloud, {"Run": job(jobs, "printing")}, action)).end()
    assert (ended["status"], ended["error"]) == ("FAILED", "EMRServerless.AWSEMRServerlessException")
    assert action in ended["cause"]


@pytest.mark.parametrize("action", OF_RULE)
def test_a_state_machine_whose_role_may_not_make_the_rule_is_refused(jobs: Jobs, action: str) -> None:
    with pytest.raises(ClientError, match="is not authorized to create managed-rule"):
        state_machine(jobs.cloud, {"Run": job(jobs, "printing")}, action)


# ---- Redrives


def test_a_redrive_begins_at_the_state_that_failed(jobs: Jobs) -> None:
    """API_RedriveExecution: it "continues the failed execution from the unsuccessful step and uses the same input"."""
    states = {
        "First": {"Type": "Pass", "Assign": {"seen": "{% $uuid() %}"}, "Output": "kept", "Next": "Second"},
        "Second": tagged(job(jobs, "later", End=False, Next="Third", Output="{% $states.input %}")),
        "Third": {
            "Type": "Pass",
            "Output": {
                "seen": "{% $seen %}",
                "input": "{% $states.input %}",
                "redrives": "{% $states.context.Execution.RedriveCount %}",
            },
            "End": True,
        },
    }
    del states["Second"]["End"]
    execution = Execution(jobs, state_machine(jobs.cloud, states))
    failed = execution.end()
    assert (failed["status"], failed["redriveCount"], failed["redriveStatus"]) == ("FAILED", 0, "REDRIVABLE")
    jobs.cloud.client("s3").put_object(Bucket=BUCKET, Key="later.py", Body="print('now')\n")
    execution.workflows.redrive_execution(executionArn=execution.arn)
    ended = execution.end()
    assert (ended["status"], ended["redriveCount"]) == ("SUCCEEDED", 1), ended
    output = json.loads(ended["output"])
    assert (output["input"], output["redrives"], len(output["seen"])) == ("kept", 1, 36)
    events = execution.workflows.get_execution_history(executionArn=execution.arn)["events"]
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    assert entered == ["First", "Second", "Second", "Third"]
    # The token has the number of the redrive.
    assert len(execution.runs()) == 2


def test_an_execution_that_runs_or_has_succeeded_is_not_redriven(jobs: Jobs) -> None:
    machine = state_machine(jobs.cloud, {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}})
    execution = Execution(jobs, machine)
    with pytest.raises(ClientError, match="cannot be redriven"):
        execution.workflows.redrive_execution(executionArn=execution.arn)
    execution.workflows.stop_execution(executionArn=execution.arn)
    succeeded = Execution(jobs, state_machine(jobs.cloud, {"Pass": {"Type": "Pass", "End": True}}))
    assert succeeded.end()["redriveStatus"] == "NOT_REDRIVABLE"
    with pytest.raises(ClientError, match="cannot be redriven"):
        succeeded.workflows.redrive_execution(executionArn=succeeded.arn)
