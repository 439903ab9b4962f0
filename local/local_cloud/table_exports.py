"""Exports of DynamoDB tables write files, with the caller's permissions.

MiniStack's exports write nothing, and take tables without point-in-time recovery, which its stacks can't enable. Here
an export has the folders and files of a full export in DynamoDB JSON ("DynamoDB table export output format").

Not here: incremental exports, exports of the past, Amazon Ion, and encryption with a key.
"""

import base64
import gzip
import hashlib
import json
import time
from functools import wraps
from typing import Any

from botocore.exceptions import ClientError
from ministack.core.concurrency import spawn_background
from ministack.core.responses import error_response_json, get_region
from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from local_cloud.role import is_caller_allowed, root_client

Properties = dict[str, Any]

# "Requesting a table export in DynamoDB", Setting up permissions.
ACTIONS = ("s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl")
FILES = 4


def _export(request: Properties) -> Any:
    name = dynamodb._table_name_from_arn(request.get("TableArn", ""))
    if name in dynamodb._tables:
        if not dynamodb._pitr_settings.get(name):
            message = f"Point in time recovery is not enabled for table '{name}'"
            return error_response_json("PointInTimeRecoveryUnavailableException", message, 400)
        kind = request.get("ExportFormat", "DYNAMODB_JSON"), request.get("ExportType", "FULL_EXPORT")
        if kind != ("DYNAMODB_JSON", "FULL_EXPORT"):
            return error_response_json("ValidationException", "The local cloud has full exports in DynamoDB JSON", 400)
    known = dict(dynamodb._exports)
    same = next((one for one in known.values() if one.get("ClientToken") == request.get("ClientToken")), None)
    names = ("TableArn", "S3Bucket", "S3Prefix", "ExportTime")
    if same and request.get("ClientToken") and any(same.get(name) != request.get(name) for name in names):
        # API_ExportTableToPointInTime, ClientToken.
        message = "The client token was used with other parameters"
        return error_response_json("ExportConflictException", message, 400)
    answer = export(request)
    for arn, description in dynamodb._exports.items():
        if arn not in known:
            folder = f"{request['S3Prefix']}/" if request.get("S3Prefix") else ""
            target = f"arn:aws:s3:::{request['S3Bucket']}/{folder}AWSDynamoDB/{arn.rpartition('/')[2]}/data"
            lacking = [action for action in ACTIONS if not is_caller_allowed(action, target, get_region())]
            spawn_background(_write, description, name, folder, lacking, thread_name="table-export")
    return answer


def _write(description: Properties, table: str, folder: str, lacking: list[str]) -> None:
    """Writes an export, and ends it."""
    try:
        if lacking:
            raise PermissionError(f"Access denied: {', '.join(lacking)}")
        _write_files(description, dynamodb._tables[table], folder)
        description["ExportStatus"] = "COMPLETED"
    except (ClientError, PermissionError) as problem:
        description.update(ExportStatus="FAILED", FailureCode="S3AccessDenied", FailureMessage=str(problem))
    description["EndTime"] = time.time()


def _write_files(description: Properties, table: Properties, folder: str) -> None:
    identifier = description["ExportArn"].rpartition("/")[2]
    root = f"{folder}AWSDynamoDB/{identifier}"
    s3 = root_client("s3", get_region())

    def write(name: str, content: bytes) -> str:
        return s3.put_object(Bucket=description["S3Bucket"], Key=f"{root}/{name}", Body=content)["ETag"].strip('"')

    items = [item for of_key in list(table["items"].values()) for item in list(of_key.values())]
    files = []
    for number in range(FILES):
        lines = [json.dumps({"Item": item}, ensure_ascii=False) + "\n" for item in items[number::FILES]]
        content = gzip.compress("".join(lines).encode())
        name = f"data/{hashlib.sha256(f'{identifier} {number}'.encode()).hexdigest()[:26]}.json.gz"
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        entry = {"itemCount": len(lines), "md5Checksum": md5, "etag": write(name, content)}
        files.append(entry | {"dataFileS3Key": f"{root}/{name}"})
    listed = "".join(json.dumps(one) + "\n" for one in files)
    write("manifest-files.json", listed.encode())
    summary = {
        "version": "2020-06-30",
        "exportArn": description["ExportArn"],
        "tableArn": description["TableArn"],
        "s3Bucket": description["S3Bucket"],
        "s3Prefix": folder.removesuffix("/") or None,
        "manifestFilesS3Key": f"{root}/manifest-files.json",
        "itemCount": len(items),
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    write("manifest-summary.json", json.dumps(summary).encode())
    write("_started", b"")
    description.update(ExportManifest=f"{root}/manifest-summary.json", ItemCount=len(items), BilledSizeBytes=0)


export = dynamodb._export_table_to_point_in_time


def _set_recovery(created: tuple[str, Properties], properties: Properties) -> tuple[str, Properties]:
    enabled = properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled")
    dynamodb._pitr_settings[created[0]] = enabled in (True, "true")
    return created


def install() -> None:
    kind = "AWS::DynamoDB::Table"
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    create, update = handlers["create"], handlers["update"]

    @wraps(create)
    def create_table(logical_id: str, properties: Properties, stack_name: str) -> tuple[str, Properties]:
        return _set_recovery(create(logical_id, properties, stack_name), properties)

    @wraps(update)
    def update_table(name: str, old: Properties, new: Properties, *more: Any) -> tuple[str, Properties]:
        return _set_recovery(update(name, old, new, *more), new)

    provisioners._RESOURCE_HANDLERS[kind] = handlers | {"create": create_table, "update": update_table}
    dynamodb._export_table_to_point_in_time = _export
    # MiniStack would end an export by itself.
    dynamodb._EXPORT_COMPLETE_AFTER_SEC = float("inf")
