"""Draws the account workflow from its definition into docs/accounts/workflow.md, as a Mermaid diagram."""

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
DEFINITION = PROJECT / "statemachines/accounts/school-account.asl.yaml"
PAGE = PROJECT / "docs/accounts/workflow.md"
PICTURE = re.compile(r"(?<=```mermaid\nstateDiagram-v2\n).*?(?=```)", re.DOTALL)


def draw(definition: dict[str, Any]) -> str:
    """The lines of the diagram, with retries and with the transitions after a failure."""
    lines = [f"[*] --> {definition['StartAt']}"]
    for name, state in definition["States"].items():
        for choice in state.get("Choices", []):
            condition = choice["Condition"].strip("{}% ").replace("$states.input.", "")
            lines.append(f"{name} --> {choice['Next']}: {condition}")
        if "Default" in state:
            lines.append(f"{name} --> {state['Default']}: otherwise")
        if "Next" in state:
            lines.append(f"{name} --> {state['Next']}")
        if "Retry" in state:
            lines.append(f"{name} --> {name}: retry")
        for catcher in state.get("Catch", []):
            lines.append(f"{name} --> {catcher['Next']}: failed")
        if state.get("End"):
            status = state["Output"]["statusCode"]
            lines.append(f"{name} --> [*]: {status}")
    return "".join(f"    {line}\n" for line in lines)


def page() -> str:
    """docs/accounts/workflow.md with the diagram of the present definition."""
    picture = draw(yaml.safe_load(DEFINITION.read_text()))
    return PICTURE.sub(lambda _: picture, PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
