"""An application of EMR Serverless, and jobs that need no engine."""

import json
from typing import Any

from running_cloud import REGION, Cloud

BUCKET = "spark-jobs"
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
GROUP = "/jobs"
PRINTING = "import sys, words\nprint(words.greeting, *sys.argv[1:])\n"
FAILING = "raise SystemExit('the archive is empty')\n"
ENDLESS = "import os, subprocess, time\nsubprocess.Popen(['sleep', '3600'])\ntime.sleep(3600)\n"
APPLICATION = {
    "Name": "school",
    "ReleaseLabel": "emr-spark-8.1.0",
    "Type": "Spark",
    "MonitoringConfiguration": {"CloudWatchLoggingConfiguration": {"Enabled": True, "LogGroupName": GROUP}},
}
# What "Logging for EMR Serverless with Amazon CloudWatch" demands of the job's role, and the job's files.
OF_JOBS = [
    ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/*"),
    ("logs:DescribeLogGroups", "*"),
    ("logs:DescribeLogStreams", f"arn:aws:logs:{REGION}:*:log-group:{GROUP}:*"),
    ("logs:CreateLogStream", f"arn:aws:logs:{REGION}:*:log-group:{GROUP}:*"),
    ("logs:PutLogEvents", f"arn:aws:logs:{REGION}:*:log-group:{GROUP}:*"),
]


def template(application: dict[str, Any]) -> str:
    """Of a stack with an application."""
    resource = {"Type": "AWS::EMRServerless::Application", "Properties": application}
    return json.dumps({"Resources": {"Application": resource}})


class Jobs:
    """An application, and a role for its jobs."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.emr = cloud, cloud.client("emr-serverless")
        template = {
            "Resources": {"Application": {"Type": "AWS::EMRServerless::Application", "Properties": APPLICATION}}
        }
        assert cloud.deploy("spark", TemplateBody=json.dumps(template)) == []
        [resource] = cloud.client("cloudformation").describe_stack_resources(StackName="spark")["StackResources"]
        self.application = resource["PhysicalResourceId"]
        self.role = cloud.create_role("spark-job", "emr-serverless.amazonaws.com")
        for action, on in OF_JOBS:
            cloud.allow("spark-job", action, on)
        cloud.client("logs").create_log_group(logGroupName=GROUP)
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        files = {"printing": PRINTING, "failing": FAILING, "endless": ENDLESS, "words": "greeting = 'hello'\n"}
        for name, content in files.items():
            s3.put_object(Bucket=BUCKET, Key=f"{name}.py", Body=content)

    def start(self, script: str, client: Any = None, **given: Any) -> str:
        """The id of a new job run."""
        submit = {
            "entryPoint": f"s3://{BUCKET}/{script}.py",
            "entryPointArguments": ["a", "b c"],
            "sparkSubmitParameters": f"--py-files s3://{BUCKET}/words.py --conf spark.executor.cores=4",
        }
        request = {"executionRoleArn": self.role, "jobDriver": {"sparkSubmit": submit}} | given
        return (client or self.emr).start_job_run(applicationId=self.application, **request)["jobRunId"]

    def get(self, job: str) -> dict[str, Any]:
        return self.emr.get_job_run(applicationId=self.application, jobRunId=job)["jobRun"]

    def wait(self, job: str, *states: str) -> dict[str, Any]:
        self.cloud.wait_for(lambda: self.get(job)["state"] in (*states, *ENDED))
        ended = self.get(job)
        assert ended["state"] in states, ended["stateDetails"]
        return ended

    def end(self, job: str) -> dict[str, Any]:
        return self.wait(job, *ENDED)

    def log(self, job: str, name: str) -> list[str]:
        stream = f"applications/{self.application}/jobs/{job}/SPARK_DRIVER/{name}"
        events = self.cloud.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream)["events"]
        return [event["message"] for event in events]
