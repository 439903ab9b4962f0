"""A student looks for an advisor on the pages, in Chromium."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import browsers
import pytest
import room_modules
from browsers import check_view, expect_view, field, press, quiet_page, sign_in, visit
from deployed_directory import Directory
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from rooms import PROJECT
from stack import Stack, Student

publish = room_modules.load(PROJECT / "scripts", "publish").get("web")
if publish is None:
    pytest.skip("the pages are another room", allow_module_level=True)
# The pages need the room of bookings.
booking = room_modules.load(PROJECT / "scripts", "booking")["appointments"]

PASSWORD = "Correct-Horse-7-Battery"
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
UNAVAILABLE = {"status": 503, "headers": ANY_ORIGIN, "json": {"code": "TRY_AGAIN", "request_id": "4711"}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.running("chromium") as browser:
        yield browser


@pytest.fixture(scope="module")
def web_url(stack: Stack, directory: Directory) -> str:
    return publish.publish(stack)


@pytest.fixture
def context(browser: Browser, web_url: str) -> Iterator[BrowserContext]:
    with visit(browser, web_url) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    with quiet_page(context) as page:
        yield page


@pytest.fixture(scope="module")
def advisor(directory: Directory) -> dict[str, Any]:
    """An advisor of the directory who teaches something, and is not among those that the pages know themselves."""
    for listed in reversed(directory.function("/advisors").json()["advisors"]):
        advisor = directory.function(f"/advisors/{listed['id']}").json()
        if advisor["courses"]:
            return advisor
    pytest.fail("nobody in the directory teaches anything")


@pytest.fixture(scope="module")
def name(advisor: dict[str, Any]) -> str:
    return f"{advisor['given_name']} {advisor['family_name']}"


def search(page: Page, words: str, department: str = "All departments") -> None:
    field(page, "Name, department or course").fill(words)
    field(page, "Department").select_option(department)
    press(page, "Search")


def results(page: Page) -> Locator:
    return page.get_by_role("list", name="Advisors").get_by_role("listitem")


def link_to(page: Page, advisor: dict[str, Any]) -> Locator:
    """The link to this advisor; others may have the same name."""
    return page.locator(f"a[href='#advisor?id={advisor['id']}']")


def student_with_password(stack: Stack) -> str:
    email = f"mary-{uuid.uuid4()}@school.example"
    stack.create_student(email)
    stack.client("cognito-idp").admin_set_user_password(
        UserPoolId=stack.outputs["UserPoolId"], Username=email, Password=PASSWORD, Permanent=True
    )
    return email


def test_an_advisor_is_found_by_name_by_department_and_by_course(
    page: Page, advisor: dict[str, Any], name: str
) -> None:
    page.goto("/")
    page.get_by_role("navigation").get_by_role("link", name="Find an advisor").click()
    expect_view(page, "Find an advisor")
    found = results(page).filter(has=link_to(page, advisor))
    department, course = advisor["departments"][0]["name"], advisor["courses"][0]["title"]
    for words, chosen in ((name.upper(), "All departments"), (name, department), (f"{department} {name}", department)):
        search(page, words, chosen)
        expect(found).to_contain_text(department)
        expect(page.get_by_role("button", name="Search")).to_be_focused()
    search(page, f"{advisor['family_name']} {course}")
    expect(found).to_be_visible()
    search(page, "", department)
    expect(page.get_by_role("status").filter(has_text="advisor")).to_be_visible()
    expect(results(page).filter(has_text=department)).not_to_have_count(0)
    expect(results(page).filter(has_not_text=department)).to_have_count(0)
    search(page, "no-one has such a name")
    expect(page.get_by_role("status").filter(has_text="No advisor was found.")).to_be_visible()
    expect(results(page)).to_have_count(0)
    # The search is in the address.
    search(page, name, department)
    page.reload()
    expect(found).to_be_visible()
    expect(field(page, "Name, department or course")).to_have_value(name)
    expect(field(page, "Department").locator("option:checked")).to_have_text(department)


def test_from_an_advisor_to_an_appointment(
    stack: Stack, page: Page, advisor: dict[str, Any], name: str, staff: Student
) -> None:
    email = student_with_password(stack)
    number = uuid.uuid4().int
    slot = f"20{40 + number % 50}-{1 + number // 50 % 12:02}-{1 + number // 600 % 28:02}T09:00:00Z"
    assert booking.offer(staff, advisor["id"], slot).status_code == 201
    page.goto("/#directory")
    search(page, name)
    expect(link_to(page, advisor)).to_have_text(name)
    link_to(page, advisor).click()
    expect_view(page, name)
    for text in (advisor["departments"][0]["name"], advisor["email"], advisor["courses"][0]["title"]):
        expect(page.get_by_text(text).filter(visible=True)).not_to_have_count(0)
    page.get_by_role("link", name="Book an appointment").click()

    # A visitor signs in first, and is still led there.
    expect_view(page, "Sign in")
    field(page, "E-mail address").fill(email)
    field(page, "Password").fill(PASSWORD)
    press(page, "Sign in")
    expect(page).to_have_title("Book an appointment · Registrar")
    expect(field(page, "Advisor")).to_be_focused()
    expect(field(page, "Advisor").locator("option:checked")).to_have_text(name)
    page.get_by_role("button", name=re.compile("^Book [0-9]")).first.click()
    booked = page.get_by_role("listitem").filter(has_text=f"with {name}")
    expect(booked).to_be_focused()

    page.goto("/?later#appointments")
    expect(booked).to_be_visible()
    expect(booked.get_by_role("button", name=re.compile(f"^Cancel {name}, "))).to_be_visible()
    page.route("**/advisors/*", lambda route: route.fulfill(**UNAVAILABLE))
    page.goto("/?failing#appointments")
    expect(page.get_by_role("listitem").filter(has_text=f"with {advisor['id']}")).to_be_visible()
    page.unroute("**/advisors/*")

    page.goto(f"/?again#book?advisor={advisor['id']}")
    expect(field(page, "Advisor").locator("option:checked")).to_have_text(name)
    # The next person at this computer is not shown whom this one has looked for.
    press(page, "Sign out")
    expect_view(page, "Sign in")
    expect(page.locator("#booking-advisor option").filter(has_text=name)).to_have_count(0)


def test_results_come_in_pages_and_are_still_there_on_the_way_back(page: Page) -> None:
    page.goto("/#directory")
    expect(page.get_by_text("There are more.")).to_be_visible()
    first = results(page).count()
    press(page, "Show more")
    expect(results(page).nth(first)).to_be_focused()
    loaded = results(page).count()
    assert loaded == len(set(results(page).get_by_role("link").evaluate_all("links => links.map(link => link.href)")))
    link = results(page).nth(first).get_by_role("link")
    name = link.inner_text()
    link.click()
    expect_view(page, name)
    page.go_back()
    expect_view(page, "Find an advisor")
    expect(results(page)).to_have_count(loaded)


def test_an_advisor_is_found_without_a_mouse(page: Page, advisor: dict[str, Any], name: str) -> None:
    page.goto("/#directory")
    expect_view(page, "Find an advisor")
    page.keyboard.press("Tab")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    found = link_to(page, advisor)
    expect(page.get_by_role("status").filter(has_text="advisor")).to_be_visible()
    while not found.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_view(page, name)
    book = page.get_by_role("link", name="Book an appointment")
    expect(book).to_be_visible()
    page.keyboard.press("Tab")
    expect(book).to_be_focused()


def test_a_directory_that_fails_can_be_tried_again(page: Page, advisor: dict[str, Any], name: str) -> None:
    for path in ("**/advisors?*", "**/advisors/*", "**/departments"):
        page.route(path, lambda route: route.fulfill(**UNAVAILABLE))
    page.goto("/#directory")
    expect(page.get_by_text("The advisors can't be shown at the moment.")).to_contain_text("give the number 4711.")
    page.unroute("**/advisors?*")
    press(page, "Try again")
    expect(results(page)).not_to_have_count(0)
    page.goto(f"/#advisor?id={advisor['id']}")
    expect(page.get_by_text("This advisor can't be shown at the moment.")).to_be_visible()
    page.unroute("**/advisors/*")
    press(page, "Try again")
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    expect(page.get_by_role("link", name="Book an appointment")).to_be_visible()
    page.goto("/#advisor?id=nobody")
    expect(page.get_by_text("There is no such advisor.")).to_be_visible()


def test_the_pages_work_without_the_directory(page: Page) -> None:
    page.route("**/config.json", lambda route: route.fulfill(json={"rooms": []}))
    page.goto("/#directory")
    expect_view(page, "Page not found")
    expect(page.get_by_role("link", name="Find an advisor")).to_have_count(0)


def test_the_pages_leave_out_a_directory_that_they_may_not_call(
    stack: Stack, directory: Directory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "api_url", lambda self, room: f"https://{room}.school.example")
    assert publish.apis_beside(stack) == {}
    assert "add https://directory.school.example to" in capsys.readouterr().err


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_the_directorys_views_are_accessible(
    browser: Browser, web_url: str, student: Student, advisor: dict[str, Any], name: str, scheme: Any, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    with visit(browser, web_url, color_scheme=scheme, reduced_motion="reduce", viewport=viewport) as context:
        sign_in(context, student)
        page = context.new_page()
        page.goto("/#directory")
        search(page, "", advisor["departments"][0]["name"])
        expect(results(page)).not_to_have_count(0)
        check_view(page, "directory", scheme, width)
        page.goto(f"/#advisor?id={advisor['id']}")
        expect_view(page, name)
        check_view(page, "advisor", scheme, width)
        page.goto(f"/#book?advisor={advisor['id']}")
        expect(field(page, "Advisor")).to_be_focused()
        check_view(page, "booking", scheme, width)
