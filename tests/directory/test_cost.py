"""The page on costs agrees with the prices, and with what the environments deploy."""

import re

import pytest
import tomlkit
from pricing import PRICE_LIST, PRICES
from rooms import PROJECT, Room

HOURS = 730
ROW = re.compile(r"^\| [^|]+ \| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.,]+) \| ([\d.,]+) \|$", re.MULTILINE)
PAGE = (PROJECT / "docs/directory/cost.md").read_text()
ROWS = {row[0]: [float(value.replace(",", "")) for value in row[1:]] for row in ROW.findall(PAGE)}
PARAMETERS = tomlkit.parse((PROJECT / "stacks/directory/parameters.toml").read_text()).unwrap()


def parameter(environment: str, name: str) -> str:
    default = Room("directory").template["Parameters"][name].get("Default")
    return str(PARAMETERS.get(environment, {}).get(name, default))


@pytest.mark.parametrize("price", ROWS)
def test_a_row_is_a_number_times_a_price(price: str) -> None:
    *numbers, dev, prod = ROWS[price]
    month = PRICES[price] * (HOURS if "hour" in PRICE_LIST[price]["unit"] else 1)
    assert [dev, prod] == [pytest.approx(number * month, abs=0.006) for number in numbers]


@pytest.mark.parametrize(("column", "environment"), [(0, "dev"), (1, "prod")])
def test_the_numbers_are_those_of_the_environment(column: int, environment: str) -> None:
    numbers = {price: row[column] for price, row in ROWS.items()}
    instances = 1 + (parameter(environment, "Reader") == "true")
    proxy = parameter(environment, "Proxy") == "true"
    tasks = int(parameter(environment, "MinTasks"))
    alarms = [
        alarm
        for alarm in Room("directory").alarms.values()
        if {None: True, "HasReader": instances == 2, "HasProxy": proxy}[alarm.get("Condition")]
    ]
    assert numbers["aurora_acu_hour"] == instances * float(parameter(environment, "MinAcus"))
    assert numbers["rds_proxy_acu_hour"] == (8 if proxy else 0)
    assert numbers["fargate_vcpu_hour_arm64"] == tasks / 4
    assert numbers["fargate_gb_hour_arm64"] == tasks / 2
    assert numbers["public_ipv4_hour"] == 2 + tasks
    assert numbers["alarm_month"] == len(alarms)


def test_the_total_is_the_sum_of_the_rows() -> None:
    dev, prod = re.search(r"^\| \*\*all\*\* \|.*\*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\* \|$", PAGE, re.MULTILINE).groups()
    columns = list(zip(*ROWS.values(), strict=True))
    assert [float(dev), float(prod)] == [pytest.approx(sum(columns[2])), pytest.approx(sum(columns[3]))]
