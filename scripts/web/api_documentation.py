"""The documentation of the APIs on the pages: OpenAPI files for clients, and Swagger UI, which renders them."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import swagger_ui_bundle
import yaml

STACKS = Path(__file__).parents[2] / "stacks"
SWAGGER_UI = Path(swagger_ui_bundle.swagger_ui_path)
# An image in the style, which the pages' Content-Security-Policy refuses.
IMAGE = re.compile(r'url\("data:image/svg\+xml;charset=utf-8,((?:[^"\\]|\\.)*)"\)')


def _for_clients(node: Any) -> Any:
    """Without what only API Gateway and browsers read."""
    if isinstance(node, dict):
        return {
            key: _for_clients(value)
            for key, value in node.items()
            if key != "options" and not str(key).startswith("x-amazon-apigateway-")
        }
    return [_for_clients(value) for value in node] if isinstance(node, list) else node


def openapi(room: str, url: str) -> dict[str, Any]:
    """The OpenAPI document of a room's API at this address."""
    document = _for_clients(yaml.safe_load((STACKS / room / "openapi.yaml").read_text()))
    # CloudFormation fills in the name in the file.
    document["info"]["title"] = f"The API of {room}"
    return document | {"servers": [{"url": url}]}


def files(urls: dict[str, str]) -> dict[str, bytes]:
    """All files of the folder `api/` of the pages, for the APIs of these rooms at these addresses."""
    images: list[str] = []

    def image_file(match: re.Match[str]) -> str:
        images.append(unquote(match[1].replace('\\"', '"')))
        return f'url("swagger-ui-{len(images)}.svg")'

    style = IMAGE.sub(image_file, (SWAGGER_UI / "swagger-ui.css").read_text())
    contents = {
        "swagger-ui.js": (SWAGGER_UI / "swagger-ui-bundle.js").read_bytes(),
        "swagger-ui.css": style.encode(),
        **{f"swagger-ui-{number}.svg": image.encode() for number, image in enumerate(images, 1)},
        **{f"{room}.json": json.dumps(openapi(room, url)).encode() for room, url in urls.items()},
    }
    return {f"api/{name}": content for name, content in contents.items()}
