"""The workflow, deployed: it publishes, checks and reports, with the files that EMR Serverless runs."""

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import engines
import pytest
import room_modules
from deployed import physical_ids, run_schedule_now
from deployed_insights import STAND_IN, Execution, Insights
from faults import denied_to_role
from rooms import DEPLOYED, PROJECT
from stack import wait_until

# Six days, long closed. Each has several objects.
EXAMPLE = {"rows": 300, "days": 6, "start": "2025-10-06", "rows_per_object": 3}
DAYS = [f"2025-10-{day:02}" for day in range(6, 12)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    engines.example_archive(tmp_path, **EXAMPLE)
    return tmp_path


def rows(root: Path) -> list[tuple[Any, ...]]:
    source = f"read_parquet('{root}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    columns = "* REPLACE (event_time::TIMESTAMP AS event_time, starts_at::TIMESTAMP AS starts_at)"
    return duckdb.sql(f"SELECT {columns} FROM {source} ORDER BY ALL").fetchall()


def published(insights: Insights, place: Path) -> list[str]:
    """Downloads the compacted days, and returns them."""
    objects = insights.objects("compacted/")
    for key, body in objects.items():
        path = place / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return sorted(key.split("dt=")[1].split("/")[0] for key in objects)


def test_the_root_exports_what_the_archive_of_these_tests_does() -> None:
    outputs = [output for room in DEPLOYED for output in room.template.get("Outputs", {}).values()]
    exported = {output["Export"]["Name"]["Fn::Sub"] for output in outputs if "Export" in output}
    assert {f"${{RootStackName}}-{name}" for name in STAND_IN["Outputs"]} <= exported


def test_the_bucket_has_the_jobs_byte_for_byte(insights: Insights) -> None:
    files = {f"jobs/{path.name}": path.read_bytes() for path in engines.JOBS.glob("*.py")}
    assert insights.objects("jobs/") == files


def test_an_execution_publishes_all_days_finds_no_difference_and_makes_a_page(
    insights: Insights, root: Path, tmp_path: Path
) -> None:
    insights.load(root)
    execution = insights.start()
    output = execution.succeeded()
    assert output == {"page": f"answers/{execution.name}/report.html", "differences": 0, "problems": 0}
    assert published(insights, tmp_path / "published") == DAYS
    assert rows(tmp_path / "published") == rows(root / "appointments")
    assert [day["dt"] for day in execution.answer("compact")["days"]] == DAYS
    assert execution.answer("check")["differences"] == []
    assert execution.answer("report")["rows"] == len(rows(root / "appointments"))
    assert "<svg" in execution.page()
    # The originals stay.
    assert len(insights.objects("appointments/", insights.archive)) == len(list(root.glob("appointments/**/*.parquet")))


def test_faults_are_named_and_a_day_that_has_one_is_not_published(
    insights: Insights, root: Path, tmp_path: Path
) -> None:
    engines.plant(root, {DAYS[1]: "damaged object", DAYS[2]: "removed row", DAYS[3]: "empty day"})
    insights.load(root)
    execution = insights.start()
    output = execution.succeeded()
    assert published(insights, tmp_path) == [DAYS[0], *DAYS[4:]]
    compact, check, report = (execution.answer(job) for job in ("compact", "check", "report"))
    assert [one["dt"] for one in compact["left_out"]] == DAYS[1:4]
    [damaged, empty] = report["problems"]
    assert (damaged["kind"], empty) == ("object left out", {"kind": "empty day", "what": DAYS[3]})
    assert damaged["what"].startswith(f"dt={DAYS[1]}/")
    assert {one["dt"] for one in check["differences"] if "dt" in one} == set(DAYS[1:4])
    assert output["differences"] == len(check["differences"])
    assert DAYS[3] in execution.page()


def test_stopping_an_execution_cancels_its_job_and_a_retry_would_have_got_the_same_one(
    insights: Insights, root: Path
) -> None:
    insights.load(root)
    execution = insights.start()
    running = execution.running_job()
    job = insights.job(running)
    # What Step Functions sends if it has lost the answer: the token is that of the state.
    token = hashlib.sha256(f"{execution.arn}Compact0".encode()).hexdigest()
    again = insights.emr.start_job_run(
        applicationId=insights.application,
        clientToken=token,
        executionRoleArn=job["executionRole"],
        name=job["name"],
        jobDriver=job["jobDriver"],
        executionTimeoutMinutes=job["executionTimeoutMinutes"],
    )
    assert again["jobRunId"] == running
    assert execution.jobs() == [running]
    execution.stop()
    wait_until(lambda: insights.job(running)["state"] == "CANCELLED", "the job is cancelled")
    assert execution.end()["status"] == "ABORTED"
    assert insights.objects("compacted/") == {}


def test_a_staged_day_that_is_wrong_is_not_published_and_a_redrive_is_a_new_job(
    insights: Insights, root: Path, tmp_path: Path
) -> None:
    insights.load(root)
    original = (engines.JOBS / "compact.py").read_text()
    faulty = original.replace("sorted_rows.write", 'sorted_rows.withColumn("topic", sorted_rows["student_id"]).write')
    assert faulty != original
    insights.s3.put_object(Bucket=insights.bucket, Key="jobs/compact.py", Body=faulty.encode())
    try:
        execution = insights.start()
        failed = execution.end()
    finally:
        room_modules.load(PROJECT / "scripts", "after_deploy")["insights"].upload(insights.stack)
    assert (failed["status"], failed["error"]) == ("FAILED", "States.TaskFailed")
    assert "differs from the archive" in failed["cause"]
    assert insights.objects("compacted/") == {}
    [first] = execution.jobs()
    execution.redrive()
    execution.succeeded()
    assert published(insights, tmp_path / "published") == DAYS
    assert rows(tmp_path / "published") == rows(root / "appointments")
    others = [insights.job(job)["name"] for job in execution.jobs() if job != first]
    assert others == ["report", "check", "compact"]


def test_the_schedule_starts_an_execution(insights: Insights, root: Path) -> None:
    insights.load(root)
    machine = insights.stack.outputs["MakeInsightsArn"]

    def running() -> list[str]:
        listed = insights.workflows.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        return [one["executionArn"] for one in listed]

    run_schedule_now(insights.root, "insights", "MakeInsightsSchedule")
    wait_until(lambda: bool(running()), "the schedule has started an execution")
    for arn in running():
        Execution(insights, "", arn).stop()


def test_a_schedule_that_can_not_start_an_execution_is_in_the_queue(insights: Insights) -> None:
    names, sqs = physical_ids(insights.root, "insights"), insights.root.client("sqs")

    def schedules() -> list[str]:
        received = sqs.receive_message(
            QueueUrl=names["FailedSchedulesQueue"],
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageAttributeNames=["SCHEDULE_ARN"],
        )
        return [one["MessageAttributes"]["SCHEDULE_ARN"]["StringValue"] for one in received.get("Messages", [])]

    with denied_to_role(insights.root, names["MakeInsightsScheduleRole"], "states:StartExecution"):
        schedule = run_schedule_now(insights.root, "insights", "MakeInsightsSchedule")
        wait_until(lambda: schedule in schedules(), "it is in the queue")
