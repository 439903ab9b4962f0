"""Shows the library to who has not signed in, has paid, and has not paid any more."""

import sys
from datetime import datetime, timedelta, timezone

import materials
import pay
import requests
from stack import NAME, Stack, stack_name, wait_until

EMAIL = "ada@school.example"


def show(who: str, answer: requests.Response) -> None:
    milliseconds = answer.elapsed.total_seconds() * 1000
    request = answer.request
    print(f"{who:18} {request.method:4} {request.path_url:22} {answer.status_code}  {milliseconds:6.1f} ms")


def main() -> None:
    root = Stack(f"{NAME}-{sys.argv[1]}")
    content = Stack(stack_name(root.name, "content"))
    materials.upload(content, materials.EXAMPLE)
    address, host = content.distribution("content")
    root.create_student(EMAIL)
    student_id = pay.student_id(root, EMAIL)

    def read(cookies: str) -> requests.Response:
        return requests.get(f"{address}{materials.CATALOG}", headers=host | {"Cookie": cookies}, timeout=30)

    def open_session() -> requests.Response:
        # The edge function goes by the token, which has to be newer than the payment.
        headers = host | {"Authorization": f"Bearer {root.sign_in(EMAIL).token}"}
        return requests.post(f"{address}/session", headers=headers, timeout=30)

    show("not signed in", read(""))
    pay.pay(root, student_id, datetime.now(timezone.utc) + timedelta(days=90))
    wait_until(lambda: open_session().status_code == 200, "a session can be opened after the payment")
    session = open_session()
    show("has paid", session)
    show("has paid", read("; ".join(f"{name}={value}" for name, value in session.cookies.items())))
    pay.lapse(root, student_id)
    wait_until(lambda: open_session().status_code == 402, "no session can be opened after the payment has lapsed")
    show("has lapsed", open_session())
    show("has lapsed", read(""))
    print(content.outputs["ContentUrl"])


if __name__ == "__main__":
    main()
