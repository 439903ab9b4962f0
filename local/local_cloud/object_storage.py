"""S3's events name the object's version, and a missing object is 404 only for who may list the bucket.

In MiniStack, the events that a bucket sends to EventBridge don't name the version, and everybody gets ``NoSuchKey``,
except CloudFront.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_actions
from ministack.services import eventbridge, s3

from local_cloud.resource_policies import permits

_fire_event = s3._fire_s3_event
_dispatch_event = eventbridge._dispatch_event
_additional_checks = iam_actions.s3_additional_checks
_serve_distribution = s3.serve_cloudfront_origin_fetch

# The version whose event is being made, if the bucket has versions.
_version_id: ContextVar[str | None] = ContextVar("object_storage_version_id", default=None)


def _fire_event_of_version(*event: Any, version_id: str | None = None, **more: Any) -> None:
    _version_id.set(version_id)
    _fire_event(*event, version_id=version_id, **more)


def _dispatch_event_of_version(event: dict[str, Any], *more: Any) -> None:
    version_id = _version_id.get()
    if event["Source"] == "aws.s3" and version_id:
        detail = json.loads(event["Detail"])
        detail["object"]["version-id"] = version_id
        event = event | {"Detail": json.dumps(detail)}
    _dispatch_event(event, *more)


def _checks_of_missing_objects(
    method: str, path: str, headers: dict[str, str], body: bytes, parameters: dict[str, Any]
) -> list[tuple[str, str]]:
    checks = _additional_checks(method, path, headers, body, parameters)
    bucket_name, _, key = path.lstrip("/").partition("/")
    bucket = s3._buckets.get(bucket_name)
    if (
        bucket
        and key
        and iam_actions._s3_action(method, path, parameters) == "GetObject"
        and key not in bucket["objects"]
    ):
        checks = [*checks, ("s3:ListBucket", f"arn:aws:s3:::{bucket_name}")]
    return checks


def _serve_distribution_that_lists(
    bucket_name: str, key: str, method: str, headers: dict[str, str], source_arn: str = "", oai_id: str = ""
) -> Any:
    answer = _serve_distribution(bucket_name, key, method, headers, source_arn, oai_id)
    bucket = s3._buckets.get(bucket_name)
    if not source_arn or bucket is None or key in bucket["objects"]:
        return answer
    bucket_arn, policy = f"arn:aws:s3:::{bucket_name}", s3._bucket_policies.get(bucket_name)
    if not permits(policy, "cloudfront.amazonaws.com", "s3:ListBucket", bucket_arn, source_arn):
        return answer
    return s3._error("NoSuchKey", "The specified key does not exist.", 404, f"/{bucket_name}/{key}")


def install() -> None:
    s3.serve_cloudfront_origin_fetch = _serve_distribution_that_lists
    s3._fire_s3_event = _fire_event_of_version
    eventbridge._dispatch_event = _dispatch_event_of_version
    iam_actions.s3_additional_checks = _checks_of_missing_objects
