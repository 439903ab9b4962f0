"""Publishes the library's pages of an environment, and prints the URL, if the room is deployed."""

import sys
from pathlib import Path

import page_upload
from stack import Stack, of_environment

PAGES = Path(__file__).parents[2] / "edge/content/pages"


def publish(root: Stack) -> str | None:
    """Uploads the pages and returns their URL; ``None`` if the room is not beside this root."""
    content = root.beside("content")
    if content is None:
        return None
    configuration = {
        "cognito_url": root.client("cognito-idp").meta.endpoint_url,
        "user_pool_client_id": root.outputs["UserPoolClientId"],
    }
    pages = page_upload.files_of(PAGES)
    page_upload.publish(content, pages, configuration, "PagesBucketName", "ContentDistributionId")
    return content.outputs["ContentUrl"]


if __name__ == "__main__":
    if url := publish(of_environment(sys.argv[1])):
        print(url)
