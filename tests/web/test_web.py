"""A student's actions on the page, in real browsers."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import browsers
import pytest
import room_modules
from booking import book as book_slot
from booking import list_appointments, offer
from browsers import check_view, expect_view, field, press, quiet_page, sign_in, visit
from local_mailbox import mails_to
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from rooms import PROJECT
from stack import Stack, Student, wait_until
from tokens import claims_of

# Not the school's time zone: 09:00 there is 03:30 in UTC.
TIME_ZONE = "Asia/Kolkata"
PASSWORD = "Correct-Horse-7-Battery"
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
publish = room_modules.load(PROJECT / "scripts", "publish")["web"]
ADDRESSES = json.loads((PROJECT / "crates/accounts/addresses.json").read_text())


@pytest.fixture(scope="module", params=browsers.EXECUTABLES)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with browsers.running(request.param) as browser:
        yield browser


@pytest.fixture(scope="module")
def web_url(stack: Stack) -> str:
    return publish.publish(stack)


@pytest.fixture
def context(browser: Browser, web_url: str) -> Iterator[BrowserContext]:
    with visit(browser, web_url, timezone_id=TIME_ZONE) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with quiet_page(context) as page:
        yield page


@dataclass
class Newcomer:
    """A person without an account, with a new address."""

    email: str
    given_name: str = "Ada"
    family_name: str = "Lovelace"
    date_of_birth: str = "2005-12-10"
    programme: str = "Mathematics"


@pytest.fixture
def newcomer() -> Newcomer:
    return Newcomer(f"ada-{uuid.uuid4()}@school.example")


@pytest.fixture
def advisor() -> str:
    """An advisor whom no other test uses."""
    return f"advisor-{uuid.uuid4()}"


@pytest.fixture
def day() -> str:
    """A day on which no other test, and no earlier execution of this one, has booked."""
    number = uuid.uuid4().int
    return f"20{40 + number % 50}-{1 + number // 50 % 12:02}-{1 + number // 600 % 28:02}"


def fill_in(page: Page, newcomer: Newcomer) -> None:
    field(page, "E-mail address").fill(newcomer.email)
    field(page, "Given name").fill(newcomer.given_name)
    field(page, "Family name").fill(newcomer.family_name)
    field(page, "Date of birth").fill(newcomer.date_of_birth)
    field(page, "Programme").select_option(newcomer.programme)


def book(page: Page, day: str, time: str, topic: str = "") -> None:
    field(page, "Advisor").select_option("Grace Hopper")
    field(page, "Date").fill(day)
    field(page, "Time").select_option(time)
    field(page, "What is it about? (optional)").fill(topic)
    press(page, "Book")


def expect_problem(page: Page, label: str, message: str) -> None:
    """The problem is at the field, is read with it, and is in the summary, which names the field and links to it."""
    shown = field(page, label)
    expect(shown).to_have_attribute("aria-invalid", "true")
    expect(shown).to_have_accessible_description(re.compile(re.escape(message)))
    summary = page.get_by_role("alert", name="There is a problem")
    expect(summary).to_be_focused()
    link = summary.get_by_role("link").filter(has_text=re.compile(label, re.IGNORECASE)).filter(has_text=message)
    link.click()
    expect(shown).to_be_focused()
    summary.focus()


def new_student(stack: Stack) -> Student:
    return stack.create_student(f"mary-{uuid.uuid4()}@school.example")


def book_offered(stack: Stack, student: Student, advisor: str, starts_at: str, **booking: str) -> None:
    assert offer(stack.create_staff("dean@school.example"), advisor, starts_at).status_code == 201
    assert book_slot(student, advisor, starts_at, **booking).status_code == 201


def booked_by(stack: Stack, token: str) -> list[dict[str, str]]:
    return list_appointments(Student(token, stack)).json()["appointments"]


def mailed_code(stack: Stack, email: str) -> str:
    codes: list[str] = []

    def arrived() -> bool:
        codes.extend(
            code for mail in mails_to(stack, email) for code in re.findall(r"code is (\d{6})", mail["BodyText"])
        )
        return bool(codes)

    wait_until(arrived, "a code is in the mailbox")
    return codes[-1]


def test_from_the_form_to_an_appointment_and_back(
    stack: Stack, page: Page, newcomer: Newcomer, day: str, local_cloud: None
) -> None:
    page.goto("/")
    expect_view(page, "Sign in")
    page.get_by_role("main").get_by_role("link", name="Create your account").click()
    expect_view(page, "Create your account")

    fill_in(page, Newcomer("ada@", given_name="ada@", family_name="ada@", date_of_birth="2020-01-31"))
    press(page, "Create account")
    expect_problem(page, "E-mail address", "not an e-mail address")
    expect_problem(page, "Given name", ".")
    expect_problem(page, "Family name", ".")
    expect_problem(page, "Date of birth", "years old")
    expect(page.locator("[aria-invalid]")).to_have_count(4)
    fill_in(page, newcomer)
    press(page, "Create account")
    expect_view(page, "Your account is ready")
    expect(page.get_by_role("status").filter(has_text=newcomer.email)).to_be_visible()

    page.get_by_role("link", name="Choose a password").click()
    expect_view(page, "Choose a password")
    expect(field(page, "E-mail address")).to_have_value(newcomer.email)
    press(page, "Send me a code")
    expect_view(page, "Enter the code")
    expect(field(page, "E-mail address")).to_have_value(newcomer.email)
    field(page, "Code").fill(mailed_code(stack, newcomer.email))
    for weak in ("too weak", f"{PASSWORD} "):
        field(page, "New password").fill(weak)
        press(page, "Save password")
        expect_problem(page, "New password", "Use at least 12 characters")
    field(page, "New password").fill(PASSWORD)
    press(page, "Save password")
    expect_view(page, "Sign in")

    field(page, "Password").fill("Wrong-Horse-7-Battery")
    press(page, "Sign in")
    expect(page.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")
    field(page, "Password").fill(PASSWORD)
    press(page, "Sign in")
    expect_view(page, "Your appointments")
    expect(page.get_by_text("You have no appointments.")).to_be_visible()

    book(page, day, "09:00", "How do I choose a thesis?")
    expect_problem(page, "Time", "The advisor has no appointments at this time.")
    advisor = field(page, "Advisor").input_value()
    assert offer(stack.create_staff("dean@school.example"), advisor, f"{day}T03:30:00Z").status_code == 201
    press(page, "Book")
    booked = page.get_by_role("listitem").filter(has_text="09:00 with Grace Hopper")
    expect(booked).to_be_focused()
    expect(booked).to_contain_text("How do I choose a thesis?")
    expect(booked.get_by_role("button")).to_have_accessible_name(re.compile("Cancel Grace Hopper, .* at 09:00"))
    token = page.evaluate("sessionStorage.getItem('id_token')")
    [appointment] = booked_by(stack, token)
    assert appointment["starts_at"] == f"{day}T03:30:00Z"
    notice = page.get_by_role("status").filter(has_text="Booked: Grace Hopper")
    expect(notice).to_be_visible()

    # Once more changes nothing.
    book(page, day, "09:00")
    expect(notice).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="with Grace Hopper")).to_have_count(1)

    booked.get_by_role("button").click()
    press(page, "Keep it")
    expect(booked.get_by_role("button")).to_be_focused()
    booked.get_by_role("button").click()
    expect(page.get_by_role("dialog", name="Cancel this appointment?")).to_contain_text("Grace Hopper")
    press(page, "Cancel the appointment")
    expect(booked).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="Cancelled: Grace Hopper")).to_be_visible()
    expect_view(page, "Your appointments")
    assert booked_by(stack, token) == []

    press(page, "Sign out")
    expect_view(page, "Sign in")
    assert page.evaluate("sessionStorage.length") == 0
    page.go_back()
    expect_view(page, "Sign in")


def test_all_spellings_of_an_address_are_one(stack: Stack, page: Page, newcomer: Newcomer, local_cloud: None) -> None:
    name = newcomer.email.partition("@")[0]
    newcomer.email = f"{name}@münchen.example"
    page.goto("/#sign-up")
    fill_in(page, newcomer)
    press(page, "Create account")
    expect_view(page, "Your account is ready")
    expect(page.get_by_role("status").filter(has_text=newcomer.email)).to_be_visible()
    page.get_by_role("link", name="Choose a password").click()
    field(page, "E-mail address").fill(f"{name.upper()}@MÜNCHEN.EXAMPLE")
    press(page, "Send me a code")
    expect_view(page, "Enter the code")
    field(page, "E-mail address").fill(f" {name}@mu\u0308nchen.example")
    field(page, "Code").fill(mailed_code(stack, f"{name}@xn--mnchen-3ya.example"))
    field(page, "New password").fill(PASSWORD)
    press(page, "Save password")
    expect_view(page, "Sign in")
    field(page, "E-mail address").fill(f"{name}@\uff4dünchen。example")
    field(page, "Password").fill(PASSWORD)
    press(page, "Sign in")
    expect_view(page, "Your appointments")


def test_a_user_is_named_as_the_account_is(page: Page) -> None:
    # Firefox does not show the body of a request.
    page.add_init_script("const send = fetch; fetch = (url, options) => send(url, (globalThis.sent = options))")
    page.goto("/#sign-in")
    field(page, "Password").fill(PASSWORD)
    for address in ADDRESSES:
        for spelling in (address["canonical"], *address["spellings"]):
            field(page, "E-mail address").fill(spelling)
            press(page, "Sign in")
            expect(page.get_by_role("alert")).to_contain_text("wrong")
            user_name = page.evaluate("JSON.parse(sent.body).AuthParameters.USERNAME")
            assert user_name == address["canonical"], spelling


@pytest.mark.parametrize("text", ["ada", "@school.example", "a da@school.example", "ada@school/x", "ada@%41"])
def test_what_is_no_address_is_told_without_a_request(page: Page, text: str) -> None:
    page.goto("/#password")
    field(page, "E-mail address").fill(text)
    press(page, "Send me a code")
    expect_problem(page, "E-mail address", "This is not an e-mail address.")


def test_signing_up_needs_no_mouse(page: Page, newcomer: Newcomer) -> None:
    page.goto("/#sign-up")
    expect(field(page, "E-mail address")).to_be_visible()
    keyboard = page.keyboard
    keyboard.press("Tab")
    expect(field(page, "E-mail address")).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(field(page, "E-mail address")).to_be_focused()
    for text in (newcomer.email, newcomer.given_name, newcomer.family_name):
        keyboard.type(text)
        keyboard.press("Tab")
    expect(field(page, "Date of birth")).to_be_focused()
    keyboard.type("10122005")
    while not field(page, "Programme").evaluate("field => field === document.activeElement"):
        keyboard.press("Tab")
    keyboard.type(newcomer.programme)
    keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create account")).to_be_focused()
    keyboard.press("Enter")
    expect_view(page, "Your account is ready")


def test_what_is_missing_is_told_without_a_request(page: Page) -> None:
    requested: list[str] = []
    page.goto("/#sign-up")
    expect(field(page, "E-mail address")).to_be_visible()
    page.on("request", lambda request: requested.append(request.url))
    press(page, "Create account")
    expect_problem(page, "E-mail address", "Enter your e-mail address.")
    expect_problem(page, "Date of birth", "Enter your date of birth, with day, month and year.")
    expect_problem(page, "Programme", "Choose your programme.")
    expect(page.locator("[aria-invalid]")).to_have_count(5)
    field(page, "Date of birth").fill("1899-12-31")
    press(page, "Create account")
    expect_problem(page, "Date of birth", "Choose a date from 1 January 1900 to ")
    assert requested == []


def test_what_is_wrong_stays_with_its_view(page: Page) -> None:
    page.goto("/#sign-in")
    press(page, "Sign in")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("link", name="Choose one").click()
    expect_view(page, "Choose a password")
    page.go_back()
    expect_view(page, "Sign in")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("[aria-invalid]")).to_have_count(0)


def test_a_double_click_and_a_second_submit_send_one_request(page: Page, newcomer: Newcomer) -> None:
    waiting: list[Route] = []
    page.route("**/accounts", lambda route: waiting.append(route))
    page.goto("/#sign-up")
    fill_in(page, newcomer)
    button = page.get_by_role("button", name="Create account")
    with page.expect_request("**/accounts"):
        button.dblclick()
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("status").filter(has_text="Creating your account…")).to_be_visible()
    button.click(force=True)
    field(page, "E-mail address").press("Enter")
    [route] = waiting
    route.continue_()
    expect_view(page, "Your account is ready")
    assert len(waiting) == 1


def test_the_second_click_of_a_double_click_is_ignored_after_a_fast_answer(page: Page) -> None:
    page.goto("/#sign-up")
    button = page.get_by_role("button", name="Create account")
    button.click()
    expect(page.get_by_role("alert")).to_be_focused()
    field(page, "Given name").focus()
    button.dispatch_event("click", {"detail": 2})
    expect(field(page, "Given name")).to_be_focused()


def test_who_has_an_account_is_led_to_its_password(page: Page, newcomer: Newcomer) -> None:
    for title in ("Your account is ready", None):
        page.goto("/#sign-up")
        fill_in(page, newcomer)
        press(page, "Create account")
        if title:
            expect_view(page, title)
    expect_problem(page, "E-mail address", "There is an account with this address already.")
    page.get_by_role("alert").get_by_role("link", name="Choose a password for it").click()
    expect_view(page, "Choose a password")
    expect(field(page, "E-mail address")).to_have_value(newcomer.email)


@pytest.mark.parametrize(
    "answer",
    [
        lambda route: route.fulfill(status=503, headers=ANY_ORIGIN, json={"code": "TRY_AGAIN"}),
        lambda route: route.fulfill(status=504, headers=ANY_ORIGIN, body="<html>"),
        lambda route: route.fulfill(status=429, headers=ANY_ORIGIN, json={"code": "THROTTLED"}),
        lambda route: route.abort(),
    ],
    ids=["503", "504", "429", "offline"],
)
def test_what_was_typed_is_kept_for_another_try(
    page: Page, newcomer: Newcomer, answer: Callable[[Route], None]
) -> None:
    page.route("**/accounts", answer)
    page.goto("/#sign-up")
    fill_in(page, newcomer)
    press(page, "Create account")
    expect(page.get_by_role("alert", name="There is a problem")).to_contain_text("try again")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(field(page, "E-mail address")).to_have_value(newcomer.email)
    expect(field(page, "Date of birth")).to_have_value(newcomer.date_of_birth)
    page.unroute("**/accounts")
    press(page, "Create account")
    expect_view(page, "Your account is ready")


def test_what_nobody_expected_has_the_number_of_its_request(page: Page, newcomer: Newcomer) -> None:
    answer = {"code": "INTERNAL_ERROR", "message": "", "request_id": "4711"}
    page.route("**/accounts", lambda route: route.fulfill(status=500, headers=ANY_ORIGIN, json=answer))
    page.goto("/#sign-up")
    fill_in(page, newcomer)
    press(page, "Create account")
    expect(page.get_by_role("alert")).to_contain_text("When you ask for help, give the number 4711.")


def test_a_list_that_fails_can_be_tried_again(stack: Stack, context: BrowserContext, page: Page) -> None:
    sign_in(context, new_student(stack))
    answer = {"code": "TRY_AGAIN", "request_id": "4711"}
    page.route("**/appointments", lambda route: route.fulfill(status=503, headers=ANY_ORIGIN, json=answer))
    page.goto("/#appointments")
    expect(page.get_by_text("Your appointments can't be shown at the moment.")).to_contain_text("give the number 4711.")
    page.unroute("**/appointments")
    press(page, "Try again")
    expect(page.get_by_text("You have no appointments.")).to_be_visible()


def test_who_is_not_signed_in_any_more_is_led_to_sign_in(context: BrowserContext, page: Page) -> None:
    page.goto("/#appointments")
    expect_view(page, "Sign in")
    page.evaluate("sessionStorage.setItem('id_token', 'expired')")
    page.goto("/?#appointments")
    expect_view(page, "Sign in")
    expect(page.get_by_role("status").filter(has_text="You have been signed out, so")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_who_is_signed_in_is_shown_nothing_for_visitors(stack: Stack, context: BrowserContext, page: Page) -> None:
    sign_in(context, new_student(stack))
    page.goto("/")
    expect_view(page, "Your appointments")
    for view in ("sign-in", "sign-up", "signed-up", "password", "new-password", "nothing"):
        page.goto(f"/?{view}#{view}")
        expect_view(page, "Your appointments")


def test_a_long_list_comes_in_pages(stack: Stack, context: BrowserContext, page: Page, advisor: str) -> None:
    student = new_student(stack)
    student_id = claims_of(student.token)["custom:student_id"]
    for minute in range(30):
        item = {"advisor_id": advisor, "starts_at": f"2090-05-06T09:{minute:02}:00Z", "student_id": student_id}
        stack.client("dynamodb").put_item(
            TableName=stack.outputs["AppointmentsTableName"], Item={name: {"S": value} for name, value in item.items()}
        )
    sign_in(context, student)
    page.goto("/#appointments")
    items = page.get_by_role("listitem")
    expect(items).to_have_count(25)
    press(page, "Show more")
    expect(items).to_have_count(30)
    expect(items.nth(25)).to_be_focused()
    assert [time.split(" ")[0] for time in items.locator(".slot").all_inner_texts()] == [
        f"14:{30 + minute}" for minute in range(30)
    ]
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_an_advisor_may_have_the_name_of_a_method(stack: Stack, context: BrowserContext, page: Page, day: str) -> None:
    student = new_student(stack)
    book_offered(stack, student, "constructor", f"{day}T03:30:00Z")
    sign_in(context, student)
    page.goto("/#appointments")
    expect(page.get_by_text("09:00 with constructor", exact=True)).to_be_visible()


def test_text_is_text(stack: Stack, context: BrowserContext, page: Page, advisor: str) -> None:
    student = new_student(stack)
    topic = "<img src=x onerror=alert(1)><b>bold</b> & co"
    book_offered(stack, student, advisor, "2090-05-06T09:00:00Z", topic=topic)
    sign_in(context, student)
    page.goto("/#appointments")
    expect(page.get_by_text(topic, exact=True)).to_be_visible()


def test_only_what_is_to_come_and_can_be_stored_can_be_booked(
    stack: Stack, context: BrowserContext, page: Page
) -> None:
    sign_in(context, new_student(stack))
    page.goto("/#appointments")
    expect(page.get_by_text("In your time zone, India Standard Time.")).to_be_visible()
    for day in ("2024-02-29", "2101-01-01"):
        book(page, day, "16:30")
        expect_problem(page, "Date", "Choose a date from ")
    page.evaluate("Date.now = () => Date.parse('2040-05-06T11:00:00Z')")
    book(page, "2040-05-06", "16:30")
    expect_problem(page, "Date", "still to come")


def test_each_path_has_an_answer_of_the_page(page: Page) -> None:
    page.goto("/")
    for path, content_type in (("favicon.ico", "image/x-icon"), ("robots.txt", "text/plain; charset=utf-8")):
        answer = page.evaluate(f"fetch('/{path}').then(({{status, headers}}) => [status, headers.get('content-type')])")
        assert answer == [200, content_type]
    for path in ("/sign-in", "/appointments/", "/a/b.php?c=d", "/INDEX.HTML", "/%zz"):
        assert page.goto(path).status == 404
        expect(page).to_have_title("Page not found · Registrar")
        assert page.locator("body").evaluate("body => getComputedStyle(body).margin") == "0px"
        page.get_by_role("link", name="Go to the first page").click()
        expect_view(page, "Sign in")


def test_the_browser_runs_and_reaches_only_what_the_page_needs(page: Page) -> None:
    answer = page.goto("/")
    header = answer.headers["content-security-policy"]
    policy = dict(directive.split(" ", 1) for directive in re.split(r";\s*", header))
    connected = policy.pop("connect-src").split()
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert connected[0] == "'self'"
    assert not any("*" in source for source in connected)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text())


def views(page: Page) -> Iterator[str]:
    """Brings the page into each of its states, for a student with an appointment."""
    for name in ("sign-in", "sign-up", "signed-up", "password", "new-password"):
        page.goto(f"/#{name}")
        expect(page.locator(f"#{name}")).to_be_visible()
        yield name
    page.goto("/#sign-up")
    press(page, "Create account")
    expect(page.get_by_role("alert")).to_be_focused()
    yield "sign-up-problems"
    page.goto("/nothing")
    yield "not-found"


def student_views(page: Page) -> Iterator[str]:
    page.goto("/#appointments")
    expect(page.get_by_role("listitem").first).to_be_visible()
    yield "appointments"
    press(page, "Book")
    expect(page.get_by_role("alert")).to_be_focused()
    yield "appointments-problems"
    page.get_by_role("button", name=re.compile("^Cancel ")).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "cancellation"


# Through WebDriver BiDi, Firefox 153 shows only the machine's colour scheme.
@pytest.mark.parametrize(
    ("browser", "scheme", "width"),
    [("chromium", "light", 1280), ("chromium", "dark", 320), ("firefox", None, 320)],
    indirect=["browser"],
)
def test_every_view_is_accessible(stack: Stack, browser: Browser, web_url: str, scheme: Any, width: int) -> None:
    student = new_student(stack)
    for day, topic in (("2041-05-06", "How do I choose a thesis?"), ("2041-05-13", "A term abroad")):
        number = uuid.uuid4().int
        slot = f"{day}T{number % 24:02}:{number // 24 % 60:02}:00Z"
        book_offered(stack, student, "ada-lovelace", slot, topic=topic)
    for visits, token in ((views, None), (student_views, student)):
        settings = {
            "color_scheme": scheme,
            "reduced_motion": "reduce",
            "timezone_id": TIME_ZONE,
            "viewport": {"width": width, "height": 800},
        }
        with visit(browser, web_url, **settings) as context:
            if token:
                sign_in(context, token)
            page = context.new_page()
            for view in visits(page):
                # The dialog is in the middle of the window.
                check_view(page, view, scheme, width, full_page=view != "cancellation")
