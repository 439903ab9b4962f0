"""A student's requests for appointments, through the API."""

from typing import Any
from urllib.parse import quote

import requests
from stack import Student


def book(student: Student, **booking: Any) -> requests.Response:
    return student.request("POST", "/appointments", "appointments", json=booking)


def list_appointments(student: Student, **parameters: Any) -> requests.Response:
    return student.request("GET", "/appointments", "appointments", params=parameters)


def cancel(student: Student, advisor_id: str, starts_at: str) -> requests.Response:
    path = f"/appointments/{quote(advisor_id, safe='')}/{quote(starts_at, safe='')}"
    return student.request("DELETE", path, "appointments")
