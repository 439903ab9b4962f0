"""The deployed workflow on an archive of its own: a bucket and a ledger in the place of the root's.

The root's archive grows while other tests run, and its functions would notice planted faults.
"""

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

from stack import Stack, stack_name, wait_until

# Its exports are those that the room imports.
ROOT = "school-test"
LEDGER_KEY = {"dt": "HASH", "object_key": "RANGE"}
STAND_IN = {
    "Resources": {
        "Archive": {"Type": "AWS::S3::Bucket"},
        "Alarms": {"Type": "AWS::SNS::Topic"},
        "Ledger": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in LEDGER_KEY],
                "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in LEDGER_KEY.items()],
                "BillingMode": "PAY_PER_REQUEST",
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            },
        },
    },
    "Outputs": {
        name: {"Value": value, "Export": {"Name": f"{ROOT}-{name}"}}
        for name, value in {
            "AlarmTopicArn": {"Ref": "Alarms"},
            "ArchiveBucketName": {"Ref": "Archive"},
            "LedgerTableArn": {"Fn::GetAtt": ["Ledger", "Arn"]},
        }.items()
    },
}


def deploy_stand_in(stack: Stack) -> None:
    cloudformation = stack.client("cloudformation")
    cloudformation.create_stack(StackName=ROOT, TemplateBody=json.dumps(STAND_IN))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=ROOT, WaiterConfig={"Delay": 1})


class Insights:
    """The room's stack, and the archive that it reads."""

    def __init__(self, stack: Stack) -> None:
        self.root = stack
        self.stack = Stack(stack_name(stack.name, "insights"))
        self.application = self.stack.outputs["InsightsApplicationId"]
        self.bucket = self.stack.outputs["InsightsBucketName"]
        given = Stack(ROOT).outputs
        self.archive, self.ledger = given["ArchiveBucketName"], given["LedgerTableArn"].rpartition("/")[2]
        self.s3, self.emr = stack.client("s3"), stack.client("emr-serverless")
        self.dynamodb, self.workflows = stack.client("dynamodb"), stack.client("stepfunctions")

    def objects(self, prefix: str, bucket: str | None = None) -> dict[str, bytes]:
        bucket = bucket or self.bucket
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {key: self.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def load(self, root: Path) -> None:
        """Replaces the archive by one on this machine, and forgets all answers and compacted days."""
        for bucket, prefixes in {self.archive: [""], self.bucket: ["answers/", "compact", "ledger/"]}.items():
            for prefix in prefixes:
                for key in self.objects(prefix, bucket):
                    self.s3.delete_object(Bucket=bucket, Key=key)
        for item in self.dynamodb.scan(TableName=self.ledger)["Items"]:
            self.dynamodb.delete_item(TableName=self.ledger, Key={name: item[name] for name in LEDGER_KEY})
        for path in root.glob("appointments/**/*.parquet"):
            self.s3.put_object(Bucket=self.archive, Key=str(path.relative_to(root)), Body=path.read_bytes())
        for path in root.glob("ledger/*.json.gz"):
            for line in gzip.decompress(path.read_bytes()).decode().splitlines():
                self.dynamodb.put_item(TableName=self.ledger, Item=json.loads(line)["Item"])

    def start(self) -> "Execution":
        name = f"test-{uuid.uuid4().hex[:8]}"
        started = self.workflows.start_execution(stateMachineArn=self.stack.outputs["MakeInsightsArn"], name=name)
        return Execution(self, name, started["executionArn"])

    def jobs(self) -> list[str]:
        """The ids of all job runs, the newest first."""
        pages = self.emr.get_paginator("list_job_runs").paginate(applicationId=self.application)
        return [run["id"] for page in pages for run in page["jobRuns"]]

    def job(self, identifier: str) -> dict[str, Any]:
        return self.emr.get_job_run(applicationId=self.application, jobRunId=identifier)["jobRun"]


class Execution:
    """An execution of the workflow."""

    def __init__(self, insights: Insights, name: str, arn: str) -> None:
        self.insights, self.name, self.arn = insights, name, arn
        self._others = set(insights.jobs())

    def describe(self) -> dict[str, Any]:
        return self.insights.workflows.describe_execution(executionArn=self.arn)

    def end(self) -> dict[str, Any]:
        wait_until(lambda: self.describe()["status"] != "RUNNING", "the execution ends")
        return self.describe()

    def succeeded(self) -> dict[str, Any]:
        """What it answers."""
        ended = self.end()
        assert ended["status"] == "SUCCEEDED", (ended.get("error"), ended.get("cause"))
        return json.loads(ended["output"])

    def jobs(self) -> list[str]:
        """The ids of its job runs, the newest first."""
        return [job for job in self.insights.jobs() if job not in self._others]

    def running_job(self) -> str:
        def is_running() -> bool:
            assert self.describe()["status"] == "RUNNING", self.describe()
            return any(self.insights.job(job)["state"] == "RUNNING" for job in self.jobs()[:1])

        wait_until(is_running, "a job runs")
        return self.jobs()[0]

    def stop(self) -> None:
        self.insights.workflows.stop_execution(executionArn=self.arn)

    def redrive(self) -> None:
        self.insights.workflows.redrive_execution(executionArn=self.arn)

    def answer(self, job: str) -> dict[str, Any]:
        bodies = self.insights.objects(f"answers/{self.name}/{job}/").values()
        [line] = [line for body in bodies for line in body.decode().splitlines()]
        return json.loads(line)

    def page(self) -> str:
        return self.insights.objects(f"answers/{self.name}/report.html")[f"answers/{self.name}/report.html"].decode()
