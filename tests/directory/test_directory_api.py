"""The promises of the directory's API, from the function and the container, with real servers."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, quote

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

pytest.importorskip("local_cloud.servers", reason="needs local/")
served_directory = pytest.importorskip("served_directory")

Answer = served_directory.Answer
ServedDirectory = served_directory.ServedDirectory
wait_until = served_directory.wait_until

ADA = {
    "id": "ada",
    "given_name": "Ada",
    "family_name": "Byron",
    "email": "ada@school.example",
    "office": "Building 1, room 1",
    "departments": ["mathematics", "computer-science"],
}
ENGINES = {
    "id": "engines",
    "title": "Analytical Engines",
    "description": "How to weave algebraical patterns.",
    "credits": 6,
    "department": "mathematics",
    "advisors": [],
}
BAD_FIELDS = [
    ("advisors", ADA | {"id": "not an id"}, "id"),
    ("advisors", ADA | {"given_name": " "}, "given_name"),
    ("advisors", ADA | {"family_name": "L" * 101}, "family_name"),
    ("advisors", ADA | {"email": "ada"}, "email"),
    ("advisors", ADA | {"office": "\x00"}, "office"),
    ("advisors", ADA | {"departments": ["mathematics", "mathematics"]}, "departments"),
    ("advisors", ADA | {"departments": ["alchemy"]}, "departments"),
    ("advisors", ADA | {"departments": "mathematics"}, "departments"),
    ("advisors", ADA | {"age": 36}, "age"),
    ("advisors", {name: ADA[name] for name in ADA if name != "email"}, "email"),
    ("courses", ENGINES | {"credits": 61}, "credits"),
    ("courses", ENGINES | {"credits": 1.5}, "credits"),
    ("courses", ENGINES | {"department": "alchemy"}, "department"),
    ("courses", ENGINES | {"advisors": ["nobody"]}, "advisors"),
    ("courses", ENGINES | {"description": "d" * 2001}, "description"),
    ("courses", ENGINES | {"title": ""}, "title"),
    ("departments", {"id": "alchemy", "name": None}, "name"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDirectory]:
    directory = ServedDirectory(tmp_path_factory.mktemp("directory"))
    yield directory
    directory.stop()


@pytest.fixture
def ada(directory: ServedDirectory) -> Iterator[Answer]:
    """An advisor, whom the test may change or delete."""
    answer = directory.staff.post("/advisors", ADA)
    assert answer.status == 201
    yield answer
    left = directory.staff.get("/advisors/ada")
    if left.status == 200:
        assert directory.staff.delete("/advisors/ada", left.tag).status == 204


def items(answer: Answer, plural: str) -> list[dict[str, Any]]:
    assert answer.status == 200
    return answer.json[plural]


def test_the_function_and_the_container_give_the_same_bytes(directory: ServedDirectory) -> None:
    advisor = items(directory.anyone.get("/advisors?limit=1"), "advisors")[0]["id"]
    for path in [
        "/departments",
        "/departments/mathematics",
        "/advisors",
        "/advisors?department=mathematics&limit=3",
        f"/advisors?q={quote('müller')}",
        f"/advisors/{advisor}",
        "/courses?q=statistics",
        "/courses/physics-101",
    ]:
        for _ in range(2):
            function, container = directory.anyone.get(path), directory.container.get(path)
            assert function.status == container.status == 200
            assert function.body == container.body
            for header in ("etag", "content-type", "cache-control"):
                assert function.headers[header] == container.headers[header]
        assert container.is_hit


def test_pages_have_each_advisor_once_in_the_order_of_names(directory: ServedDirectory) -> None:
    found: list[dict[str, Any]] = []
    path = "/advisors?limit=45"
    while path:
        page = directory.container.get(path).json
        found += page["advisors"]
        path = f"/advisors?limit=45&after={page['next']}" if "next" in page else ""
    assert len({one["id"] for one in found}) == len(found) == 200
    plain = [one["family_name"] for one in found if one["family_name"].isascii()]
    assert plain == sorted(plain)


def test_an_advisor_is_found_by_name_department_and_course(directory: ServedDirectory) -> None:
    def search(**parameters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
        return items(directory.anyone.get(f"/advisors?limit=100&{query}"), "advisors")

    [zuzana] = search(q="zuzana  OSTERGAARD")
    assert (zuzana["given_name"], zuzana["family_name"]) == ("Zuzana", "Østergaard")
    in_music = search(department="music")
    assert {one["id"] for one in search(q="music")} == {one["id"] for one in in_music}
    assert all("music" in [department["id"] for department in one["departments"]] for one in in_music)
    by_course = search(q="Music MEASUREMENT")
    assert by_course
    for one in by_course:
        titles = [course["title"] for course in directory.anyone.get(f"/advisors/{one['id']}").json["courses"]]
        assert any("Measurement" in title for title in titles)
    assert search(q="%") == search(q="no such person") == search(department="alchemy") == []


def test_a_client_that_has_the_answer_gets_304(directory: ServedDirectory) -> None:
    first = directory.container.get("/departments")
    again = directory.container.get("/departments", if_none_match=f'"other", W/{first.tag}')
    assert (again.status, again.body, again.tag) == (304, b"", first.tag)
    assert directory.container.get("/departments", if_none_match='"other"').status == 200
    assert first.headers["cache-control"] == "no-cache"


def test_staff_change_the_directory_and_the_next_read_shows_it(directory: ServedDirectory) -> None:
    """Although the replica has none of the changes, and the cache has the answers of before."""
    container, staff = directory.container, directory.staff
    directory.replica.pause_replay()
    try:
        paths = [
            "/advisors/ada",
            "/courses/engines",
            "/advisors?q=engines",
            "/courses?q=engines",
            "/advisors?q=byron",
        ]
        for path in paths:
            container.get(path)
        created = staff.post("/advisors", ADA)
        assert created.status == 201
        assert created.headers["location"] == "advisors/ada"
        assert container.get("/advisors/ada").body == created.body

        course = staff.post("/courses", ENGINES | {"advisors": ["ada"]})
        assert course.status == 201
        taught = {"id": "engines", "title": "Analytical Engines"}
        assert container.get("/advisors/ada").json["courses"] == [taught]
        assert [one["id"] for one in items(container.get("/advisors?q=engines"), "advisors")] == ["ada"]
        assert [one["id"] for one in items(container.get("/courses?q=engines"), "courses")] == ["engines"]

        # The course's teacher has a new name, so the course has another tag.
        advisor = container.get("/advisors/ada")
        renamed = staff.put("/advisors/ada", ADA | {"family_name": "King", "departments": ["physics"]}, advisor.tag)
        assert renamed.json["family_name"] == "King"
        assert renamed.json["departments"] == [{"id": "physics", "name": "Physics"}]
        assert container.get("/courses/engines").json["advisors"][0]["family_name"] == "King"
        assert items(container.get("/advisors?q=byron"), "advisors") == []
        assert staff.put("/courses/engines", ENGINES, course.tag).status == 412

        # So has each of its courses if a department has a new name.
        physics = container.get("/departments/physics")
        assert staff.put("/departments/physics", {"name": "Natural Philosophy"}, physics.tag).status == 200
        assert container.get("/advisors/ada").json["departments"][0]["name"] == "Natural Philosophy"
        renamed_department = container.get("/departments/physics")
        assert staff.put("/departments/physics", {"name": "Physics"}, renamed_department.tag).status == 200

        assert staff.delete("/advisors/ada", advisor.tag).status == 412
        assert staff.delete("/advisors/ada", container.get("/advisors/ada").tag).status == 204
        assert container.get("/advisors/ada").status == 404
        assert container.get("/courses/engines").json["advisors"] == []
        assert staff.delete("/courses/engines", container.get("/courses/engines").tag).status == 204
        assert container.get("/courses/engines").status == 404
    finally:
        directory.replica.resume_replay()


@pytest.mark.parametrize(("plural", "body", "field"), BAD_FIELDS, ids=lambda value: value if type(value) is str else "")
def test_a_bad_field_is_named(directory: ServedDirectory, plural: str, body: dict[str, Any], field: str) -> None:
    answer = directory.staff.post(f"/{plural}", body)
    assert answer.status == 400
    assert answer.json["code"] == "BAD_REQUEST"
    assert field in answer.json["message"]
    assert answer.json["request_id"] == "UfYZxjGFliAEJ5Q="


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=x", "q=%00", "department=a%20b", "limit=1&limit=2"])
def test_a_bad_parameter_is_named(directory: ServedDirectory, query: str) -> None:
    for served in (directory.anyone, directory.container):
        answer = served.get(f"/advisors?{query}")
        assert answer.status == 400
        assert query.partition("=")[0] in answer.json["message"]


def test_a_body_that_is_not_one_object_in_json_is_refused(directory: ServedDirectory) -> None:
    as_json = {"content-type": "application/json"}
    for body, headers, status in [
        ("", as_json, 400),
        ("[1", as_json, 400),
        ('{"id": "x", "name": "X"} {}', as_json, 400),
        ("{}", {"content-type": "text/plain"}, 415),
        (json.dumps({"name": "X" * 70_000}), as_json, 413),
    ]:
        assert directory.staff.request("POST", "/departments", headers=headers, body=body).status == status


def test_only_staff_change_the_directory(directory: ServedDirectory, ada: Answer) -> None:
    for api, status, code in [(directory.anyone, 401, "UNAUTHORIZED"), (directory.student, 403, "ACCESS_DENIED")]:
        for answer in [
            api.post("/departments", {"id": "alchemy", "name": "Alchemy"}),
            api.put("/advisors/ada", ADA, ada.tag),
            api.delete("/advisors/ada", ada.tag),
        ]:
            assert (answer.status, answer.json["code"]) == (status, code)
    assert directory.anyone.get("/advisors/ada").body == ada.body


def test_a_change_names_the_representation_that_it_changes(directory: ServedDirectory, ada: Answer) -> None:
    for method, body in [("PUT", ADA), ("DELETE", None)]:
        answer = directory.staff.request(method, "/advisors/ada", body)
        assert (answer.status, answer.json["code"]) == (428, "PRECONDITION_REQUIRED")
    assert directory.staff.put("/advisors/ada", ADA, f"W/{ada.tag}").status == 412
    assert directory.staff.put("/advisors/nobody", ADA | {"id": "nobody"}, "*").status == 404
    assert directory.staff.put("/advisors/ada", ADA | {"id": "grace"}, ada.tag).status == 400
    assert directory.staff.put("/advisors/ada", ADA, f'"other", {ada.tag}').body == ada.body


def test_conflicts_say_with_what(directory: ServedDirectory, ada: Answer) -> None:
    staff = directory.staff
    for answer, code in [
        (staff.post("/advisors", ADA), "ID_TAKEN"),
        (staff.post("/advisors", ADA | {"id": "ada-2"}), "EMAIL_TAKEN"),
        (staff.post("/departments", {"id": "maths", "name": "Mathematics"}), "NAME_TAKEN"),
        (staff.delete("/departments/mathematics", staff.get("/departments/mathematics").tag), "IN_USE"),
    ]:
        assert (answer.status, answer.json["code"]) == (409, code)


def test_unknown_routes_and_methods_have_the_form_of_other_errors(directory: ServedDirectory) -> None:
    for path in ["/grades", "/advisors/nobody", "/advisors/not%20an%20id", "/advisors/%FF", "/"]:
        for served in (directory.anyone, directory.container):
            assert served.get(path).status == 404
    wrong = directory.container.request("POST", "/advisors", json=ADA)
    assert (wrong.status, wrong.json["code"], wrong.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET,HEAD")


def test_a_lost_connection_costs_no_request(directory: ServedDirectory, ada: Answer) -> None:
    """As when a proxy was restarted while Lambda had frozen the function."""
    answers: list[Answer] = []
    for _ in range(5):
        directory.function.process.freeze()
        for server in (directory.primary, directory.replica):
            server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(usename, 'directory')")
        changing = threading.Thread(target=lambda: answers.append(directory.staff.put("/advisors/ada", ADA, ada.tag)))
        changing.start()
        directory.function.process.thaw()
        changing.join()
        assert directory.container.get("/courses/law-102").status == 200
    assert [answer.status for answer in answers] == [200] * 5


def test_reads_go_to_the_writer_while_the_reader_is_down(directory: ServedDirectory) -> None:
    numbers = iter(range(101, 181))
    container = directory.new_container()
    connected = len(directory.tokens)

    def has_read_from_replica() -> bool:
        assert container.get(f"/courses/history-{next(numbers)}").status == 200
        directory.settle()
        return "directory_reader" in {user for user, _, _ in directory.tokens[connected:]}

    wait_until(has_read_from_replica)
    directory.replica.stop()
    try:
        for _ in range(10):
            assert container.get(f"/courses/history-{next(numbers)}").status == 200
    finally:
        directory.replica.start()
        container.process.stop()


def test_without_the_writer_cached_answers_remain_and_changes_are_refused(directory: ServedDirectory) -> None:
    kept = directory.container.get("/departments")
    directory.writer.listener.close()
    directory.reader.listener.close()
    try:
        # The cache has 50 ms to answer, which can be too short on a busy machine.
        for served in (directory.container, directory.anyone):
            wait_until(lambda served=served: served.get("/departments").body == kept.body)
        refused = directory.staff.post("/departments", {"id": "alchemy", "name": "Alchemy"})
        assert (refused.status, refused.json["code"]) == (503, "TRY_AGAIN")
        assert refused.headers["retry-after"] == "5"
        assert directory.container.get("/courses/music-160").status == 503
        assert directory.container.request("GET", "/health").status == 200
        assert directory.container.request("GET", "/ready").status == 503
    finally:
        directory.writer.listener.open()
        directory.reader.listener.open()
    wait_until(lambda: directory.container.request("GET", "/ready").status == 200)
    assert directory.staff.get("/departments/alchemy").status == 404


def test_a_change_that_waits_for_another_is_given_up(directory: ServedDirectory, ada: Answer) -> None:
    """The role has the time-outs: a SET would pin a connection of RDS Proxy."""
    import psycopg2

    with psycopg2.connect(host="127.0.0.1", port=directory.primary.port, user="rdsadmin", dbname="directory") as other:
        other.cursor().execute("SELECT FROM advisors WHERE id = 'ada' FOR UPDATE")
        assert directory.staff.put("/advisors/ada", ADA, ada.tag).status == 503
    assert directory.staff.put("/advisors/ada", ADA, ada.tag).status == 200


def test_without_the_cache_answers_are_right(directory: ServedDirectory) -> None:
    directory.valkey.stop()
    try:
        before = directory.container.get("/departments/law")
        change = directory.staff.put("/departments/law", {"name": "Laws"}, before.tag)
        assert change.status == 200
        assert change.headers["cache-status"] == "directory; fwd=method; detail=unreached"
        assert directory.container.get("/departments/law").json["name"] == "Laws"
        assert directory.staff.put("/departments/law", {"name": "Law"}, change.tag).status == 200
    finally:
        directory.valkey.start()
    assert directory.container.get("/departments/law").json["name"] == "Law"


def test_tokens_are_those_of_the_sdk(directory: ServedDirectory) -> None:
    directory.container.get("/departments/law")
    environment = directory.environment
    signer = Credentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], environment["AWS_SESSION_TOKEN"]
    )

    def expected(token: str, service: str, url: str) -> str:
        [date] = parse_qs(token)["X-Amz-Date"]
        request = AWSRequest("GET", url)
        now = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        with patch("botocore.auth.get_current_datetime", return_value=now):
            SigV4QueryAuth(signer, service, "eu-central-1", expires=900).add_auth(request)
        return request.url.partition("//")[2]

    assert {user for user, _, _ in directory.tokens} == {"directory_reader", "directory_writer"}
    for user, token, port in directory.tokens:
        assert token == expected(token, "rds-db", f"https://127.0.0.1:{port}/?Action=connect&DBUser={user}")
    for token in directory.cache_tokens:
        assert token == expected(token, "elasticache", "http://school/?Action=connect&User=directory")


def test_the_container_finishes_what_it_began(directory: ServedDirectory) -> None:
    """And ends when it is told to."""
    import psycopg2

    container = directory.new_container()
    answers: list[Answer] = []
    with psycopg2.connect(host="127.0.0.1", port=directory.primary.port, user="rdsadmin", dbname="directory") as other:
        # So that the read waits: the cache has no answer, and after a change it asks the writer.
        change = directory.staff.get("/departments/law")
        assert directory.staff.put("/departments/law", {"name": "Law"}, change.tag).status == 200
        other.cursor().execute("LOCK TABLE departments")
        reading = threading.Thread(target=lambda: answers.append(container.get("/departments/law")))
        reading.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'directory_reader'"
        wait_until(lambda: len(directory.primary.run(waiting)) == 1)
        stopping = threading.Thread(target=container.process.stop)
        stopping.start()
    reading.join()
    stopping.join()
    assert answers[0].status == 200
    assert container.process.status == 0


def test_migrations_are_repeated_without_harm_and_each_request_is_answered(directory: ServedDirectory) -> None:
    received: list[dict[str, Any]] = []

    class Bucket(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_PUT(self) -> None:
            assert self.headers["Content-Type"] in (None, "")
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    bucket = HTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=bucket.serve_forever, daemon=True).start()
    request = {
        "ResponseURL": f"http://127.0.0.1:{bucket.server_address[1]}/answer?signature=secret",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Schema",
        "ResourceType": "Custom::DirectorySchema",
        "ResourceProperties": {"ServiceToken": "arn"},
    }
    assert directory.migrated["message"].startswith("1 ")
    departments = directory.container.get("/departments").body
    for request_type, status, reason in [
        ("Update", "SUCCESS", "0 migrations were applied."),
        ("Delete", "SUCCESS", "Nothing is deleted: the data belongs to the cluster."),
        ("Seed", "FAILED", "the directory is not empty: example data is only for an empty one"),
        ("Explode", "FAILED", "the request type Explode is unknown: it has to be Create, Update, Delete or Seed"),
    ]:
        directory.migrate.invoke(request | {"RequestType": request_type})
        assert received.pop() == {
            "Status": status,
            "Reason": reason,
            "PhysicalResourceId": "directory-schema",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Schema",
        }
    directory.writer.listener.close()
    try:
        directory.migrate.invoke(request | {"RequestType": "Update"})
        assert received.pop()["Status"] == "FAILED"
    finally:
        directory.writer.listener.open()
        bucket.shutdown()
    directory.forget()
    assert directory.container.get("/departments").body == departments


def test_logs_and_errors_have_no_token_and_nothing_of_the_database(directory: ServedDirectory) -> None:
    """Runs last: of all that the tests before have caused."""
    log = (directory.directory / "log").read_text()
    assert "the reader failed" in log
    for secret in ("X-Amz-Signature", "correct horse", "ada@school.example", "SELECT ", "signature=secret"):
        assert secret not in log, secret
