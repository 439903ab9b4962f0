"""What a reader and the origin get from the edge function, and what its log gets."""

import shutil
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import lambda_edge
import pytest
from reader_tokens import ACCESS_KEY, ID_KEY, NEXT_KEY, UNKNOWN_KEY, configuration, key_set, signed
from tokens import encoded, unsigned
from verifiers import Driven

NOW = 1_900_000_000
EMAIL = b"ida@school.example"
OPENS_A_PAGE = {"sec-fetch-mode": "navigate"}


def request(method: str = "GET", uri: str = "/members/notes.pdf", **headers: str) -> dict[str, Any]:
    """CloudFront's event: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html"""
    listed = {name: [{"key": name.title(), "value": value}] for name, value in headers.items()}
    sent = {"clientIp": "203.0.113.1", "method": method, "uri": uri, "querystring": "", "headers": listed}
    config = {"distributionDomainName": "d111111abcdef8.cloudfront.net", "eventType": "viewer-request"}
    return {"Records": [{"cf": {"config": config, "request": sent}}]}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def header(answer: dict[str, Any], name: str) -> str | None:
    return answer["headers"][name][0]["value"] if name in answer["headers"] else None


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer {}"},
        {"cookie": "id_token={}"},
        {"cookie": "theme=dark; id_token={}; refresh_token=secret"},
        {"cookie": "theme=dark;id_token={}"},
        {"authorization": "Bearer {}", "cookie": "id_token=another"},
    ],
)
def test_neither_the_token_nor_a_cookie_reaches_the_origin(admit_reader: Driven, headers: dict[str, str]) -> None:
    sent = {name: value.format(signed()) for name, value in headers.items()}
    event = request(**sent, **OPENS_A_PAGE, range="bytes=0-99")
    answer, _ = admit_reader(event)
    expected = event["Records"][0]["cf"]["request"]
    for name in headers:
        del expected["headers"][name]
    assert answer == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic {}"},
        {"authorization": "{}"},
        {"authorization": "Bearer {} {}"},
        {"authorization": "Bearer another", "cookie": "id_token={}"},
        {"cookie": ""},
        {"cookie": "xid_token={}"},
        {"cookie": "ID_TOKEN={}"},
        {"cookie": "id_token=another; id_token={}"},
    ],
)
def test_who_sends_no_token_has_to_sign_in(admit_reader: Driven, headers: dict[str, str]) -> None:
    sent = {name: value.format(*[signed()] * 2) for name, value in headers.items()}
    answer, _ = admit_reader(request(**sent))
    assert answer["status"] == "401"
    assert header(answer, "www-authenticate") == "Bearer"


@pytest.mark.parametrize("paid_until", ["1", None])
def test_who_has_not_paid_is_sent_to_where_to_pay(admit_reader: Driven, paid_until: str | None) -> None:
    token = bearer(signed(paid_until=paid_until))
    answer, _ = admit_reader(request(**token))
    assert (answer["status"], answer["body"]) == ("403", "The course fee is not paid.\n")
    answer, _ = admit_reader(request(**token, **OPENS_A_PAGE))
    assert (answer["status"], header(answer, "location")) == ("302", "/?return=%2Fmembers%2Fnotes.pdf")


