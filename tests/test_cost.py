"""What `make cost` works out, against examples by hand. The measurements here are made up."""

from typing import Any

import cost
import pytest

FAST = {
    "memory_mb": {"1": 20, "10000": 40},
    "cpu_us": {"1": 100, "1001": 10_100, "10000": 100_090},
    "wall_us": {"1": 300, "1001": 10_300, "10000": 100_290},
    "init_ms": 20,
    "first_ms": 10,
}
SLOW = {
    "memory_mb": {"1": 90, "10000": 300},
    "cpu_us": {"1": 2_000, "10000": 20_000_000},
    "wall_us": {"1": 2_500, "10000": 20_100_000},
    "init_ms": 400,
    "first_ms": 100,
}
ACCOUNTS = {
    name: {
        "memory_mb": {"1": 20},
        "cpu_us": {"1": 500},
        "wall_us": {"1": 700},
        "init_ms": 20,
        "first_ms": 10,
    }
    for name in ("Registrar", "Python")
}
RESULTS: dict[str, Any] = {"archive": {"Registrar": FAST, "Python, textbook": SLOW}, "check-account": ACCOUNTS}


@pytest.fixture(autouse=True)
def round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer price, quota or setting does not change what these tests compute."""
    monkeypatch.setitem(cost.PRICES, "lambda_request", 0.2e-6)
    monkeypatch.setitem(cost.PRICES, f"lambda_gb_second_{cost.ARCHITECTURE}", 0.00001)
    monkeypatch.setitem(cost.PRICES, "s3_put", 5e-6)
    monkeypatch.setitem(cost.QUOTAS, "partition_write_units_per_second", 1000)
    monkeypatch.setitem(cost.ASSUMED, "s3_put_seconds", 0.03)
    monkeypatch.setattr(cost, "INITIAL_SHARDS", 4)
    monkeypatch.setattr(cost, "PARALLELIZATION", 1)
    monkeypatch.setattr(cost, "WINDOW", 5)
    monkeypatch.setattr(cost, "CHANGES", 1.1)
    monkeypatch.setattr(cost, "WRITE_UNITS", 1)


def test_an_invocation_costs_a_request_and_its_memory_for_each_millisecond_begun() -> None:
    # 0.25 GB for 101 ms at 0.00001 USD.
    assert cost.invocation_cost(0.1001, memory_mb=256) == pytest.approx(0.2e-6 + 0.25 * 0.101 * 0.00001)


def test_a_function_has_a_processor_in_proportion_to_its_memory() -> None:
    # 10.1 ms of CPU on a quarter of a processor, 0.2 ms of its own wait, 30 ms of S3.
    assert cost.seconds(FAST, 1001, memory_mb=1769 // 4, service_seconds=0.03) == pytest.approx(
        0.0101 / (442 / 1769) + 0.0002 + 0.03
    )
    assert cost.seconds(FAST, 1001, memory_mb=10_240, service_seconds=0) == pytest.approx(0.0103)


def test_a_batch_between_two_that_were_measured_lies_on_the_line_between_them() -> None:
    assert cost.between(FAST["cpu_us"], 501) == pytest.approx(5_100)
    assert cost.between(FAST["cpu_us"], 20_000) == 100_090
    assert cost.between({"1": 500}, 1) == 500


def test_a_function_gets_more_memory_than_configured_only_if_it_needs_it() -> None:
    assert cost.memory_size(FAST, configured=256) == 256
    assert cost.memory_size(SLOW, configured=256) == 320


@pytest.mark.parametrize(
    ("bookings", "shards", "records"),
    [
        (1, 4, 1 + 1.1 / 4 * 5),
        (1_000, 4, 1 + 1_100 / 4 * 5),
        (100_000, 110, 1 + 1_000 * 5),
    ],
)
def test_a_batch_is_what_a_lane_gathers_in_its_window(bookings: float, shards: int, records: float) -> None:
    stream = cost.stream(bookings, largest_batch=10_000)
    assert (stream.shards, stream.lanes) == (shards, shards)
    assert stream.records == pytest.approx(records)


def test_who_puts_an_object_for_each_record_pays_for_a_put_a_record() -> None:
    ours, theirs = (
        cost.bookings_cost(cost.Archiver(name, result), ACCOUNTS, 1_000) for name, result in RESULTS["archive"].items()
    )
    assert theirs["S3"] == pytest.approx(1.1e6 * 5e-6)
    assert ours["S3"] == pytest.approx(1.1e6 * 5e-6 / 1376)
    assert ours["API Gateway"] == theirs["API Gateway"]
    assert theirs["ledger"] == 0 < ours["ledger"]


def test_the_parts_of_a_table_come_to_its_total() -> None:
    costs = {
        "bookings": cost.bookings_cost(cost.Archiver("Registrar", FAST), ACCOUNTS, 10),
        "sign-ups": cost.sign_ups_cost(cost.Accounts(ACCOUNTS["Registrar"])),
    }
    for parts in costs.values():
        *rows, total = cost.cost_table({"": parts}).splitlines()[2:]
        last = [float(row.split("|")[2].strip(" *").replace(",", "")) for row in [*rows, total]]
        assert sum(last[:-1]) == pytest.approx(last[-1], abs=0.005 * len(last))


def test_a_limit_is_hit_where_the_demand_reaches_it() -> None:
    assert cost.hit_at(lambda rate: 2 * rate, 100) == pytest.approx(50)
    assert cost.hit_at(lambda rate: rate, 2_000_000) is None


def test_the_limits_come_in_the_order_in_which_they_are_hit() -> None:
    limits = [
        cost.Limit("far", 1000, lambda rate: rate, "a"),
        cost.Limit("out of reach", 10_000_000, lambda rate: rate, "b"),
        cost.Limit("near", 1000, lambda rate: 4 * rate, "c"),
    ]
    assert cost.limits_table(limits).splitlines()[2:] == [
        "| near | c | 1,000 | 250 |",
        "| far | a | 1,000 | 1,000 |",
        "| out of reach | b | 10,000,000 | never |",
    ]


def test_an_archive_falls_behind_where_a_lane_brings_more_than_it_can_take() -> None:
    slow = cost.Archiver("Python, textbook", SLOW)
    # The four shards of a new table, with a lane or ten each.
    assert slow.behind_at(1) == pytest.approx(4 * slow.records_per_second / 1.1)
    assert slow.behind_at(10) == pytest.approx(40 * slow.records_per_second / 1.1)
    assert cost.Archiver("Registrar", FAST).behind_at(1) is None


def test_a_batch_is_no_larger_than_the_function_can_do_before_its_time_is_up() -> None:
    slow = cost.Archiver("Python, textbook", SLOW)
    assert slow.largest_batch < cost.BATCH_SIZE
    assert slow.seconds(slow.largest_batch) == pytest.approx(cost.TIMEOUT, rel=0.01)


def test_what_could_not_be_verified_is_named_on_the_page() -> None:
    entries = cost.PRICE_LIST | cost.LIMITS["quotas"]
    for name, entry in entries.items():
        assert (f"`{name}`" in cost.provenance()) == (not entry["verified"] or not entry["as_of"])
        assert entry["source"].startswith("https://")


def test_the_page_has_a_row_for_each_rate_and_a_column_for_each_peer() -> None:
    page = cost.page(RESULTS)
    assert "| USD | Registrar | Python, textbook |" in page
    assert "| bookings a second | 1 | 10 | 100 | 1,000 | 10,000 | 100,000 | 1,000,000 |" in page


def test_settings_are_those_of_the_template() -> None:
    assert cost.setting("ArchiveAppointments", "MemorySize").isdigit()
    assert cost.setting("Architecture", "Default") in ("arm64", "x86_64")
    assert int(cost.setting("StartAccountWorkflow", "MaximumConcurrency")) >= 2
    assert cost.throttle("/accounts") < cost.throttle("/*")
