"""The routes of all REST APIs, which are in stacks/<room>/openapi.yaml.

The facts that the tests of all APIs need about a room's own routes are in tests/<room>/routes.py:

- ``PUBLIC``: the routes without sign-in;
- ``GOOD``: good values of parameters and of fields of bodies, by name;
- ``VALUES``: values that could break these routes' mapping templates, besides those that could break any;
- ``ATTRIBUTES``: the attributes of an item that DynamoDB answers with; ``OPTIONAL``: those that it may lack;
  ``NUMBERS``: those that are numbers;
- ``PARAMETERS``: the numbers that the room's stack puts into its templates, by the names of its parameters;
- ``outputs(route, text)``: the possible answers of the workflow behind a route, as pairs of a status and a body;
- ``FOR_OTHERS``: what a route with parameters in its path answers a student about another's data, if it is not 404;
- ``Private(stack, student)``: a student's data behind these routes, with a ``text`` that no other student may see.
"""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import quote

import requests
from rooms import ROOMS, Room
from stack import Stack

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "x-amazon-apigateway-any-method"}


@dataclass(frozen=True)
class Route:
    """A method of a path."""

    room: Room
    method: str
    template: str
    operation: dict[str, Any] = field(hash=False)

    @property
    def is_public(self) -> bool:
        """As in API Gateway: an operation without `security` is public."""
        return not self.operation.get("security")

    @property
    def is_for_staff(self) -> bool:
        return any("staff" in scheme for scheme in self.operation.get("security", []))

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.operation

    @property
    def fields(self) -> list[str]:
        """The fields of its body."""
        if not self.has_body:
            return []
        reference = self.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        return list(self.schemas[reference.rpartition("/")[2]]["properties"])

    @property
    def schemas(self) -> dict[str, Any]:
        return self.room.api["components"]["schemas"]

    @property
    def statuses(self) -> set[int]:
        """All documented statuses."""
        return set(map(int, self.operation["responses"]))

    @property
    def facts(self) -> ModuleType:
        """tests/<room>/routes.py"""
        return facts(self.room)

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **parameters: str) -> str:
        """The path with values for its parameters: the given ones, otherwise good ones."""
        values = self.facts.GOOD | parameters
        return self.template.format(**{name: quote(str(value), safe="") for name, value in values.items()})

    def body(self, **fields: Any) -> dict[str, Any] | None:
        """A good body with the given fields replaced; None if the route takes none."""
        return {name: self.facts.GOOD[name] for name in self.fields} | fields if self.has_body else None


def facts(room: Room) -> ModuleType:
    module = room.module("routes")
    assert module, f"stacks/{room} has an API, so say in tests/{room}/routes.py what tests/openapi.py asks for"
    return module


def deployed(stack: Stack, room: Room) -> tuple[str, str]:
    """The id of a room's API, and the name of its stage."""
    host, stage = stack.outputs[f"{room.name.title()}ApiUrl"].removeprefix("https://").split("/")
    return host.partition(".")[0], stage


def assert_error(answer: requests.Response, status: int, code: str, *details: str) -> dict[str, Any]:
    """Every API has the same form of errors, which any page may read and nobody may cache. Returns the error, with the
    named details."""
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert set(error) == {"code", "message", "request_id", *details}
    assert error["code"] == code
    assert all(error.values())
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    return error


APIS = [room for room in ROOMS if room.of_type("AWS::Serverless::Api")]
ROUTES = [
    Route(room, method.upper(), template, operation)
    for room in APIS
    for template, item in room.api["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
