"""The results of `make cost` for sign-ups. The measurements here are made up."""

import pricing
from figures import SINGLE
from measuring import module

cost = module("accounts", "cost")


def test_a_slower_language_costs_more_in_lambda_and_in_step_functions_alone() -> None:
    slow = SINGLE | {"cpu_us": {"1": 50_000}, "wall_us": {"1": 50_200}}
    ours, theirs = (cost.sign_ups_cost(pricing.Functions("accounts", result)) for result in (SINGLE, slow))
    assert {part for part in ours if theirs[part] > ours[part]} == {"Lambda", "Step Functions"}


def test_the_page_has_a_column_for_each_peer() -> None:
    page = "\n".join(cost.sections({"check-account": {"Registrar": SINGLE, "Python": SINGLE}}))
    assert "| USD | Registrar | Python |" in page


def test_settings_are_those_of_the_template() -> None:
    assert int(pricing.setting("accounts", "StartAccountWorkflow", "MaximumConcurrency")) >= 2
    assert pricing.throttle("accounts", "/accounts") > 0
