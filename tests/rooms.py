"""The rooms of the project, from their folders and templates."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import room_modules
import yaml
from cfnlint.decode import cfn_yaml

PROJECT = Path(__file__).parent.parent
ROOT: dict[str, Any] = cfn_yaml.load(str(PROJECT / "template.yaml"))
# The kinds of folders in which a room has its own folder.
KINDS = [
    "benches",
    "containers",
    "docs",
    "edge",
    "events",
    "fuzz",
    "handlers",
    "jobs",
    "load",
    "scripts",
    "stacks",
    "statemachines",
    "tests",
]

Resources = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Room:
    """A part of the school that has a template."""

    name: str

    @cached_property
    def template(self) -> dict[str, Any]:
        return cfn_yaml.load(str(PROJECT / "stacks" / self.name / "template.yaml"))

    @property
    def resources(self) -> Resources:
        return self.template["Resources"]

    def of_type(self, *types: str) -> Resources:
        return {name: resource for name, resource in self.resources.items() if resource["Type"] in types}

    @property
    def functions(self) -> Resources:
        return self.of_type("AWS::Serverless::Function")

    @cached_property
    def alarms(self) -> Resources:
        """Also those of the stacks beside the room's own, such as one in another Region."""
        templates = map(cfn_yaml.load, map(str, PROJECT.glob(f"stacks/{self.name}/*template.yaml")))
        everything = [resource for template in templates for resource in template["Resources"].items()]
        return {name: resource for name, resource in everything if resource["Type"] == "AWS::CloudWatch::Alarm"}

    @cached_property
    def api(self) -> dict[str, Any] | None:
        """The OpenAPI document of the room's API, if it has one."""
        path = PROJECT / "stacks" / self.name / "openapi.yaml"
        return yaml.safe_load(path.read_text()) if path.exists() else None

    @cached_property
    def dashboard(self) -> str:
        """The body of the room's dashboard, before CloudFormation fills in names."""
        return yaml.safe_load((PROJECT / "stacks" / self.name / "dashboard.yaml").read_text())["Fn::Sub"]

    def bootstrap(self, function: str) -> Path:
        """A function's program, as `sam build` builds it."""
        built = Path("build", self.name.title()) if self in DEPLOYED else Path(self.name)
        return PROJECT / ".aws-sam" / built / function / "bootstrap"

    def module(self, name: str) -> ModuleType | None:
        """The module with this name in the room's folder of tests; None if there is none."""
        return _modules(name).get(self.name)

    def __str__(self) -> str:
        return self.name


@cache
def _modules(name: str) -> dict[str, ModuleType]:
    return room_modules.load(PROJECT / "tests", name)


ROOMS = [Room(path.parent.name) for path in sorted(PROJECT.glob("stacks/*/template.yaml"))]
# The rooms that `sam deploy` deploys; the others are separate stacks.
DEPLOYED = [
    room
    for room in ROOMS
    if f"stacks/{room}/template.yaml"
    in [one["Properties"]["Location"] for one in ROOT["Resources"].values() if "Location" in one["Properties"]]
]


def resources(*types: str) -> list[tuple[Room, str]]:
    """The resources of these types, with their rooms, as parameters of a test."""
    return [(room, name) for room in ROOMS for name in room.of_type(*types)]


def kebab(name: str) -> str:
    """A logical id as the name of a function or a file."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
