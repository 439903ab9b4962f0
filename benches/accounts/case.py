"""`check-account`, compared with other ways to look up an account."""

from pathlib import Path

from measuring import ROOT, Case, Function, node, python

HERE = Path(__file__).parent
POWERTOOLS = ["aws-lambda-powertools", "aws-xray-sdk", "jmespath", "typing-extensions", "wrapt"]


def event(_: int) -> bytes:
    return (ROOT / "events/accounts/check-account.json").read_bytes()


def peers(packages: Path) -> dict[str, Function]:
    return {
        "Python, textbook": python(HERE, "check_account_textbook", packages),
        "Python, Powertools": python(HERE, "check_account_powertools", packages, *POWERTOOLS),
        "Node, Powertools": node(HERE / "check_account.mjs"),
    }


CASE = Case(
    name="check-account",
    binary="check-account",
    environment={"ACCOUNTS_TABLE": "accounts"},
    answer={"outcome": "NONE"},
    event=event,
    records=[1],
    peers=peers,
)
