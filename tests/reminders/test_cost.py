"""The results of `make cost` for appointments that are told. The measurements here are made up."""

from figures import SINGLE
from measuring import module


def test_the_page_has_a_column_for_each_peer() -> None:
    page = "\n".join(module("reminders", "cost").sections({"archive": {"Registrar": SINGLE, "Python": SINGLE}}))
    assert "| USD | Registrar | Python |" in page
