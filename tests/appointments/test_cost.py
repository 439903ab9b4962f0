"""The results of `make cost` for bookings, compared with examples by hand. The measurements here are made up."""

import pricing
import pytest
from figures import FAST, SLOW
from measuring import module

cost = module("appointments", "cost")


@pytest.fixture(autouse=True)
def round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer price, quota or setting does not change the results of these tests."""
    monkeypatch.setitem(pricing.PRICES, "s3_put", 5e-6)
    monkeypatch.setitem(pricing.QUOTAS, "partition_write_units_per_second", 1000)
    monkeypatch.setitem(pricing.ASSUMED, "s3_put_seconds", 0.03)
    monkeypatch.setattr(cost, "INITIAL_SHARDS", 4)
    monkeypatch.setattr(cost, "PARALLELIZATION", 1)
    monkeypatch.setattr(cost, "WINDOW", 5)
    monkeypatch.setattr(cost, "CHANGES", 1.1)
    monkeypatch.setattr(cost, "WRITE_UNITS", 1)


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
    archivers = [cost.Archiver("Registrar", FAST), cost.Archiver("Python, textbook", SLOW)]
    ours, theirs = (cost.bookings_cost(archiver, archivers[0], 1_000) for archiver in archivers)
    assert theirs["S3"] == pytest.approx(1.1e6 * 5e-6)
    assert ours["S3"] == pytest.approx(1.1e6 * 5e-6 / 1376)
    assert ours["API Gateway"] == theirs["API Gateway"]
    assert theirs["ledger"] == 0 < ours["ledger"]


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


def test_the_page_has_a_row_for_each_rate_and_a_column_for_each_peer() -> None:
    page = "\n".join(cost.sections({"archive": {"Registrar": FAST, "Python, textbook": SLOW}}))
    assert "| USD | Registrar | Python, textbook |" in page
    assert "| bookings a second | 1 | 10 | 100 | 1,000 | 10,000 | 100,000 | 1,000,000 |" in page


def test_settings_are_those_of_the_template() -> None:
    assert pricing.setting("appointments", "ArchiveAppointments", "MemorySize").isdigit()
    assert pricing.throttle("appointments", "/*") > 0
