"""Uploads the jobs, as EMR Serverless runs them."""

from pathlib import Path

from stack import Stack, stack_name

JOBS = Path(__file__).parents[2] / "jobs/insights"


def upload(insights: Stack) -> list[str]:
    """The keys of the jobs in the room's bucket."""
    s3, bucket = insights.client("s3"), insights.outputs["InsightsBucketName"]
    keys = {f"jobs/{path.name}": path for path in sorted(JOBS.glob("*.py"))}
    for key, path in keys.items():
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ContentType="text/x-python; charset=utf-8")
    return list(keys)


def after_deploy(root: str, environment: str, parameters: dict[str, str]) -> None:
    for key in upload(Stack(stack_name(root, "insights"))):
        print(f"uploaded {key}")
