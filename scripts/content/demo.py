"""Shows the library to who has not signed in, who has paid, and who has not paid any more."""

import sys
from datetime import datetime, timedelta, timezone

import materials
import pay
import requests
from stack import NAME, Stack, stack_name, wait_until

EXAMPLES = materials.PROJECT / "edge/content/example"


def show(who: str, url: str, answer: requests.Response) -> None:
    milliseconds = answer.elapsed.total_seconds() * 1000
    print(f"{who:28} {answer.request.method:5} {url:24} {answer.status_code}  {milliseconds:6.1f} ms")


def main() -> None:
    environment = sys.argv[1]
    root = Stack(f"{NAME}-{environment}")
    content = Stack(stack_name(root.name, "content"))
    materials.upload(content, EXAMPLES)
    library = content.outputs["ContentUrl"]
    print(library)
    student = root.create_student("ada@school.example")
    reader = requests.Session()

    def read(who: str) -> requests.Response:
        answer = reader.get(f"{library}{materials.CATALOG}", timeout=30)
        show(who, materials.CATALOG, answer)
        return answer

    def session() -> requests.Response:
        return reader.post(f"{library}/session", headers={"Authorization": f"Bearer {student.token}"}, timeout=30)

    assert read("not signed in").status_code == 403
    now = datetime.now(timezone.utc)
    pay.record(root, student.student_id, now + timedelta(days=90))
    wait_until(lambda: session().status_code == 200, "a session is opened after the payment")
    show("paid", "/session", session())
    assert read("paid").status_code == 200
    pay.lapse(root, student.student_id)
    wait_until(lambda: session().status_code == 402, "the lapse is recorded")
    show("lapsed", "/session", session())
    # The cookies from before open the material for a quarter of an hour: signing out deletes them.
    reader.delete(f"{library}/session", timeout=30)
    assert read("lapsed, signed out").status_code == 403


if __name__ == "__main__":
    main()
