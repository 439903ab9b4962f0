"""Pages in a bucket that CloudFront serves."""

import json
import mimetypes
import uuid
from pathlib import Path
from typing import Any

from stack import Stack

# Style, forms and icons of all pages.
COMMON = Path(__file__).parent.parent / "pages"

# Python's own list, which does not depend on the machine.
_TYPES = mimetypes.MimeTypes()
# Python's versions call these differently.
for suffix, name in {".ico": "image/x-icon", ".js": "text/javascript", ".mjs": "text/javascript"}.items():
    _TYPES.add_type(name, suffix)


def content_type(name: str) -> str:
    """The media type of a file with this name, in which text is UTF-8."""
    found = _TYPES.guess_type(name, strict=True)
    if found == (None, None) or found[1]:
        return "application/octet-stream"
    return f"{found[0]}; charset=utf-8" if found[0].startswith("text/") else found[0]


def invalidate(stack: Stack, distribution: str, path: str) -> None:
    """Lets the distribution that this output of the stack names ask its origin for the path again."""
    stack.client("cloudfront").create_invalidation(
        DistributionId=stack.outputs[distribution],
        InvalidationBatch={"Paths": {"Quantity": 1, "Items": [path]}, "CallerReference": str(uuid.uuid4())},
    )


def files_of(*folders: Path) -> dict[str, bytes]:
    """The files of these folders, by their paths in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def publish(
    stack: Stack, pages: dict[str, bytes], configuration: dict[str, Any], bucket: str, distribution: str
) -> None:
    """Uploads pages, what all pages have, and a `config.json` to the bucket that this output names."""
    contents = files_of(COMMON) | pages
    contents["config.json"] = json.dumps(configuration).encode()
    for key, body in contents.items():
        stack.client("s3").put_object(
            Bucket=stack.outputs[bucket],
            Key=key,
            Body=body,
            ContentType=content_type(key),
            # A browser asks for a newer version each time, so that pages and scripts are always of the same version.
            CacheControl="no-cache",
        )
    invalidate(stack, distribution, "/*")
