"""The deployed directory's API: its function behind API Gateway, and its containers behind the load balancer."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from deployed_directory import Directory, is_hit
from served_directory import Answer, check_answer
from stack import wait_until

PATHS = [
    "/departments",
    "/departments/mathematics",
    "/advisors?department=mathematics&limit=3",
    "/advisors?q=m%C3%BCller",
    "/courses?q=statistics",
    "/courses/physics-101",
    "/departments/alchemy",
    "/advisors?limit=0",
    "/grades",
]


def checked(
    call: Callable[..., requests.Response], path: str, method: str = "GET", **arguments: Any
) -> requests.Response:
    """An answer, which the OpenAPI document has."""
    answer = call(path, method, **arguments)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    check_answer(method, path, Answer(answer.status_code, headers, answer.content))
    return answer


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def alchemy() -> dict[str, Any]:
    """A department that does not exist."""
    name = f"alchemy-{uuid.uuid4()}"
    return {"id": name, "name": name}


@pytest.mark.parametrize("path", PATHS)
def test_the_function_and_the_containers_answer_alike(directory: Directory, path: str) -> None:
    function, container = checked(directory.function, path), checked(directory.container, path)
    assert function.status_code == container.status_code
    for header in ("Content-Type", "Cache-Control", "ETag"):
        assert function.headers.get(header) == container.headers.get(header)
    if function.status_code == 200:
        assert function.content == container.content
        for get in (directory.function, directory.container):
            wait_until(lambda get=get: is_hit(get(path)), "the cache has the answer")
            assert get(path).content == function.content
    else:
        bodies = [{**answer.json(), "request_id": ""} for answer in (function, container)]
        assert bodies[0] == bodies[1]


def test_pages_have_each_advisor_once(directory: Directory) -> None:
    found: list[str] = []
    path = "/advisors?limit=45"
    while path:
        page = checked(directory.function, path).json()
        found += [advisor["id"] for advisor in page["advisors"]]
        path = f"/advisors?limit=45&after={page['next']}" if "next" in page else ""
    assert len(set(found)) == len(found) >= 200


def test_a_search_finds_an_advisor_by_name_department_and_course(directory: Directory) -> None:
    def search(query: str) -> list[str]:
        return [one["id"] for one in checked(directory.container, f"/advisors?{query}").json()["advisors"]]

    advisor = checked(directory.function, "/advisors?q=%C3%B8stergaard").json()["advisors"][0]
    course = checked(directory.function, f"/advisors/{advisor['id']}").json()["courses"][0]
    department = advisor["departments"][0]
    assert advisor["id"] in search("q=OSTERGAARD")
    assert advisor["id"] in search(f"q=ostergaard&department={department['id']}")
    assert advisor["id"] in search(f"q=ostergaard {department['name'].split()[0]}")
    assert advisor["id"] in search(f"q=ostergaard {course['title'].split()[-1]}")


def test_who_has_an_answer_gets_it_once(directory: Directory) -> None:
    for get in (directory.function, directory.container):
        first = checked(get, "/departments")
        again = checked(get, "/departments", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]


def test_a_change_is_shown_by_the_next_read(directory: Directory, alchemy: dict[str, Any]) -> None:
    path = f"/departments/{alchemy['id']}"
    both = (directory.function, directory.container)
    assert [checked(get, path).status_code for get in both] == [404, 404]
    created = checked(directory.function, "/departments", "POST", token=directory.staff, json=alchemy)
    assert (created.status_code, created.headers["Location"]) == (201, path[1:])
    assert [checked(get, path).content for get in both] == [created.content] * 2
    replaced = directory.replace("departments", alchemy | {"name": "Gold"}, created.headers["ETag"])
    assert replaced.status_code == 200
    assert [checked(get, path).content for get in both] == [replaced.content] * 2
    assert directory.delete(path, created.headers["ETag"]).status_code == 412
    assert directory.delete(path, replaced.headers["ETag"]).status_code == 204
    assert [checked(get, path).status_code for get in both] == [404, 404]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"id": "not an id"}, "id"), ({"name": ""}, "name"), ({"name": 5}, "name"), ({"colour": "red"}, "colour")],
    ids=str,
)
def test_a_bad_field_is_named(
    directory: Directory, alchemy: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    answer = checked(directory.function, "/departments", "POST", token=directory.staff, json=alchemy | change)
    assert refusal(answer) == (400, "BAD_REQUEST")
    assert field in answer.json()["message"]


def test_only_staff_change_the_directory(directory: Directory, alchemy: dict[str, Any]) -> None:
    forged = f"{directory.staff[:-4]}AAAA"
    for method, path in [("POST", "/departments"), ("PUT", "/departments/law"), ("DELETE", "/departments/law")]:
        change = {"method": method, "json": alchemy, "headers": {"If-Match": "*"}}
        for token in ("", forged):
            assert checked(directory.function, path, **change, token=token).status_code == 401
        answer = checked(directory.function, path, **change, token=directory.student)
        assert refusal(answer) == (403, "ACCESS_DENIED")
    assert checked(directory.function, "/departments/law").status_code == 200


def test_a_change_names_what_it_changes(directory: Directory) -> None:
    law = checked(directory.function, "/departments/law")
    for method in ("PUT", "DELETE"):
        answer = checked(directory.function, "/departments/law", method, token=directory.staff, json=law.json())
        assert refusal(answer) == (428, "PRECONDITION_REQUIRED")
        headers = {"If-Match": '"another"'}
        answer = checked(
            directory.function, "/departments/law", method, token=directory.staff, json=law.json(), headers=headers
        )
        assert refusal(answer) == (412, "CHANGED")


def test_a_conflict_says_with_what(directory: Directory, alchemy: dict[str, Any]) -> None:
    for entry, code in [({"id": "law"}, "ID_TAKEN"), ({"name": "Law"}, "NAME_TAKEN")]:
        answer = checked(directory.function, "/departments", "POST", token=directory.staff, json=alchemy | entry)
        assert refusal(answer) == (409, code)
    headers = {"If-Match": "*"}
    answer = checked(directory.function, "/departments/law", "DELETE", token=directory.staff, headers=headers)
    assert refusal(answer) == (409, "IN_USE")


def test_what_the_routes_do_not_take_is_refused(directory: Directory, alchemy: dict[str, Any]) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = checked(directory.function, "/departments", "POST", token=directory.staff, data="{}", headers=headers)
    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert refusal(checked(directory.container, "/departments", "POST", json=alchemy)) == (405, "METHOD_NOT_ALLOWED")
    assert refusal(checked(directory.function, "/departments", "PATCH", json=alchemy)) == (405, "METHOD_NOT_ALLOWED")


def test_a_page_of_another_origin_may_read(directory: Directory) -> None:
    asked = {"Origin": "https://school.example", "Access-Control-Request-Method": "GET"}
    preflight = directory.function("/advisors", "OPTIONS", headers=asked)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "GET" in preflight.headers["Access-Control-Allow-Methods"]
    answer = directory.function("/advisors?limit=1", headers={"Origin": "https://school.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "etag" in answer.headers["Access-Control-Expose-Headers"]
