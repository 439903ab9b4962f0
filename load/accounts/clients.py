"""Students who sign up."""

import os
import uuid
from collections.abc import Iterator

from client import APIS, Client, Errand, chance

COUNT = int(os.environ["SIGN_UPS"])
ROUTES = ["/accounts", "/account-requests"]


def sign_up(client: Client, route: str, account: dict[str, str]) -> int:
    what = {"/accounts": "open", "/account-requests": "request"}[route]
    fields = {"email": account["email"].lower()}
    return client.ask_until_answered(what, fields, "POST", f"{APIS['accounts']}{route}", account, None)


def errands(number: int) -> Iterator[Errand]:
    """A student signs up, and may not know the outcome."""
    account = {
        "email": f"student-{number}-{uuid.UUID(int=chance.getrandbits(128))}@school.example",
        "given_name": "Zoë",
        "family_name": "O'Neill-Grünwald",
        "date_of_birth": "2004-02-29",
        "programme": "mathematics",
    }
    route = ROUTES[number % 2]
    yield lambda client: sign_up(client, route, account)
    if chance.random() < 0.05:
        again = account | {"email": f" {account['email'].upper()}"}
        yield lambda client: sign_up(client, chance.choice(ROUTES), again)
