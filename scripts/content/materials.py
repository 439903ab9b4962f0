"""Uploads a folder of course material, and lists what the bucket then has: `make materials`.

Hidden files are left out.
"""

import json
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import page_upload
from stack import Stack, of_environment

EXAMPLE = Path(__file__).parents[2] / "edge/content/example"
PREFIX = "members/"
CATALOG = f"/{PREFIX}catalog.json"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAXIMUM_BYTES = 1024
# A student who signs in comes back to a path without these only: edge/content/pages/return-path.mjs.
REFUSED = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def problem(key: str) -> str | None:
    """Why no student could open an object with this key; ``None`` if one can."""
    if refused := REFUSED.search(key):
        return f"has {refused[0]!r}, which is not allowed in a path"
    if len(key.encode()) > MAXIMUM_BYTES:
        return f"has more than {MAXIMUM_BYTES} bytes with its folders"
    if f"/{key}" == CATALOG:
        return "is the name of the list of the material"
    return None


def found(folder: Path) -> dict[str, Path]:
    """The files to upload, by their keys. Ends the program if a name can't be used."""
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {
        PREFIX + name.as_posix(): path
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }
    if problems := [f"{key.removeprefix(PREFIX)!r} {why}" for key in files if (why := problem(key))]:
        sys.exit("\n".join(["Nothing was uploaded. Rename these files:", *problems]))
    return files


def title(key: str) -> str:
    """The folders and the name, in words: `Vectors: Sum of two` for `members/vectors/sum-of-two.svg`."""
    parts = PurePosixPath(key.removeprefix(PREFIX)).with_suffix("").parts
    words = [re.sub("[-_ ]+", " ", part).strip() for part in parts]
    return ": ".join(word[:1].upper() + word[1:] for word in words)


def catalog(content: Stack) -> list[dict[str, Any]]:
    """What the bucket has, for the library's list."""
    listed = content.client("s3").get_paginator("list_objects_v2")
    objects = [
        one
        for page in listed.paginate(Bucket=content.outputs["MaterialsBucketName"], Prefix=PREFIX)
        for one in page.get("Contents", [])
    ]
    return [
        {
            "path": f"/{quote(one['Key'])}",
            "title": title(one["Key"]),
            "bytes": one["Size"],
            "type": page_upload.content_type(one["Key"]),
        }
        for one in objects
        if f"/{one['Key']}" != CATALOG
    ]


def upload(content: Stack, folder: Path) -> list[dict[str, Any]]:
    """Uploads the folder's files and the new list, and returns the list. Ends the program if a name can't be used."""
    s3, bucket = content.client("s3"), content.outputs["MaterialsBucketName"]
    for key, path in found(folder).items():
        # In parts if the file is large.
        s3.upload_file(str(path), bucket, key, ExtraArgs={"ContentType": page_upload.content_type(key)})
    entries = catalog(content)
    body = json.dumps(entries).encode()
    s3.put_object(Bucket=bucket, Key=CATALOG[1:], Body=body, ContentType=page_upload.content_type(CATALOG))
    page_upload.invalidate(content, "ContentDistributionId", f"/{PREFIX}*")
    return entries


def main() -> None:
    environment, *folders = sys.argv[1:]
    content = of_environment(environment).beside("content")
    if not any(folders) or not (folder := Path(folders[0])).is_dir():
        sys.exit("DIR must be a directory with course material.")
    if content is None:
        sys.exit(f"The room is not deployed: make deploy ROOM=content ENV={environment}")
    for entry in upload(content, folder):
        print(f"{entry['bytes']:>12}  {content.outputs['ContentUrl']}{entry['path']}")


if __name__ == "__main__":
    main()
