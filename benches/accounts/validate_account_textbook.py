import re
from datetime import date
from typing import Any

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PROGRAMMES = ("computer-science", "history", "literature", "mathematics", "physics")


def handler(event: dict[str, Any], context: Any) -> Any:
    account = {name: " ".join(str(value).split()) for name, value in event.items()}
    account["email"] = account["email"].lower()
    problems = [name for name, value in account.items() if not value]
    if not EMAIL.fullmatch(account["email"]):
        problems.append("email")
    try:
        born = date.fromisoformat(account["date_of_birth"])
        today = date.today()
        if today.year - born.year - ((today.month, today.day) < (born.month, born.day)) < 14:
            problems.append("date_of_birth")
    except ValueError:
        problems.append("date_of_birth")
    if account["programme"] not in PROGRAMMES:
        problems.append("programme")
    if problems:
        return {"outcome": "INVALID", "problems": problems}
    return {"outcome": "VALID", "account": account}
