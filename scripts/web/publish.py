"""Publishes the pages of an environment, with the addresses that they need, and prints the URL."""

import json
import sys
import uuid
from pathlib import Path

from stack import Stack, of_environment

WEB = Path(__file__).parents[2] / "web"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def publish(stack: Stack) -> str:
    """Uploads the pages and returns their URL."""
    configuration = {
        "accounts_url": stack.api_url("accounts"),
        "appointments_url": stack.api_url("appointments"),
        "cognito_url": stack.client("cognito-idp").meta.endpoint_url,
        "user_pool_client_id": stack.outputs["UserPoolClientId"],
    }
    contents = {path.name: path.read_bytes() for path in WEB.iterdir()}
    contents["config.json"] = json.dumps(configuration).encode()
    for key, body in contents.items():
        stack.client("s3").put_object(
            Bucket=stack.outputs["WebBucketName"],
            Key=key,
            Body=body,
            ContentType=CONTENT_TYPES[Path(key).suffix],
            # A browser asks for a newer version each time, so that pages and scripts are always of the same version.
            CacheControl="no-cache",
        )
    stack.client("cloudfront").create_invalidation(
        DistributionId=stack.outputs["WebDistributionId"],
        InvalidationBatch={"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": str(uuid.uuid4())},
    )
    return stack.outputs["WebUrl"]


if __name__ == "__main__":
    print(publish(of_environment(sys.argv[1])))
