"""The pages' requests, compared with the OpenAPI files of the APIs."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import jsonschema
import openapi
from playwright.sync_api import BrowserContext, Response
from stack import Stack


@contextmanager
def documented_requests(context: BrowserContext, stack: Stack) -> Iterator[None]:
    """While the block runs, the pages ask the APIs only for what their OpenAPI files describe."""
    addresses = {room.name: stack.api_url(room.name) for room in openapi.APIS}
    responses: list[Response] = []
    context.on("response", lambda response: responses.append(response))
    yield
    for response in responses:
        for room, address in addresses.items():
            if response.url.startswith(f"{address}/"):
                check(response, room, response.url.removeprefix(address))


def check(response: Response, room: str, address: str) -> None:
    request, url = response.request, urlsplit(address)
    asked = f"{request.method} {url.path}"
    routes = [route for route in openapi.ROUTES if route.room.name == room and matches(route, request.method, url.path)]
    assert routes, f"{room} has no route {asked}"
    [route] = routes
    parameters = {one["name"] for one in route.operation.get("parameters", []) if one["in"] == "query"}
    assert parse_qs(url.query).keys() <= parameters, f"{asked} does not know these parameters"
    assert response.status in route.statuses, f"{asked} was answered {response.status}, which is not documented"
    # Firefox does not tell what a page sent.
    if request.post_data:
        assert route.has_body, f"{asked} takes no body"
        reference = route.operation["requestBody"]["content"]["application/json"]["schema"]
        schema = reference | {"components": {"schemas": route.schemas}}
        # A page may send what a person typed, and show the refusal.
        if response.status < 400:
            jsonschema.validate(json.loads(request.post_data), schema)


def matches(route: openapi.Route, method: str, path: str) -> bool:
    template = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route.template))
    return route.method == method and re.fullmatch(template, path) is not None
