"""A student's actions in the library, in real browsers."""

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import browsers
import materials
import pay
import pytest
import requests
from browsers import check_view, expect_view, press, quiet_page, sign_in, visit
from deployed_content import Content
from library_pages import NOTES, PASSWORD, Reader, enter, expect_list, expect_notes, expect_notice, new_reader
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from rooms import PROJECT
from stack import Stack

LARGE = "/members/lectures/first.mp4"
LARGE_BYTES = 24_000_000
OPEN_REDIRECTS = [
    "//evil.example",
    "///evil.example/members/",
    "/\\evil.example",
    "/members/\\evil.example",
    "https:evil.example",
    "https://evil.example/members/",
    "%2f%2fevil.example",
    "/members/%2f%2fevil.example",
    "/members//evil.example",
    "/members/..//evil.example",
    "/members/%2e%2e//evil.example",
    "/members/\r\nSet-Cookie: a=b",
    "/members/%0d%0aSet-Cookie:%20a=b",
    "/session",
    "javascript:alert(1)",
    "",
]


@pytest.fixture(scope="module")
def library(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """With material, of which one file is large."""
    folder = tmp_path_factory.mktemp("material")
    large = folder / LARGE.removeprefix("/members/")
    large.parent.mkdir()
    large.write_bytes(bytes(range(256)) * (LARGE_BYTES // 256))
    materials.upload(content.stack, materials.EXAMPLE)
    materials.upload(content.stack, folder)
    return content


@pytest.fixture
def reader(stack: Stack) -> Reader:
    return new_reader(stack)


@pytest.fixture
def payer(library: Content, reader: Reader) -> Reader:
    library.pay(reader.student_id)
    return reader


@pytest.fixture(scope="module", params=["chromium"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with browsers.running(request.param) as browser:
        yield browser


in_each_browser = pytest.mark.parametrize("browser", browsers.EXECUTABLES, indirect=True)


@pytest.fixture
def context(browser: Browser, library: Content) -> Iterator[BrowserContext]:
    with visit(browser, library.url, timezone_id="Asia/Kolkata") as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with quiet_page(context) as page:
        yield page


# ---- Who has paid, who has not, and who has not any more


@in_each_browser
def test_who_has_paid_reads_and_leaves_no_trace(context: BrowserContext, page: Page, payer: Reader) -> None:
    page.goto("/")
    enter(page, payer, "Wrong-Horse-7-Battery")
    expect(page.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Sign in")
    expect_list(page)
    picture = page.get_by_role("listitem").filter(has_text="Vectors: Sum of two")
    expect(picture).to_contain_text("Picture, 772 bytes")
    assert all(cookie["httpOnly"] and cookie["secure"] for cookie in context.cookies())
    assert {cookie["path"] for cookie in context.cookies()} == {"/members/"}

    page.get_by_role("link", name="Vectors: Notes", exact=True).click()
    expect_notes(page)
    page.goto("/")
    expect_list(page)

    press(page, "Sign out")
    expect_notice(page, "You have signed out.")
    assert context.cookies() == []
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert page.get_by_role("listitem").count() == 0
    assert page.goto(NOTES).status == 403


def test_who_has_not_paid_is_told_how_to(page: Page, library: Content, reader: Reader) -> None:
    page.goto("/")
    enter(page, reader)
    expect_view(page, "Pay the course fee")
    press(page, "I have paid: check again")
    expect_notice(page, "We have no new payment of yours.")
    library.pay(reader.student_id)
    press(page, "I have paid: check again")
    expect_list(page)


def test_who_has_just_lapsed_is_told_since_when(page: Page, library: Content, payer: Reader) -> None:
    page.clock.install()
    page.goto("/")
    enter(page, payer)
    expect_list(page)
    library.lapse(payer.student_id)
    # The next renewal finds out.
    page.clock.fast_forward("14:00")
    expect_view(page, "Your access has ended")
    expect(page.get_by_text("Your course fee was paid until")).to_contain_text(f"{datetime.now(timezone.utc):%Y}")
    assert page.get_by_role("listitem").count() == 0


def test_all_spellings_of_an_address_sign_in(page: Page, library: Content, reader: Reader) -> None:
    page.goto("/")
    page.get_by_label("Password", exact=True).fill("Wrong-Horse-7-Battery")
    name = reader.email.partition("@")[0]
    spellings = {
        f" {name.upper()}@School.EXAMPLE\u200b": reader.email,
        f"{name}\uff20\uff53chool\u3002example": reader.email,
        f"{name}@mu\u0308nchen.example": f"{name}@xn--mnchen-3ya.example",
    }
    for spelling, expected in spellings.items():
        page.get_by_label("E-mail address").fill(spelling)
        with page.expect_request(lambda request: "USERNAME" in (request.post_data or "")) as sent:
            press(page, "Sign in")
        assert sent.value.post_data_json["AuthParameters"]["USERNAME"] == expected
        expect(page.get_by_role("alert")).to_contain_text("wrong")
    page.get_by_label("E-mail address").fill("a da@school.example")
    press(page, "Sign in")
    expect(page.get_by_label("E-mail address")).to_have_accessible_description("This is not an e-mail address.")


@pytest.mark.parametrize("status", [503, 504, 429, None])
def test_a_failure_can_be_tried_again(context: BrowserContext, page: Page, payer: Reader, status: int | None) -> None:
    sign_in(context, payer)
    answer = {"code": "TRY_AGAIN", "request_id": "4711"}

    def fail(route: Route) -> None:
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, json=answer)

    page.route("**/session", fail)
    page.goto("/")
    expect_view(page, "This does not work at the moment")
    if status:
        expect(page.get_by_text("give the number 4711")).to_be_visible()
    page.unroute("**/session")
    press(page, "Try again")
    expect_list(page)


# ---- The session


def test_the_session_is_renewed_before_it_ends(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    page.clock.install()
    page.goto("/")
    expect_list(page)
    for _ in range(2):
        with page.expect_response("**/session") as renewed:
            page.clock.fast_forward("13:30")
        assert renewed.value.status == 200
    expect(page.get_by_role("heading", name="Course material")).to_be_visible()


def test_a_link_waits_for_a_session_that_has_ended(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    page.goto("/")
    expect_list(page)
    context.clear_cookies()
    # As after the machine has slept, before any timer.
    page.evaluate("const now = Date.now; Date.now = () => now() + 3600e3")
    page.get_by_role("link", name="Vectors: Notes", exact=True).click()
    expect_notes(page)


def test_a_wrong_clock_does_no_harm(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script("const now = Date.now; Date.now = () => now() + 86400e3")
    page.goto("/")
    expect_list(page)
    page.get_by_role("link", name="Vectors: Notes", exact=True).click()
    expect_notes(page)
    assert sum(url.endswith("/session") for url in asked) == 1


def test_who_has_to_sign_in_again_comes_to_where_they_wanted(
    context: BrowserContext, page: Page, payer: Reader
) -> None:
    page.goto("/")
    enter(page, payer)
    expect_list(page)
    page.evaluate("sessionStorage.setItem('id_token', 'expired')")
    page.evaluate("const now = Date.now; Date.now = () => now() + 3600e3")
    page.get_by_role("link", name="Vectors: Notes", exact=True).click()
    expect_notice(page, "You have to sign in again.")
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    enter(page, payer)
    expect_notes(page)
    page.go_back()
    expect_list(page)


def test_an_answer_after_the_sign_out_is_not_shown(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    waiting: list[Route] = []
    page.route("**/members/catalog.json", lambda route: waiting.append(route))
    with page.expect_request("**/members/catalog.json"):
        page.goto("/")
    press(page, "Sign out")
    expect_notice(page, "You have signed out.")
    with page.expect_event("requestfinished"):
        waiting[0].fulfill(json=[{"path": NOTES, "title": "Notes", "bytes": 1, "type": "text/plain"}])
    # What the page does with the answer has happened by then.
    page.evaluate("new Promise(requestAnimationFrame)")
    expect_view(page, "Sign in")
    expect_notice(page, "You have signed out.")
    assert page.get_by_role("listitem").count() == 0
    assert context.cookies() == []


def test_signing_out_waits_for_a_session_that_is_being_opened(
    context: BrowserContext, page: Page, payer: Reader
) -> None:
    sign_in(context, payer)
    waiting: list[Route] = []
    page.route(
        "**/session", lambda route: waiting.append(route) if route.request.method == "POST" else route.continue_()
    )
    with page.expect_request("**/session"):
        page.goto("/")
    press(page, "Sign out")
    waiting[0].continue_()
    expect_notice(page, "You have signed out.")
    assert context.cookies() == []


def test_signing_out_in_one_tab_signs_out_in_all(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    page.goto("/")
    expect_list(page)
    other = context.new_page()
    other.goto("/")
    expect_list(other)
    press(page, "Sign out")
    for tab in (page, other):
        expect_notice(tab, "You have signed out.")
    assert context.cookies() == []


def test_who_is_not_signed_out_completely_is_told(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    page.goto("/")
    expect_list(page)
    page.route("**/session", lambda route: route.abort())
    press(page, "Sign out")
    expect(page.get_by_text("You are not signed out")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.unroute("**/session")
    press(page, "Try again")
    expect_notice(page, "You have signed out.")
    assert context.cookies() == []


# ---- Coming back


@in_each_browser
def test_who_opens_material_first_comes_back_to_it(page: Page, payer: Reader) -> None:
    assert page.goto(NOTES).status == 403
    expect(page).to_have_title("For students who have paid · Registrar")
    page.get_by_role("link", name="Go on").click()
    enter(page, payer)
    expect_notes(page)


def test_a_redirect_that_is_refused_is_followed_once(context: BrowserContext, page: Page, payer: Reader) -> None:
    sign_in(context, payer)
    # As the edge function answers, for example if its clock is wrong.
    page.route(f"**{NOTES}", lambda route: route.fulfill(status=302, headers={"Location": f"/?return={NOTES}"}))
    page.goto(f"/?return={NOTES}")
    expect_notice(page, "We can't open what you asked for.")
    expect_list(page)


@pytest.mark.parametrize("path", OPEN_REDIRECTS)
def test_no_return_is_an_open_redirect(context: BrowserContext, page: Page, payer: Reader, path: str) -> None:
    sign_in(context, payer)
    went: list[str] = []
    page.on("framenavigated", lambda frame: went.append(frame.url))
    page.on("request", lambda request: went.append(request.url))
    page.goto("/?" + urlencode({"return": path}))
    expect_list(page)
    page.wait_for_load_state("networkidle")
    origin = page.evaluate("location.origin")
    assert page.url == f"{origin}/"
    assert all(url.startswith(f"{origin}/") for url in went)


# ---- Large files


@dataclass
class Breaking:
    """A proxy that breaks the connection in the middle of the large file, once."""

    port: int
    ranges: list[str | None]


@contextmanager
def breaking(after: int) -> Iterator[Breaking]:
    ranges: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            asked = urlsplit(self.path)
            # Only browsers know where names below localhost are.
            url = f"http://127.0.0.1:{asked.port}{asked.path}"
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            sent = {"headers": self.headers, "data": body, "timeout": 60}
            with requests.request(self.command, url, stream=True, **sent) as answer:
                self.send_response(answer.status_code)
                for name, value in answer.raw.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                done, breaks = 0, False
                if asked.path == LARGE:
                    ranges.append(self.headers["Range"])
                    breaks = len(ranges) == 1
                for part in answer.raw.stream(65536, decode_content=False):
                    self.wfile.write(part)
                    done += len(part)
                    if breaks and done >= after:
                        return

        do_GET = do_POST = forward

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Breaking(server.server_port, ranges)
    server.shutdown()


def test_a_download_goes_on_where_it_was_interrupted(
    browser: Browser, library: Content, payer: Reader, local_cloud: None
) -> None:
    with breaking(after=5_000_000) as proxy:
        settings = {"proxy": {"server": f"http://127.0.0.1:{proxy.port}"}}
        with visit(browser, library.url, **settings) as context, quiet_page(context) as page:
            sign_in(context, payer)
            page.goto("/")
            expect_list(page)
            with page.expect_download() as downloaded:
                page.get_by_role("link", name="Download Lectures: First").click()
            content = downloaded.value.path().read_bytes()
    assert downloaded.value.suggested_filename == "first.mp4"
    assert content == bytes(range(256)) * (LARGE_BYTES // 256)
    first, second = proxy.ranges
    assert first is None
    assert re.fullmatch(r"bytes=[1-9]\d{6,}-", second)


# ---- The pages


def views(page: Page, library: Content, reader: Reader) -> Iterator[str]:
    """Brings the page into each of its states."""
    page.goto("/")
    expect_view(page, "Sign in")
    yield "sign-in"
    press(page, "Sign in")
    expect(page.get_by_role("alert")).to_be_focused()
    yield "sign-in-problems"
    page.goto(NOTES)
    yield "forbidden"
    page.goto("/nothing")
    yield "not-found"
    page.goto("/")
    enter(page, reader)
    expect_view(page, "Pay the course fee")
    yield "not-paid"
    library.pay(reader.student_id)
    press(page, "I have paid: check again")
    expect_list(page)
    yield "material"
    library.lapse(reader.student_id)
    page.reload()
    expect_view(page, "Your access has ended")
    yield "lapsed"
    page.route("**/session", lambda route: route.abort())
    page.reload()
    expect_view(page, "This does not work at the moment")
    yield "unavailable"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_every_view_is_accessible(browser: Browser, library: Content, reader: Reader, scheme: Any, width: int) -> None:
    settings = {"color_scheme": scheme, "reduced_motion": "reduce", "viewport": {"width": width, "height": 800}}
    with visit(browser, library.url, **settings) as context:
        page = context.new_page()
        for view in views(page, library, reader):
            check_view(page, f"library-{view}", scheme, width)


def test_reading_needs_no_mouse(page: Page, payer: Reader) -> None:
    page.goto("/")
    expect_view(page, "Sign in")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(payer.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect_list(page)
    notes = page.get_by_role("link", name="Vectors: Notes", exact=True)
    while not notes.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_notes(page)


def test_the_browser_runs_and_reaches_only_what_the_pages_need(page: Page, stack: Stack) -> None:
    answer = page.goto("/")
    policy = dict(directive.split(" ", 1) for directive in re.split(r";\s*", answer.headers["content-security-policy"]))
    cognito = stack.client("cognito-idp").meta.endpoint_url
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {cognito}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    for file in (PROJECT / "edge/content/pages").glob("*.html"):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", file.read_text())


# ---- Course material and payments by command


def test_a_name_that_no_student_could_open_is_refused(library: Content, tmp_path: Path, browser: Browser) -> None:
    for name in ("line\nbreak.txt", "back\\slash.txt", "catalog.json", "delete\x7f.txt", "x" * 255):
        folder = tmp_path / uuid.uuid4().hex
        deep = folder.joinpath(*["y" * 255] * 4) if name.startswith("x") else folder
        deep.mkdir(parents=True)
        (deep / name).write_text("")
        with pytest.raises(SystemExit, match="Rename"):
            materials.upload(library.stack, folder)


def test_a_student_comes_back_to_any_name_that_is_not_refused(tmp_path: Path, page: Page, library: Content) -> None:
    page.goto("/")
    names = [chr(code) for code in range(1, 0x250) if chr(code) not in "/."] + ["...", "a b", "%2f", "%", "😀", "..a"]
    for name in names:
        key = f"{materials.PREFIX}{name}"
        path = f"/{quote(key)}"
        matches = page.evaluate("async path => (await import('/return-path.mjs')).RETURN_PATH.test(path)", path)
        assert matches == (materials.problem(key) is None), repr(name)


def test_a_payment_by_command_is_of_the_student_with_that_address(stack: Stack, reader: Reader) -> None:
    assert pay.student_id(stack, reader.email.upper()) == reader.student_id
    assert pay.student_id(stack, reader.student_id) == reader.student_id
    with pytest.raises(SystemExit, match="No student"):
        pay.student_id(stack, "nobody@school.example")
    assert pay.in_rfc_3339(pay.end("2027-03-31")) == "2027-03-31T23:59:59.000Z"
    assert pay.in_rfc_3339(pay.end("2027-03-31T12:00:00+02:00")) == "2027-03-31T10:00:00.000Z"
