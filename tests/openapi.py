"""The routes of api/openapi.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "api" / "openapi.yaml").read_text())
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "x-amazon-apigateway-any-method"}


@dataclass(frozen=True)
class Route:
    """A method of a path."""

    method: str
    template: str
    is_public: bool
    has_body: bool
    statuses: frozenset[int]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **parameters: str) -> str:
        """The path with values for its parameters, of which it need not have all."""
        return self.template.format(**{name: quote(value, safe="") for name, value in parameters.items()})


ROUTES = [
    Route(
        method=method.upper(),
        template=template,
        is_public=operation.get("security", DOCUMENT["security"]) == [],
        has_body="requestBody" in operation,
        statuses=frozenset(map(int, operation["responses"])),
    )
    for template, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