def test_only_opening_a_page_is_redirected(admit_reader: Driven) -> None:
    answer, _ = admit_reader(request(**OPENS_A_PAGE))
    assert (answer["status"], header(answer, "location")) == ("302", "/?return=%2Fmembers%2Fnotes.pdf")
    for event in (request(), request("HEAD", **OPENS_A_PAGE), request(**{"sec-fetch-mode": "cors"})):
        answer, _ = admit_reader(event)
        assert answer["status"] == "401"
        assert "location" not in answer["headers"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_refusal_is_stored(admit_reader: Driven, method: str) -> None:
    for token in ({}, bearer(signed(paid_until="1"))):
        for more in ({}, OPENS_A_PAGE):
            answer, _ = admit_reader(request(method, **token, **more))
            assert header(answer, "cache-control") == "no-store"


@pytest.mark.parametrize(
    "uri",
    [
        "//evil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "https:evil.example",
        "https://evil.example/members/",
        "/%2f%2fevil.example",
        "/members//evil.example",
        "/members/%2f%2fevil.example",
        "/members/%2F/evil.example",
        "/members/\\evil.example",
        "/members/%5C%5Cevil.example",
        "/members/../%2fevil.example",
        "/members/..//evil.example",
        "/members/%2e%2e//evil.example",
        "/members/.%2E/evil",
        "/members/./../evil",
        "/members/..",
        "/members/\r\nSet-Cookie: id_token=evil",
        "/members/%0d%0aSet-Cookie:%20id_token=evil",
        "/members/%00",
        "/members/%7f",
        "/members/%",
        "/members/%zz",
        "/members/?return=//evil.example",
        "/members/#//evil.example",
        "/members.evil.example/",
        "/members/\ud800",
        "javascript:alert(1)",
        "@evil.example/members/",
        "",
    ],
)
def test_no_path_is_an_open_redirect(admit_reader: Driven, uri: str) -> None:
    answer, _ = admit_reader(request(uri=uri, **OPENS_A_PAGE))
    assert (answer["status"], header(answer, "location")) == ("302", "/")


@pytest.mark.parametrize(
    "path", ["/members/", "/members", "/members/a/b.c_d~e-f/", "/members/%C3%BC%20(1).pdf", "/members/...a/@:,+&'!"]
)
def test_a_reader_comes_back_to_the_same_path(admit_reader: Driven, path: str) -> None:
    answer, _ = admit_reader(request(uri=path, **OPENS_A_PAGE))
    location = urlsplit(header(answer, "location"))
    assert (location.scheme, location.netloc, location.path) == ("", "", "/")
    assert parse_qs(location.query, strict_parsing=True) == {"return": [path]}
    assert "//" not in unquote(location.query)


def test_a_token_ends_on_its_second(admit_reader: Driven) -> None:
    def status(now: float, **changes: int | str) -> str:
        answer, _ = admit_reader(request(**bearer(signed(**changes))), now=now)
        return answer.get("status", "200")

    assert status(NOW - 0.001, exp=NOW, paid_until=str(NOW)) == "200"
    assert status(NOW, exp=NOW, paid_until=str(NOW + 1)) == "401"
    assert status(NOW, exp=NOW + 1, paid_until=str(NOW)) == "403"
    assert status(NOW, exp=NOW + 1, paid_until=NOW) == "403"
    assert status(NOW, exp=NOW + 1, nbf=NOW, paid_until=str(NOW + 1)) == "200"
    assert status(NOW - 0.001, exp=NOW + 1, nbf=NOW, paid_until=str(NOW + 1)) == "401"


def test_text_is_no_time(admit_reader: Driven) -> None:
    for changes in ({"exp": str(NOW + 1)}, {"exp": [NOW + 1]}, {"nbf": str(NOW - 1)}, {"nbf": True}):
        token = signed(**{"exp": NOW + 1, "paid_until": str(NOW + 1)} | changes)
        answer, _ = admit_reader(request(**bearer(token)), now=NOW)
        assert answer["status"] == "401", changes


def fetches(admit_reader: Driven, token: str, now: float, **options: Any) -> tuple[str, int]:
    answer, number = admit_reader(request(**bearer(token)), now=now, **options)
    return answer.get("status", "200"), number


def test_made_up_key_ids_cause_one_fetch_in_ten_seconds(admit_reader: Driven) -> None:
    unknown, before = signed(UNKNOWN_KEY, exp=NOW + 60), key_set(ID_KEY, ACCESS_KEY)
    assert fetches(admit_reader, unknown, NOW, served=before, is_new=True) == ("401", 1)
    for seconds in (0, 1, 9.9):
        assert fetches(admit_reader, unknown, NOW + seconds, served=before) == ("401", 1)
    assert fetches(admit_reader, unknown, NOW + 10, served=before) == ("401", 2)
    valid = {"exp": NOW + 60, "paid_until": str(NOW + 60)}
    assert fetches(admit_reader, f"{unsigned({'alg': 'RS256'}, {})}.AA", NOW + 30, served=before) == ("401", 2)
    assert fetches(admit_reader, signed(**valid), NOW + 30, served=before) == ("200", 2)


@pytest.mark.parametrize(
    "served", [None, "nothing", {}, {"keys": []}, {"keys": [{"kid": "x", "kty": "RSA"}]}, {"message": "x"}]
)
def test_a_failed_fetch_of_the_keys_breaks_nothing_for_good(admit_reader: Driven, served: Any) -> None:
    times = {"exp": NOW + 60, "paid_until": str(NOW + 60)}
    old, new = signed(**times), signed(NEXT_KEY, **times)
    assert fetches(admit_reader, new, NOW, served=served, is_new=True) == ("401", 1)
    assert fetches(admit_reader, old, NOW + 1, served=served) == ("200", 1)
    assert fetches(admit_reader, new, NOW + 11, served=key_set(NEXT_KEY, ACCESS_KEY)) == ("200", 2)
    # The pool no longer signs with it.
    assert fetches(admit_reader, old, NOW + 30, served=key_set(NEXT_KEY, ACCESS_KEY))[0] == "401"


def test_no_log_has_a_token_or_a_cookie(admit_reader: Driven) -> None:
    tokens = [signed(), signed(paid_until="1"), signed(exp=1), signed(UNKNOWN_KEY), f"{encoded(EMAIL)}.e30.AA"]
    for number, token in enumerate(tokens):
        for headers in (bearer(token), {"cookie": f"id_token={token}"}):
            admit_reader(request(**headers), is_new=number == 3)
    log = admit_reader.log.read_text()
    assert "could not fetch the user pool's keys" in log
    # An error of the parser quotes what is no JSON.
    assert EMAIL.decode() not in log
    for part in (part for token in tokens for part in token.split(".") if len(part) > 20):
        assert part[:20] not in log


# ---- The package


def test_the_same_function_and_settings_give_the_same_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configuration()
    first = lambda_edge.package(settings)
    # With other dates.
    copy = shutil.copytree(lambda_edge.SOURCE, tmp_path / "copy", copy_function=shutil.copyfile)
    monkeypatch.setattr(lambda_edge, "SOURCE", copy)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(NOW))
    assert lambda_edge.package(dict(reversed(settings.items()))) == first
    with zipfile.ZipFile(BytesIO(first)) as files:
        assert sorted(files.namelist()) == ["admit-reader.mjs", "config.json", "pages/return-path.mjs"]
