"""The calculations of `make cost`, compared with examples by hand. The measurements here are made up."""

import cost
import pricing
import pytest
from figures import FAST, SLOW
from measuring import modules


@pytest.fixture(autouse=True)
def round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer price does not change the results of these tests."""
    monkeypatch.setitem(pricing.PRICES, "lambda_request", 0.2e-6)
    monkeypatch.setitem(pricing.PRICES, f"lambda_gb_second_{pricing.ARCHITECTURE}", 0.00001)


def test_an_invocation_costs_a_request_and_its_memory_for_each_millisecond_begun() -> None:
    # 0.25 GB for 101 ms at 0.00001 USD.
    assert pricing.invocation_cost(0.1001, memory_mb=256) == pytest.approx(0.2e-6 + 0.25 * 0.101 * 0.00001)


def test_a_function_has_a_processor_in_proportion_to_its_memory() -> None:
    # 10.1 ms of CPU on a quarter of a processor, 0.2 ms of its own wait, 30 ms of S3.
    assert pricing.seconds(FAST, 1001, memory_mb=1769 // 4, service_seconds=0.03) == pytest.approx(
        0.0101 / (442 / 1769) + 0.0002 + 0.03
    )
    assert pricing.seconds(FAST, 1001, memory_mb=10_240, service_seconds=0) == pytest.approx(0.0103)


def test_a_batch_between_two_that_were_measured_lies_on_the_line_between_them() -> None:
    assert pricing.between(FAST["cpu_us"], 501) == pytest.approx(5_100)
    assert pricing.between(FAST["cpu_us"], 20_000) == 100_090
    assert pricing.between({"1": 500}, 1) == 500


def test_a_function_gets_more_memory_than_configured_only_if_it_needs_it() -> None:
    assert pricing.memory_size(FAST, configured=256) == 256
    assert pricing.memory_size(SLOW, configured=256) == 320


def test_a_limit_is_hit_where_the_demand_reaches_it() -> None:
    assert pricing.hit_at(lambda rate: 2 * rate, 100) == pytest.approx(50)
    assert pricing.hit_at(lambda rate: rate, 2_000_000) is None


def test_the_limits_come_in_the_order_in_which_they_are_hit() -> None:
    limits = [
        pricing.Limit("far", 1000, lambda rate: rate, "a"),
        pricing.Limit("out of reach", 10_000_000, lambda rate: rate, "b"),
        pricing.Limit("near", 1000, lambda rate: 4 * rate, "c"),
    ]
    assert pricing.limits_table(limits).splitlines()[2:] == [
        "| near | c | 1,000 | 250 |",
        "| far | a | 1,000 | 1,000 |",
        "| out of reach | b | 10,000,000 | never |",
    ]


def test_what_could_not_be_verified_is_named_on_the_page() -> None:
    entries = pricing.PRICE_LIST | pricing.LIMITS["quotas"]
    for name, entry in entries.items():
        assert (f"`{name}`" in pricing.provenance()) == (not entry["verified"] or not entry["as_of"])
        assert entry["source"].startswith("https://")


def test_settings_are_those_of_the_template() -> None:
    assert pricing.ARCHITECTURE in ("arm64", "x86_64")


def test_the_page_says_when_its_figures_were_measured() -> None:
    everything = {room.MEASURED: {"Registrar": FAST, "Python, textbook": SLOW} for room in modules("cost")}
    page = cost.page({"made": {"date": "2026-11-21", "commit": "abc"}} | everything)
    assert "on 2026-11-21, at commit abc" in page


def test_the_parts_of_a_table_come_to_its_total() -> None:
    *rows, total = pricing.cost_table({"": {"a": 1.234, "b": 1.1}}).splitlines()[2:]
    assert [row.split("|")[2].strip(" *") for row in [*rows, total]] == ["1.23", "1.10", "2.33"]
