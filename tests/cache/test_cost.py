"""The page on costs agrees with the prices and with the template."""

import re

import pytest
from pricing import PRICES
from rooms import PROJECT, Room

HOURS = 730
PAGE = (PROJECT / "docs/cache/cost.md").read_text()
IDLE = re.findall(r"^\| ([^|]+) \| `(\w+)` \| (\d+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
PAYS = re.findall(r"^\| [^|]*?(\d+) KB, [^|]+ \| ([\d,]+) million \| ([\d,]+) million \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("what", "price", "number", "month"), IDLE)
def test_a_row_is_a_number_times_a_price(what: str, price: str, number: str, month: str) -> None:
    usd = PRICES[price] * (HOURS if price.endswith("_hour") else 1)
    assert float(month) == pytest.approx(int(number) * usd, abs=0.006)


def test_the_alarms_are_those_of_the_template() -> None:
    conditions = [alarm.get("Condition") for alarm in Room("cache").alarms.values()]
    numbers = [int(number) for _, price, number, _ in IDLE if price == "alarm_month"]
    assert numbers == [conditions.count(None), conditions.count("HasCluster")]


@pytest.mark.parametrize(("kilobytes", "one", "three"), PAYS)
def test_a_cluster_pays_when_its_nodes_cost_less_than_the_reads(kilobytes: str, one: str, three: str) -> None:
    # "An eventually consistent read request requires one-half read request unit" (Amazon DynamoDB pricing), for 4 KB.
    read = PRICES["dynamodb_read_unit"] * int(kilobytes) / 4 / 2
    for nodes, millions in ((1, one), (3, three)):
        reads = nodes * HOURS * PRICES["dax_t3_small_hour"] / read
        assert float(millions.replace(",", "")) == pytest.approx(reads / 1e6, abs=1)


def test_the_page_has_both_tables() -> None:
    assert (len(IDLE), len(PAYS)) == (4, 2)
