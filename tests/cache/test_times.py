"""The list of an advisor's taken times, through the API and a cluster."""

from typing import Any

import jsonschema
import pytest
import requests
from booking import book, cancel, list_appointments, offer
from deployed_cache import DAY, Cache, slots
from rooms import Room
from stack import Stack, Student, wait_until

DOCUMENT = Room("cache").api


def assert_documented(answer: requests.Response) -> None:
    operation = DOCUMENT["paths"]["/advisors/{advisor_id}/times"]["get"]
    schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), schema | {"components": DOCUMENT["components"]})


def test_a_list_has_the_taken_times_and_nothing_of_a_student(
    cache: Cache, staff: Student, newcomer: Student, advisor: str
) -> None:
    [first, second, free] = slots(3)
    for slot in (free, second, first):
        assert offer(staff, advisor, slot).status_code == 201
    for slot in (second, first):
        assert book(newcomer, advisor, slot, topic="Thesis").status_code == 201
    answer = cache.read(newcomer, advisor)
    assert_documented(answer)
    assert (answer.status_code, answer.json()) == (200, {"times": [first, second]})
    assert answer.headers["Cache-Control"] == "no-store"


def test_pages_follow_each_other(cache: Cache, student: Student, advisor: str) -> None:
    wanted = slots(5)
    cache.put(advisor, "2030-05-05T23:30:00Z", *wanted)
    found, after = [], {}
    while True:
        answer = cache.read(student, advisor, limit=2, **after)
        assert_documented(answer)
        page = answer.json()
        assert len(page["times"]) <= 2
        found += page["times"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert found == wanted


@pytest.mark.parametrize(
    "wrong",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "1e1"}, {"from": "2030-02-30"}, {"from": "today"}, {"after": DAY}],
    ids=str,
)
def test_an_invalid_parameter_is_refused(cache: Cache, student: Student, wrong: dict[str, Any]) -> None:
    answer = cache.read(student, "ada", **wrong)
    assert_documented(answer)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert next(iter(wrong)) in answer.json()["message"]


def test_without_a_token_there_is_no_list(cache: Cache) -> None:
    assert cache.read(None, "ada").status_code == 401


def test_a_list_is_old_until_the_time_of_the_query_cache_has_passed(
    cache: Cache, staff: Student, newcomer: Student, student: Student, advisor: str
) -> None:
    [slot] = slots(1)
    assert offer(staff, advisor, slot).status_code == 201
    assert cache.times(student, advisor) == []
    assert book(newcomer, advisor, slot).status_code == 201
    assert cache.times(student, advisor) == [], "the cluster has not kept the list"
    wait_until(lambda: cache.times(student, advisor) == [slot], "the list is new")
    # Booking decides, whatever the list says; and so does cancelling.
    assert book(student, advisor, slot).status_code == 409
    assert cancel(newcomer, advisor, slot).status_code == 204
    wait_until(lambda: cache.times(student, advisor) == [], "the list is new")


def test_a_students_own_list_is_never_old(cache: Cache, staff: Student, newcomer: Student, advisor: str) -> None:
    """It does not go through the cluster."""
    [slot] = slots(1)
    assert offer(staff, advisor, slot).status_code == 201
    assert book(newcomer, advisor, slot).status_code == 201
    listed = list_appointments(newcomer).json()["appointments"]
    assert {"advisor_id": advisor, "starts_at": slot} in listed


def test_without_a_node_lists_come_from_the_table(
    cache: Cache, stack: Stack, local_cloud: None, student: Student, advisor: str
) -> None:
    from local_cloud.faults import Faults

    faults, [first, second] = Faults(stack.client("lambda").meta.endpoint_url), slots(2)
    cache.put(advisor, first)
    assert cache.times(student, advisor) == [first]
    faults.kill(cache.cluster)
    try:
        assert cache.times(student, advisor) == [first]
        cache.put(advisor, second)
        # A new list at once: no cache is asked.
        assert cache.times(student, advisor) == [first, second]
    finally:
        faults.start(cache.cluster)

    def is_cached() -> bool:
        another = f"{advisor}-{len(seen)}"
        seen.append(another)
        before = cache.times(student, another)
        cache.put(another, first)
        return before == cache.times(student, another) == []

    seen: list[str] = []
    wait_until(is_cached, "the cluster answers again")


def test_the_cluster_reads_with_its_own_role(
    cache: Cache, stack: Stack, local_cloud: None, student: Student, advisor: str
) -> None:
    """Whoever may call the cluster reads what its role may read, so that role names one table."""
    permissions = f"{stack.client('iam').meta.endpoint_url}/_local/permissions"
    requests.get(permissions, timeout=30)
    assert cache.times(student, advisor) == []
    uses = requests.get(permissions, timeout=30).json()
    readers = {use["principal"] for use in uses if use["action"] == "dynamodb:Query" and use["allowed"]}
    assert any("-ClusterRole-" in reader for reader in readers)
    assert not any("-ListAdvisorTimesRole-" in reader for reader in readers)
