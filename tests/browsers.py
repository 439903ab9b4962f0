"""The pages in real browsers."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from stack import Student
from tools import missing

# A function's first call takes a while.
SECONDS_TO_WAIT = 30
# So that the browser connects to the page's servers only.
SWITCHES = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
EXECUTABLES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}
# The browsers' messages about a failed request; a test that causes failures checks them itself.
FAILED_REQUESTS = ("Failed to load resource", "The Same Origin Policy disallows reading the remote resource")
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@contextmanager
def running(name: str) -> Iterator[Browser]:
    """The machine's browser with this name, while the block runs. Skips the test if there is none."""
    names = EXECUTABLES[name]
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        missing(name, names[0])
    expect.set_options(timeout=SECONDS_TO_WAIT * 1000)
    with sync_playwright() as playwright:
        if name == "firefox":
            # Through WebDriver BiDi, with the distribution's browser; Playwright's own protocol needs a special build.
            browser = playwright.firefox.launch(executable_path=executable, channel="moz-firefox")
        else:
            # Chromium's sandbox does not run as root, and CI is root in a container.
            switches = [*SWITCHES, "--no-sandbox"] if os.geteuid() == 0 else SWITCHES
            browser = playwright.chromium.launch(executable_path=executable, args=switches)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, web_url: str, **settings: Any) -> Iterator[BrowserContext]:
    """A visitor with an empty browser, who is at the pages while the block runs."""
    context = browser.new_context(base_url=web_url, **{"locale": "en-GB"} | settings)
    context.set_default_timeout(SECONDS_TO_WAIT * 1000)
    yield context
    context.close()


@contextmanager
def quiet_page(context: BrowserContext) -> Iterator[Page]:
    """A page that must print nothing in the console, which also shows violations of the security policy."""
    page = context.new_page()
    complaints: list[str] = []

    def note(text: str) -> None:
        if not text.startswith(FAILED_REQUESTS):
            complaints.append(text)

    page.on("console", lambda message: message.type in ("error", "warning") and note(message.text))
    page.on("pageerror", lambda error: note(str(error)))
    yield page
    assert complaints == []


def sign_in(context: BrowserContext, student: Student) -> None:
    """Opens the page's session for a student who has signed in elsewhere."""
    # An empty page, with which Firefox starts, has no storage.
    context.add_init_script(f"location.host && sessionStorage.setItem('id_token', '{student.token}')")


def field(page: Page, label: str) -> Locator:
    """The field of the visible view."""
    return page.get_by_label(label, exact=True).filter(visible=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def expect_view(page: Page, title: str) -> None:
    heading = page.get_by_role("heading", level=1, name=title, exact=True)
    expect(heading).to_be_focused()
    expect(page).to_have_title(f"{title} · Registrar")


def check_view(page: Page, view: str, scheme: str | None, width: int, full_page: bool = True) -> None:
    """Checks that axe finds no fault, and that the view fits the window; takes a picture if `SCREENSHOTS` is set."""
    result = Axe().run(page)
    assert result.violations_count == 0, f"{view}: {result.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{view} is wider than the window"
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{view}-{scheme}-{width}.png", full_page=full_page)
