"""Publishes the pages of an environment, with the addresses that they need, and prints the URL."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import api_documentation
import page_upload
from stack import Stack, of_environment

WEB = Path(__file__).parents[2] / "web"


def apis_beside(stack: Stack) -> dict[str, str]:
    """The API's address of each deployed room beside the root that has a folder in web/, if the pages may call it."""
    headers = stack.client("cloudfront").get_response_headers_policy(Id=stack.outputs["WebHeadersId"])
    config = headers["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]
    policy = config["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]
    urls = {}
    for room in sorted(folder.name for folder in WEB.iterdir() if folder.is_dir()):
        if beside := stack.beside(room):
            url = beside.api_url(room)
            if "{0.scheme}://{0.netloc}".format(urlsplit(url)) in policy:
                urls[room] = url
            else:
                advice = f"add {url} to AdditionalApiUrls, and deploy again (docs/web/README.md)"
                print(f"The pages leave {room} out, because they may not call it: {advice}", file=sys.stderr)
    return urls


def publish(stack: Stack) -> str:
    """Uploads the pages and returns their URL."""
    beside = apis_beside(stack)
    urls = {room: stack.api_url(room) for room in ("accounts", "appointments")} | beside
    configuration = {
        "cognito_url": stack.client("cognito-idp").meta.endpoint_url,
        "user_pool_client_id": stack.outputs["UserPoolClientId"],
        "rooms": list(beside),
        "apis": list(urls),
    } | {f"{room}_url": url for room, url in urls.items()}
    pages = page_upload.files_of(WEB) | api_documentation.files(urls)
    page_upload.publish(stack, pages, configuration, "WebBucketName", "WebDistributionId")
    return stack.outputs["WebUrl"]


if __name__ == "__main__":
    print(publish(of_environment(sys.argv[1])))
