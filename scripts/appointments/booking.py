"""Requests of students and staff to the API of appointments."""

from typing import Any
from urllib.parse import quote

import requests
from stack import Student

SLOT = {"duration_minutes": 30, "place": "Room 101", "time_zone": "Europe/Berlin"}


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def book(student: Student, advisor_id: str, starts_at: str, **booking: str) -> requests.Response:
    return student.request("PUT", _path("appointments", advisor_id, starts_at), "appointments", json=booking)


def get_appointment(student: Student, advisor_id: str, starts_at: str) -> requests.Response:
    return student.request("GET", _path("appointments", advisor_id, starts_at), "appointments")


def cancel(student: Student, advisor_id: str, starts_at: str) -> requests.Response:
    return student.request("DELETE", _path("appointments", advisor_id, starts_at), "appointments")


def list_appointments(student: Student, **parameters: Any) -> requests.Response:
    return student.request("GET", "/appointments", "appointments", params=parameters)


def list_free_slots(student: Student, advisor_id: str, **parameters: Any) -> requests.Response:
    return student.request("GET", _path("advisors", advisor_id, "slots"), "appointments", params=parameters)


def offer(staff: Student, advisor_id: str, starts_at: str, **slot: Any) -> requests.Response:
    body = {"starts_at": starts_at} | SLOT | slot
    return staff.request("POST", _path("advisors", advisor_id, "slots"), "appointments", json=body)


def withdraw(staff: Student, advisor_id: str, starts_at: str, **parameters: str) -> requests.Response:
    path = _path("advisors", advisor_id, "slots", starts_at)
    return staff.request("DELETE", path, "appointments", params=parameters)


def list_advisor_appointments(staff: Student, advisor_id: str, **parameters: Any) -> requests.Response:
    return staff.request("GET", _path("advisors", advisor_id, "appointments"), "appointments", params=parameters)
