"""The results of `make cost` for e-mails. The measurements here are made up."""

from measuring import module

FUNCTIONS = {"memory_mb": {"1": 20}, "cpu_us": {"1": 500}, "wall_us": {"1": 700}, "init_ms": 20, "first_ms": 10}


def test_the_page_has_a_column_for_each_peer() -> None:
    page = "\n".join(
        module("notifications", "cost").sections({"check-account": {"Registrar": FUNCTIONS, "Python": FUNCTIONS}})
    )
    assert "| USD | Registrar | Python |" in page
