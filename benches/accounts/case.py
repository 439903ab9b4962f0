"""The four functions of the workflow `POST /accounts`, compared with others that do the same."""

import json
from pathlib import Path
from typing import Any

from measuring import ROOT, Case, Function, node, python

HERE = Path(__file__).parent
POWERTOOLS = ["aws-lambda-powertools", "aws-xray-sdk", "jmespath", "typing-extensions", "wrapt"]
EVENTS = ROOT / "events/accounts"
CREATION = json.loads((EVENTS / "create-account.json").read_text())
STUDENT = {"student_id": CREATION["student_id"]}


def step(name: str, answer: dict[str, Any], node_peer: str = "", **environment: str) -> Case:
    """A step of the workflow. Only one has a peer in Node."""
    module = name.replace("-", "_")

    def peers(packages: Path) -> dict[str, Function]:
        peers = {
            "Python, textbook": python(HERE, f"{module}_textbook", packages),
            "Python, Powertools": python(HERE, f"{module}_powertools", packages, *POWERTOOLS),
        }
        return peers | {"Node, Powertools": node(HERE / node_peer)} if node_peer else peers

    return Case(
        name=name,
        binary=name,
        environment=environment,
        answer=answer,
        event=lambda _: (EVENTS / f"{name}.json").read_bytes(),
        records=[1],
        peers=peers,
        workflow="POST /accounts",
    )


CASES = [
    step("validate-account", {"outcome": "VALID", "account": CREATION["account"]}),
    step("check-account", {"outcome": "NONE"}, "check_account.mjs", ACCOUNTS_TABLE="accounts"),
    step("create-account", STUDENT | {"created": True}, ACCOUNTS_TABLE="accounts", USER_POOL_ID="us-east-1_example"),
    step("notify-student", STUDENT, ACCOUNTS_TABLE="accounts", EVENT_BUS="school"),
]
