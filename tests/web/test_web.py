"""What students and staff do on the pages, in real browsers."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import browsers
import pytest
import room_modules
from account_requests import account, assert_one_account, sign_up, students
from booking import book, list_appointments, list_free_slots, offer, withdraw
from browsers import check_view, expect_view, field, press, quiet_page, sign_in, visit
from documented_requests import documented_requests
from icalendar import Calendar
from local_mailbox import mails_to
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect
from rooms import PROJECT
from stack import Stack, Student, wait_until
from tokens import claims_of

# Not the school's time zone, which is Europe/Berlin.
TIME_ZONE = "Asia/Kolkata"
PASSWORD = "Correct-Horse-7-Battery"
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
publish = room_modules.load(PROJECT / "scripts", "publish")["web"]
ADDRESSES = json.loads((PROJECT / "crates/accounts/addresses.json").read_text())
# What does not depend on the browser is tested in one.
in_chromium = pytest.mark.parametrize("browser", ["chromium"], indirect=True)


@pytest.fixture(scope="module", params=browsers.EXECUTABLES)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with browsers.running(request.param) as browser:
        yield browser


@pytest.fixture(scope="module")
def web_url(stack: Stack) -> str:
    return publish.publish(stack)


@pytest.fixture
def context(browser: Browser, web_url: str, stack: Stack) -> Iterator[BrowserContext]:
    with visit(browser, web_url, timezone_id=TIME_ZONE) as context, documented_requests(context, stack):
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


def fill_in(page: Page, newcomer: Newcomer) -> None:
    field(page, "E-mail address").fill(newcomer.email)
    field(page, "Given name").fill(newcomer.given_name)
    field(page, "Family name").fill(newcomer.family_name)
    field(page, "Date of birth").fill(newcomer.date_of_birth)
    field(page, "Programme").select_option(newcomer.programme)


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


def student_with_account(stack: Stack) -> Student:
    request = account()
    assert sign_up(stack, request).status_code == 201
    return stack.sign_in(request["email"])


def own_account(student: Student) -> dict[str, str]:
    return student.request("GET", "/accounts/me", "accounts").json()


def book_offered(stack: Stack, student: Student, advisor: str, starts_at: str, **booking: str) -> None:
    assert offer(stack.create_staff("dean@school.example"), advisor, starts_at).status_code == 201
    assert book(student, advisor, starts_at, **booking).status_code == 201


def signed_in(page: Page, stack: Stack) -> Student:
    """The student who is signed in at the page."""
    return Student(page.evaluate("sessionStorage.getItem('id_token')"), stack)


def time_to_book(page: Page, time: str) -> Locator:
    return page.get_by_role("button", name=re.compile(f"^Book {time}, "))


def altered(file: str, alter: Callable[[str], str]) -> Callable[[Route], None]:
    """Answers with an altered file of the pages."""
    text = alter((PROJECT / "web" / file).read_text())
    return lambda route: route.fulfill(body=text, content_type="text/javascript")


def as_ada(advisor: str) -> Callable[[Route], None]:
    """Answers with school.js, in which Ada Lovelace has this identifier."""
    return altered("school.js", lambda text: text.replace("ada-lovelace", advisor))


def tab_to(page: Page, element: Locator, key: str = "Tab") -> None:
    """Moves the focus as a keyboard does."""
    expect(element).to_be_visible()
    for _ in range(60):
        if element.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    pytest.fail(f"the keyboard does not reach {element}")


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
    stack: Stack, page: Page, newcomer: Newcomer, advisor: str, staff: Student, local_cloud: None
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
    expect(page.get_by_text(f"Signed in as {newcomer.email}")).to_be_visible()

    # 09:00 in Berlin, and half past twelve in Kolkata.
    for starts_at in ("2090-05-08T07:00:00Z", "2090-05-08T07:30:00Z", "2090-05-09T07:00:00Z"):
        assert offer(staff, advisor, starts_at).status_code == 201
    page.get_by_role("main").get_by_role("link", name="Book an appointment").click()
    expect_view(page, "Book an appointment")
    expect(page.get_by_text("Choose an advisor to see free times.")).to_be_visible()
    # As a room that knows more advisors does.
    page.evaluate(f"import('/app.js').then(({{advisorNames}}) => advisorNames.set('{advisor}', 'Grace Hopper'))")
    page.goto(f"/#book?advisor={advisor}")
    expect(field(page, "Advisor")).to_be_focused()
    expect(page.get_by_text("The smaller ones are in India Standard Time")).to_contain_text("Central European Time")
    for day in ("Monday,? 8 May 2090", "Tuesday,? 9 May 2090"):
        expect(page.get_by_role("heading", name=re.compile(day))).to_be_visible()
    expect(time_to_book(page, "09:00")).to_have_count(2)
    first = time_to_book(page, "09:00").first
    expect(first).to_contain_text("12:30")
    field(page, "What is it about? (optional)").fill("How do I choose a thesis?")
    first.click()
    expect(page).to_have_title("Your appointments · Registrar")
    booked = page.get_by_role("listitem").first
    expect(booked).to_be_focused()
    for text in ("Monday,? 8 May 2090", "09:00.09:30 with Grace Hopper", "Room 101", "How do I choose a thesis"):
        expect(booked).to_contain_text(re.compile(text))
    expect(booked).to_contain_text("Central European Time. Where you are: 12:30, India Standard Time.")
    cancel = booked.get_by_role("button", name=re.compile("^Cancel Grace Hopper, .* at 09:00"))
    expect(page.get_by_role("status").filter(has_text="Booked: Grace Hopper")).to_be_visible()
    [appointment] = list_appointments(signed_in(page, stack)).json()["appointments"]
    assert appointment["starts_at"] == "2090-05-08T07:00:00Z"

    cancel.click()
    press(page, "Keep it")
    expect(cancel).to_be_focused()
    cancel.click()
    expect(page.get_by_role("dialog", name="Cancel this appointment?")).to_contain_text("Grace Hopper")
    press(page, "Cancel the appointment")
    expect(page.get_by_role("listitem")).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="Cancelled: Grace Hopper")).to_be_visible()
    expect_view(page, "Your appointments")
    assert list_appointments(signed_in(page, stack)).json()["appointments"] == []

    press(page, "Sign out")
    expect_view(page, "Sign in")
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.locator("option[data-found]")).to_have_count(0)
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


@in_chromium
@pytest.mark.parametrize("text", ["ada", "@school.example", "a da@school.example", "ada@school/x", "ada@%41"])
def test_what_is_no_address_is_told_without_a_request(page: Page, text: str) -> None:
    page.goto("/#password")
    field(page, "E-mail address").fill(text)
    press(page, "Send me a code")
    expect_problem(page, "E-mail address", "This is not an e-mail address")


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


@in_chromium
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


@in_chromium
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


@in_chromium
def test_what_nobody_expected_has_the_number_of_its_request(page: Page, newcomer: Newcomer) -> None:
    answer = {"code": "INTERNAL_ERROR", "message": "", "request_id": "4711"}
    page.route("**/accounts", lambda route: route.fulfill(status=500, headers=ANY_ORIGIN, json=answer))
    page.goto("/#sign-up")
    fill_in(page, newcomer)
    press(page, "Create account")
    expect(page.get_by_role("alert")).to_contain_text("When you ask for help, give the number 4711.")


@in_chromium
def test_a_list_that_fails_can_be_tried_again(stack: Stack, context: BrowserContext, page: Page) -> None:
    sign_in(context, new_student(stack))
    answer = {"code": "TRY_AGAIN", "request_id": "4711"}
    page.route("**/appointments?*", lambda route: route.fulfill(status=503, headers=ANY_ORIGIN, json=answer))
    page.goto("/#appointments")
    expect(page.get_by_text("Your appointments can't be shown at the moment.")).to_contain_text("give the number 4711.")
    page.unroute("**/appointments?*")
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


@in_chromium
def test_who_is_signed_in_is_shown_nothing_for_visitors(stack: Stack, context: BrowserContext, page: Page) -> None:
    sign_in(context, new_student(stack))
    page.goto("/")
    expect_view(page, "Your appointments")
    for view in ("sign-in", "sign-up", "signed-up", "password", "new-password", "week"):
        page.goto(f"/?{view}#{view}")
        expect_view(page, "Your appointments")


@in_chromium
def test_what_is_to_come_is_first_in_pages_and_the_past_on_demand(
    stack: Stack, context: BrowserContext, page: Page, advisor: str
) -> None:
    student = new_student(stack)
    student_id = claims_of(student.token)["custom:student_id"]
    upcoming = [f"2090-05-06T09:{minute:02}:00Z" for minute in range(26)]
    past = [f"2020-05-06T09:{minute:02}:00Z" for minute in range(3)]
    for starts_at in (*past, *upcoming):
        item = {"advisor_id": advisor, "starts_at": starts_at, "student_id": student_id}
        stack.client("dynamodb").put_item(
            TableName=stack.outputs["AppointmentsTableName"], Item={name: {"S": value} for name, value in item.items()}
        )
    sign_in(context, student)
    page.goto("/#appointments")
    items = page.get_by_role("list", name="Upcoming").get_by_role("listitem")
    expect(items).to_have_count(25)
    expect(page.get_by_role("list", name="Past")).to_be_hidden()
    press(page, "Show more")
    expect(items).to_have_count(26)
    expect(items.nth(25)).to_be_focused()
    times = [f"11:{minute:02}" for minute in range(26)]
    assert [text.split(" ")[0] for text in items.locator(".slot").all_inner_texts()] == times
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    press(page, "Show past appointments")
    items = page.get_by_role("list", name="Past").get_by_role("listitem")
    expect(items.first).to_be_focused()
    assert [text.split(" ")[0] for text in items.locator(".slot").all_inner_texts()] == times[2::-1]
    expect(items.get_by_role("button")).to_have_count(0)


@in_chromium
def test_an_advisor_may_have_the_name_of_a_method_and_text_is_text(
    stack: Stack, context: BrowserContext, page: Page
) -> None:
    student = new_student(stack)
    topic = "<img src=x onerror=alert(1)><b>bold</b> & co"
    starts_at = f"20{40 + uuid.uuid4().int % 50}-05-06T09:00:00Z"
    book_offered(stack, student, "constructor", starts_at, topic=topic)
    sign_in(context, student)
    page.goto("/#appointments")
    expect(page.get_by_text(re.compile("^11:00.11:30 with constructor$"))).to_be_visible()
    expect(page.get_by_text(topic, exact=True)).to_be_visible()


@in_chromium
def test_a_time_that_is_gone_is_told_and_taken_away(
    stack: Stack, context: BrowserContext, page: Page, advisor: str, staff: Student
) -> None:
    times = [f"2090-05-08T{hour:02}:00:00Z" for hour in range(7, 11)]
    for starts_at in times:
        assert offer(staff, advisor, starts_at).status_code == 201
    student, other = new_student(stack), new_student(stack)
    sign_in(context, student)
    page.route("**/school.js", as_ada(advisor))
    page.goto(f"/#book?advisor={advisor}")
    expect(time_to_book(page, "[0-9]+:00")).to_have_count(4)
    assert book(other, advisor, times[0]).status_code == 201
    assert withdraw(staff, advisor, times[1]).status_code == 204
    assert offer(staff, f"{advisor}-2", times[2]).status_code == 201
    assert book(student, f"{advisor}-2", times[2]).status_code == 201
    for time, message, left in (
        ("09:00", "Monday,? 8 May 2090, 09:00: Somebody else has booked this time.", 3),
        ("10:00", "Monday,? 8 May 2090, 10:00: This time is not offered any more.", 2),
        ("11:00", "Monday,? 8 May 2090, 11:00: You have another appointment at this time.", 2),
    ):
        time_to_book(page, time).click()
        expect(page.get_by_role("alert", name="There is a problem")).to_contain_text(re.compile(message))
        expect(page.get_by_role("alert")).to_be_focused()
        expect(time_to_book(page, "[0-9]+:00")).to_have_count(left)
    answer = {"code": "INTERNAL_ERROR", "request_id": "4711"}
    page.route("**/appointments/**", lambda route: route.fulfill(status=500, headers=ANY_ORIGIN, json=answer))
    time_to_book(page, "12:00").click()
    expect(page.get_by_role("alert")).to_contain_text("give the number 4711.")


@in_chromium
def test_a_calendar_gets_the_appointment(
    stack: Stack, context: BrowserContext, page: Page, advisor: str, tmp_path: Path
) -> None:
    student = new_student(stack)
    topic = "Thesis; a term abroad, or\nboth\\neither? " + "Ümläute " * 30
    book_offered(stack, student, advisor, "2090-05-08T07:00:00Z", topic=topic)
    sign_in(context, student)
    page.goto("/#appointments")
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("^Add to calendar: ")).click()
    assert download.value.suggested_filename == "2090-05-08.ics"
    download.value.save_as(tmp_path / "file.ics")
    raw = (tmp_path / "file.ics").read_bytes()
    assert max(map(len, raw.split(b"\r\n"))) <= 75
    [event] = Calendar.from_ical(raw).walk("VEVENT")
    assert event["UID"] == f"{advisor}~2090-05-08T07:00:00Z~{claims_of(student.token)['custom:student_id']}@registrar"
    assert event.decoded("DTSTART") == datetime(2090, 5, 8, 7, 0, tzinfo=timezone.utc)
    assert event.decoded("DTEND") - event.decoded("DTSTART") == timedelta(minutes=30)
    assert (event["LOCATION"], event["SUMMARY"]) == ("Room 101", f"Appointment with {advisor}")
    assert event["DESCRIPTION"] == topic


# Through WebDriver BiDi, Firefox 153 shows only the machine's colour scheme.
@pytest.mark.parametrize(
    ("browser", "scheme", "language"), [("chromium", "dark", "de-AT"), ("firefox", None, "en-GB")], indirect=["browser"]
)
def test_a_student_books_on_a_phone_without_a_mouse(
    stack: Stack, browser: Browser, web_url: str, staff: Student, scheme: Any, language: str
) -> None:
    words = {
        "de-AT": (
            "Termin buchen",
            "Ansprechperson",
            "Worum geht es?",
            "Buchen: ",
            "bei Grace Hopper",
            "Absagen: ",
            "Termin absagen",
        ),
        "en-GB": (
            "Book an appointment",
            "Advisor",
            "What is it about?",
            "Book ",
            "with Grace Hopper",
            "Cancel ",
            "Cancel the appointment",
        ),
    }
    to_book, advisor, topic, book_time, with_advisor, cancel, confirm = words[language]
    student = new_student(stack)
    starts_at = f"2090-{1 + uuid.uuid4().int % 12:02}-08T{uuid.uuid4().int % 24:02}:{uuid.uuid4().int % 60:02}:00Z"
    assert offer(staff, "grace-hopper", starts_at).status_code == 201
    settings = {"color_scheme": scheme, "locale": language, "viewport": {"width": 320, "height": 568}}
    with (
        visit(browser, web_url, timezone_id="Europe/Berlin", **settings) as context,
        documented_requests(context, stack),
        quiet_page(context) as page,
    ):
        sign_in(context, student)
        page.goto("/#appointments")
        expect(page.locator("html")).to_have_attribute("lang", language)
        way = page.get_by_role("main").get_by_role("link", name=to_book)
        tab_to(page, way)
        box = way.bounding_box()
        assert page.evaluate("scrollY") == 0
        assert box is not None
        assert box["y"] + box["height"] < 568, "one has to scroll to book"
        page.keyboard.press("Enter")
        expect_view(page, to_book)
        tab_to(page, field(page, advisor))
        page.keyboard.type("Grace")
        page.keyboard.press("Tab")
        tab_to(page, page.get_by_label(topic))
        page.keyboard.type("Thesis")
        value = page.locator(f"button[value='{starts_at}']")
        expect(value).to_have_accessible_name(re.compile(f"^{book_time}"))
        tab_to(page, value)
        page.keyboard.press("Enter")
        booked = page.get_by_role("listitem").first
        expect(booked).to_be_focused()
        expect(booked).to_contain_text(with_advisor)
        tab_to(page, booked.get_by_role("button", name=re.compile(f"^{cancel}")))
        page.keyboard.press("Enter")
        tab_to(page, page.get_by_role("button", name=confirm, exact=True))
        page.keyboard.press("Enter")
        expect(page.get_by_role("listitem")).to_have_count(0)
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        assert list_appointments(student).json()["appointments"] == []


@pytest.mark.parametrize(("browser", "language"), [("chromium", "de-DE"), ("firefox", "en-GB")], indirect=["browser"])
def test_a_student_corrects_and_deletes_an_account_on_a_phone_without_a_mouse(
    stack: Stack, browser: Browser, web_url: str, advisor: str, language: str
) -> None:
    words = {
        "de-DE": (
            "Ihr Konto",
            "Nachname",
            "Es gibt ein Problem",
            "Verwenden Sie Buchstaben",
            "Ihr Konto ist gespeichert.",
            "Konto löschen",
            "Behalten",
            "Das Konto löschen",
            "Anmelden",
            "29. Februar 2004",
        ),
        "en-GB": (
            "Your account",
            "Family name",
            "There is a problem",
            "Use letters",
            "Your account is saved.",
            "Delete your account",
            "Keep it",
            "Delete the account",
            "Sign in",
            "29 February 2004",
        ),
    }
    own, family_name, problem, use_letters, saved, delete, keep, delete_it, to_sign_in, born = words[language]
    student = student_with_account(stack)
    before = own_account(student)
    for number in range(2):
        book_offered(stack, student, f"{advisor}-{number}", f"209{number}-05-08T07:00:00Z")
    settings = {"locale": language, "viewport": {"width": 320, "height": 568}}
    with (
        visit(browser, web_url, **settings) as context,
        documented_requests(context, stack),
        quiet_page(context) as page,
    ):
        sign_in(context, student)
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        tab_to(page, page.get_by_role("link", name=own), "Shift+Tab")
        page.keyboard.press("Enter")
        expect_view(page, own)
        for fact in (before["email"], before["student_id"], born):
            expect(page.get_by_role("definition").filter(has_text=fact)).to_be_visible()
        name = field(page, family_name)
        expect(name).to_have_value(before["family_name"])
        for typed, message in (("<b>", use_letters), ("Grünwald", None)):
            tab_to(page, name)
            page.keyboard.press("ControlOrMeta+a")
            page.keyboard.type(typed)
            page.keyboard.press("Enter")
            if message:
                expect(page.get_by_role("alert", name=problem)).to_be_focused()
                expect(name).to_have_accessible_description(re.compile(message))
        expect(page.get_by_role("status").filter(has_text=saved)).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        assert own_account(student) == before | {"family_name": "Grünwald"}

        button = page.get_by_role("button", name=delete, exact=True)
        for answer in (keep, delete_it):
            assert len(list_appointments(student).json()["appointments"]) == 2
            tab_to(page, button)
            page.keyboard.press("Enter")
            tab_to(page, page.get_by_role("dialog").get_by_role("button", name=answer, exact=True))
            page.keyboard.press("Enter")
        expect_view(page, to_sign_in)
        assert page.evaluate("sessionStorage.length") == 0
        expect(page.get_by_role("definition")).to_have_count(0)
    assert list_appointments(student).json()["appointments"] == []
    wait_until(lambda: students(stack, before["email"]) == [], "the account is deleted")


@in_chromium
def test_an_account_is_not_deleted_while_it_is_too_late_to_cancel(
    stack: Stack, context: BrowserContext, page: Page, advisor: str
) -> None:
    student = student_with_account(stack)
    for hour in (7, 8):
        book_offered(stack, student, f"{advisor}-{hour}", f"2090-05-08T0{hour}:00:00Z")
    sign_in(context, student)
    answer = {"code": "TOO_LATE", "request_id": "4711"}
    page.route(
        f"**/appointments/{advisor}-7/*", lambda route: route.fulfill(status=409, headers=ANY_ORIGIN, json=answer)
    )
    page.goto("/#account")
    press(page, "Delete your account")
    press(page, "Delete the account")
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_be_focused()
    expect(alert).to_contain_text(
        re.compile(f"can't be cancelled any more: {advisor}-7, Monday,? 8 May 2090 at 09:00. Nothing")
    )
    assert len(list_appointments(student).json()["appointments"]) == 2
    assert_one_account(stack, claims_of(student.token)["email"])


@in_chromium
def test_who_has_no_account_is_told_so(
    stack: Stack, browser: Browser, web_url: str, context: BrowserContext, page: Page, staff: Student
) -> None:
    sign_in(context, new_student(stack))
    page.goto("/#account")
    expect(page.get_by_text("There is no account with this sign-in.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete your account")).to_be_hidden()
    with visit(browser, web_url) as other:
        sign_in(other, staff)
        page = other.new_page()
        page.goto("/#account")
        expect_view(page, "Appointments by week")
        expect(page.get_by_role("link", name="Your account")).to_be_hidden()


@pytest.mark.parametrize(("browser", "language"), [("chromium", "en-GB"), ("firefox", "de-DE")], indirect=["browser"])
def test_staff_offer_over_a_change_of_clocks_see_who_comes_and_withdraw(
    stack: Stack, browser: Browser, web_url: str, advisor: str, staff: Student, language: str
) -> None:
    words = {
        "en-GB": (
            "Weekday",
            "Sunday",
            "First date",
            "Last date",
            "From",
            "Until",
            "Minutes for each slot",
            "Place",
            "Offer",
            "Withdraw",
            "Withdraw it and cancel the appointment",
            "Withdraw it",
            "Next week",
        ),
        "de-DE": (
            "Wochentag",
            "Sonntag",
            "Erstes Datum",
            "Letztes Datum",
            "Von",
            "Bis",
            "Minuten pro Termin",
            "Ort",
            "Anbieten",
            "Zurückziehen",
            "Zurückziehen und Termin absagen",
            "Zurückziehen",
            "Nächste Woche",
        ),
    }
    (
        weekday,
        sunday,
        first,
        last,
        from_,
        until,
        minutes,
        place,
        offer_them,
        withdraw_it,
        and_cancel,
        confirm,
        next_week,
    ) = words[language]
    student = new_student(stack)

    with (
        visit(
            browser, web_url, locale=language, timezone_id=TIME_ZONE, viewport={"width": 320, "height": 568}
        ) as context,
        documented_requests(context, stack),
        quiet_page(context) as page,
    ):
        sign_in(context, staff)
        page.route("**/school.js", as_ada(advisor))
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        tab_to(page, page.locator("#week-advisor"))
        page.keyboard.type("Ada")
        page.keyboard.press("Tab")
        tab_to(page, page.locator("#to-offer"))
        page.keyboard.press("Enter")
        expect(page.locator("#offer-title")).to_be_focused()
        tab_to(page, field(page, weekday))
        page.keyboard.type(sunday)
        # The same in each order of day and month. Clocks are put forward on 31 March.
        for label, keys in (
            (first, "03032030"),
            (last, "04042030"),
            (from_, "0130a"),
            (until, "0430a"),
            (minutes, "60"),
            (place, "Room 7"),
        ):
            tab_to(page, field(page, label))
            if label == minutes:
                page.keyboard.press("ControlOrMeta+a")
            page.keyboard.type(keys)
        tab_to(page, page.get_by_role("button", name=offer_them, exact=True))
        page.keyboard.press("Enter")
        notice = page.locator("#notice")
        expect(notice).to_contain_text("14")
        expect(notice).to_contain_text("2:30")
        # The week of the first date; then that of the change.
        expect(page.locator("#week-days li")).to_have_count(3)
        slots = [slot["starts_at"][5:16] for slot in list_free_slots(staff, advisor, limit=100).json()["slots"]]
        assert slots == [
            *(f"03-{day:02}T{time}" for day in (3, 10, 17, 24) for time in ("00:30", "01:30", "02:30")),
            *("03-31T00:30", "03-31T01:30"),
        ]
        assert book(student, advisor, "2030-03-31T01:30:00Z", topic="A term abroad").status_code == 201
        for _ in range(4):
            title = page.get_by_role("heading", level=1)
            way = page.get_by_role("link", name=next_week)
            tab_to(page, way)
            page.keyboard.press("Enter")
            expect(title).to_be_focused()
        items = page.locator("#week-days li")
        expect(items).to_have_count(2)
        taken = items.filter(has_text="A term abroad")
        for text in ("03:30.04:30", claims_of(student.token)["email"], "Room 7"):
            expect(taken).to_contain_text(re.compile(text))
        tab_to(page, taken.get_by_role("button", name=withdraw_it))
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text(claims_of(student.token)["email"])
        tab_to(page, page.get_by_role("button", name=and_cancel, exact=True))
        page.keyboard.press("Enter")
        expect(taken).to_have_count(0)
        assert list_appointments(student).json()["appointments"] == []

        # A free slot that is booked while one looks at it is not withdrawn.
        assert book(student, advisor, "2030-03-31T00:30:00Z").status_code == 201
        items.get_by_role("button", name=withdraw_it).click()
        page.get_by_role("dialog").get_by_role("button", name=confirm, exact=True).click()
        expect(page.get_by_role("alert")).to_be_focused()
        expect(items).to_contain_text(claims_of(student.token)["email"])


@in_chromium
def test_what_can_not_be_offered_is_told(stack: Stack, context: BrowserContext, page: Page, staff: Student) -> None:
    sign_in(context, staff)
    page.goto("/")
    expect_view(page, "Appointments by week")
    press(page, "Offer")
    expect_problem(page, "Advisor", "Choose an advisor.")
    expect_problem(page, "Place", "Enter a place.")
    field(page, "Advisor").select_option("Grace Hopper")
    field(page, "Weekday").select_option("Monday to Friday")
    values = {
        "First date": "2040-05-07",
        "Last date": "2040-05-11",
        "From": "09:00",
        "Until": "09:20",
        "Place": "Room 7",
    }
    for label, value in values.items():
        field(page, label).fill(value)
    for label, value, problem, message in (
        ("Minutes for each slot", "2.5", "Minutes for each slot", "Enter a whole number from 5 to 480."),
        ("Minutes for each slot", "30", "Until", "No slot fits between these times."),
        ("Until", "10:00", "Last date", "No such day is still to come between these dates."),
        ("Last date", "2049-05-11", "Last date", "At most 400 can be offered together"),
        ("First date", "2020-05-11", "First date", "Choose a date from "),
    ):
        if label == "Until":
            field(page, "Last date").fill("2040-05-06")
        field(page, label).fill(value)
        press(page, "Offer")
        expect_problem(page, problem, message)


@in_chromium
def test_wall_clocks_are_converted_as_the_tz_database_says(page: Page) -> None:
    page.goto("/")
    zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")
    days = [(year, month, day) for year in (2027, 2030) for month in range(1, 13) for day in range(1, 29, 3)]
    days += [(2030, 3, 31), (2030, 10, 27), (2030, 3, 10), (2030, 11, 3), (2030, 10, 6), (2030, 4, 7)]
    walls = [
        datetime(*day, hour, minute)
        for day in days
        for hour in range(0, 24, 1 if day in days[-6:] else 9)
        for minute in (0, 30)
    ]
    texts = [wall.isoformat(timespec="minutes") for wall in walls]
    for zone in zones:
        found = page.evaluate(
            """async ([texts, zone]) => {
                const {timeAt} = await import("/times.js");
                return texts.map((text) => timeAt(text, zone) ?? null);
            }""",
            [texts, zone],
        )
        for wall, milliseconds in zip(walls, found, strict=True):
            # The first, if a time exists twice.
            time = wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(timezone.utc)
            exists = time.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall
            assert milliseconds == (time.timestamp() * 1000 if exists else None), (wall, zone)


@in_chromium
def test_the_browser_chooses_the_language(browser: Browser, web_url: str, page: Page) -> None:
    page.goto("/")
    en, de = page.evaluate("import('/texts.js').then(({TEXTS: {en, de}}) => [en, de])")
    assert list(en) == list(de)
    for key in en:
        assert re.findall(r"\{\w+\}", en[key]).sort() == re.findall(r"\{\w+\}", de[key]).sort(), key
    for languages, lang, title in ((["fr", "de-AT", "en"], "de-AT", "Anmelden"), (["fr"], "en-GB", "Sign in")):
        with visit(browser, web_url) as context:
            context.add_init_script(f"Object.defineProperty(navigator, 'languages', {{get: () => {languages}}})")
            with quiet_page(context) as other:
                other.goto("/")
                expect_view(other, title)
                expect(other.locator("html")).to_have_attribute("lang", lang)
                other.goto("/nothing")
                expect(other.locator("html")).to_have_attribute("lang", lang)


@in_chromium
def test_no_text_of_the_pages_is_elsewhere(stack: Stack, browser: Browser, web_url: str, staff: Student) -> None:
    """All texts are put between marks: what is seen without them is in no file of texts."""
    student = student_with_account(stack)
    fill_week(stack, staff, student)
    marks = """
        const marked = Object.fromEntries(Object.entries(en).map(([key, text]) => [key, `«${text}»`]));
        export const TEXTS = { en: marked };"""
    answer = altered("texts.js", lambda text: text.replace("export const TEXTS = { en, de };", marks))
    seen = 0
    for visits, person in ((views, None), (student_views, student), (staff_views, staff)):
        with visit(browser, web_url) as context:
            if person:
                sign_in(context, person)
            page = context.new_page()
            page.route("**/texts.js", answer)
            for view in visits(page, marked):
                texts = page.evaluate(UNMARKED)
                seen += 1
                assert texts == [], view
    assert seen == 15


@in_chromium
def test_the_apis_are_documented(stack: Stack, page: Page) -> None:
    page.goto("/#sign-in")
    page.get_by_role("link", name="APIs for programs").click()
    expect(page).to_have_title("APIs · Registrar")
    for room in ("accounts", "appointments"):
        expect(page.get_by_role("heading", name=f"The API of {room}")).to_be_visible()
        expect(page.get_by_text(stack.api_url(room), exact=True)).to_have_count(1)
    page.get_by_role("button", name="Book a free slot").click()
    expect(page.get_by_text("The caller has booked this slot before; nothing changed.")).to_be_visible()
    expect(page.get_by_role("button", name="Try it out")).to_have_count(0)


@in_chromium
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


def fill_week(stack: Stack, staff: Student, student: Student) -> None:
    """Gives Ada Lovelace free slots and two appointments with a student, in the week that `staff_views` shows."""
    for day, topic in (("2041-05-06", "How do I choose a thesis?"), ("2041-05-07", "A term abroad")):
        number = uuid.uuid4().int
        starts_at = f"{day}T{6 + number % 12:02}:{number // 24 % 60:02}:00Z"
        book_offered(stack, student, "ada-lovelace", starts_at, topic=topic)
    for number in range(6):
        offer(staff, "ada-lovelace", f"2041-05-{7 + number // 3:02}T{7 + number % 3:02}:00:00Z")


Say = Callable[[str], str]


def plain(text: str) -> str:
    return text


def marked(text: str) -> str:
    return f"«{text}»"


# Texts and names of what is visible, but for what is data: dates and times, names, addresses, places.
UNMARKED = """() => {
    const all = [...document.querySelectorAll("body *:not(.topic, #account-number)")];
    const visible = all.filter((element) => element.checkVisibility());
    const texts = visible.flatMap((element) => [
        ...[...element.childNodes].filter(({nodeType}) => nodeType === Node.TEXT_NODE).map(({data}) => data),
        element.ariaLabel ?? "", element.title, element.placeholder ?? "",
    ]);
    const formats = [...Array(366).keys()].flatMap((day) => {
        const date = new Date(Date.UTC(2040, 0, 1 + day));
        return [{weekday: "long"}, {month: "long"}].map((format) => date.toLocaleDateString("en-GB", format));
    });
    const data = new Set([...formats, "Registrar", "Ada", "Alan", "Grace", "Lovelace", "Turing", "Hopper", "Room"]);
    return texts.filter((text) =>
        text.replace(/«.*»/gs, "").replace(/\\S+@\\S+/g, "").match(/\\p{L}+/gu)?.some((word) => !data.has(word)));
}"""


def views(page: Page, say: Say = plain) -> Iterator[str]:
    """Brings the page into each of its states, for a visitor; `say` turns a text into what the page shows."""
    for name in ("sign-in", "sign-up", "signed-up", "password", "new-password"):
        page.goto(f"/#{name}")
        expect(page.locator(f"#{name}")).to_be_visible()
        yield name
    page.goto("/#sign-up")
    press(page, say("Create account"))
    expect(page.get_by_role("alert")).to_be_focused()
    yield "sign-up-problems"
    page.goto("/#nonsense")
    expect_view(page, say("Page not found"))
    yield "unknown-view"
    page.goto("/nothing")
    expect(page.get_by_role("heading", name=say("Page not found"))).to_be_visible()
    yield "not-found"


def student_views(page: Page, say: Say = plain) -> Iterator[str]:
    """For a student with an account and an appointment, while Ada Lovelace has free slots."""
    page.goto("/#appointments")
    expect(page.get_by_role("listitem").first).to_contain_text("Room 101")
    yield "appointments"
    page.get_by_role("listitem").get_by_role("button").nth(1).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "question"
    page.goto("/?#book?advisor=ada-lovelace")
    expect(page.locator("#slots button").first).to_be_visible()
    yield "book"
    page.goto("/#account")
    expect(page.locator("#account-details")).to_be_visible()
    yield "account"
    page.locator("#delete-account").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield "account-question"


def staff_views(page: Page, say: Say = plain) -> Iterator[str]:
    """For staff, in a week in which somebody comes to Ada Lovelace."""
    page.goto("/#week?advisor=ada-lovelace&from=2041-05-06")
    expect(page.get_by_role("listitem").first).to_be_visible()
    yield "week"
    press(page, say("Offer"))
    expect(page.get_by_role("alert")).to_be_focused()
    yield "week-problems"


def api_views(page: Page, say: Say = plain) -> Iterator[str]:
    """For programmers, with all operations open."""
    page.goto("/api.html")
    apis = page.evaluate("fetch('config.json').then(answer => answer.json()).then(({apis}) => apis.length)")
    expect(page.locator(".opblock-tag-section")).to_have_count(apis)
    operations = page.locator(".opblock-summary-control")
    for operation in operations.all():
        operation.click()
    expect(page.locator(".opblock.is-open")).to_have_count(operations.count())
    yield "api"


@pytest.mark.parametrize(
    ("browser", "scheme", "width", "language"),
    [("chromium", "light", 1280, "en-GB"), ("chromium", "dark", 320, "de-DE"), ("firefox", None, 320, "en-GB")],
    indirect=["browser"],
)
def test_every_view_is_accessible(
    stack: Stack, browser: Browser, web_url: str, staff: Student, scheme: Any, width: int, language: str
) -> None:
    texts = {
        "de-DE": {"Create account": "Konto anlegen", "Page not found": "Seite nicht gefunden", "Offer": "Anbieten"}
    }
    student = student_with_account(stack)
    fill_week(stack, staff, student)
    for visits, person in ((views, None), (student_views, student), (staff_views, staff), (api_views, None)):
        settings = {
            "color_scheme": scheme,
            "locale": language,
            "reduced_motion": "reduce",
            "timezone_id": TIME_ZONE,
            "viewport": {"width": width, "height": 800},
        }
        with visit(browser, web_url, **settings) as context:
            if person:
                sign_in(context, person)
            page = context.new_page()
            for view in visits(page, lambda text: texts.get(language, {}).get(text, text)):
                # The dialog is in the middle of the window.
                check_view(page, view, scheme, width, full_page="question" not in view)
