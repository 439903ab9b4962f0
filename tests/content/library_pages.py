"""A student with a password, and what the student does on the library's pages."""

import uuid
from dataclasses import dataclass, field

from browsers import expect_view, press
from deployed_content import id_of
from playwright.sync_api import Page, expect
from stack import Stack

PASSWORD = "Correct-Horse-7-Battery"
NOTES = "/members/vectors/notes.txt"


@dataclass
class Reader:
    """A student with a password."""

    email: str
    student_id: str
    token: str = field(repr=False)


def new_reader(stack: Stack) -> Reader:
    """Who has paid nothing."""
    email = f"ida-{uuid.uuid4()}@school.example"
    student = stack.create_student(email)
    stack.client("cognito-idp").admin_set_user_password(
        UserPoolId=stack.outputs["UserPoolId"], Username=email, Password=PASSWORD, Permanent=True
    )
    return Reader(email, id_of(student), student.token)


def enter(page: Page, reader: Reader, password: str = PASSWORD) -> None:
    expect_view(page, "Sign in")
    page.get_by_label("E-mail address").fill(reader.email)
    page.get_by_label("Password", exact=True).fill(password)
    press(page, "Sign in")


def expect_notice(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def expect_list(page: Page) -> None:
    expect_view(page, "Course material")
    expect(page.get_by_role("listitem")).not_to_have_count(0)


def expect_notes(page: Page) -> None:
    """The browser shows the notes themselves."""
    expect(page.get_by_text("A vector has a length and a direction.")).to_be_visible()
