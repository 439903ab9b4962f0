"""The key that signs cookies is changed."""

import pytest
import rotate_key
from deployed_content import Content, id_of
from faults import kill_function
from stack import Stack

pytestmark = pytest.mark.usefixtures("local_cloud")


def test_a_key_is_changed_without_locking_anyone_out(content: Content, stack: Stack) -> None:
    student = stack.create_student("keys@school.example")
    content.pay(id_of(student))
    path = content.put("/members/key.txt", b"open")

    def step() -> dict[str, str]:
        """Does the next step; the cookies of a session that is opened then."""
        rotate_key.rotate(stack.name, "local", waits=False)
        # As after the time for which a function keeps the settings.
        assert kill_function(f"{stack.name}-open-session")
        return content.cookies(student)

    def status(cookies: dict[str, str]) -> int:
        return content.get(path, cookies=cookies).status_code

    old = content.cookies(student)
    trusted_too = step()
    assert trusted_too["CloudFront-Key-Pair-Id"] == old["CloudFront-Key-Pair-Id"]
    assert (status(old), status(trusted_too)) == (200, 200)
    with pytest.raises(SystemExit, match="has to wait until"):
        rotate_key.rotate(stack.name, "local", waits=True)
    new = step()
    assert new["CloudFront-Key-Pair-Id"] != old["CloudFront-Key-Pair-Id"]
    assert (status(old), status(new)) == (200, 200)
    last = step()
    assert (status(old), status(new), status(last)) == (403, 200, 200)
