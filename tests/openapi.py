"""The routes of api/openapi.yaml."""

from dataclasses import dataclass, field
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
    operation: dict[str, Any] = field(hash=False)

    @property
    def is_public(self) -> bool:
        """As API Gateway takes it: what doesn't say that it is secured is open."""
        return not self.operation.get("security")

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.operation

    @property
    def statuses(self) -> set[int]:
        """All that are documented."""
        return set(map(int, self.operation["responses"]))

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **parameters: str) -> str:
        """The path with values for its parameters, of which it need not have all."""
        return self.template.format(**{name: quote(value, safe="") for name, value in parameters.items()})


ROUTES = [
    Route(method.upper(), template, operation)
    for template, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
