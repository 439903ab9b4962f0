"""The promises of the accounts' template: docs/accounts/concurrency.md."""

import copy
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import picture
import pytest
from rooms import PROJECT, ROOT, Room
from samtranslator.translator.transform import transform

ROOM = Room("accounts")
WARMED = ["ValidateAccount", "CheckAccount", "CreateAccount", "NotifyStudent"]
TERM = ROOM.of_type("AWS::ApplicationAutoScaling::ScalableTarget")
Transformed = Callable[..., dict[str, dict[str, Any]]]


@pytest.mark.parametrize("name", WARMED)
def test_the_workflow_calls_what_is_warmed(name: str) -> None:
    alias = {"Ref": f"{name}.Alias"}
    assert ROOM.functions[name]["Properties"]["AutoPublishAlias"] == "live"
    assert ROOM.resources["SchoolAccount"]["Properties"]["DefinitionSubstitutions"][f"{name}Arn"] == alias
    [policy] = ROOM.resources["SchoolAccountRole"]["Properties"]["Policies"]
    [invoke] = [one for one in policy["PolicyDocument"]["Statement"] if one["Action"] == "lambda:InvokeFunction"]
    assert invoke["Resource"] == [{"Ref": f"{other}.Alias"} for other in WARMED]


def test_nothing_is_kept_warm_unless_it_is_asked_for() -> None:
    conditions = {
        "ProvisionsConcurrency": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ProvisionedConcurrency"}, 0]}]},
        "PreparesForTerm": {"Fn::Not": [{"Fn::Equals": [{"Ref": "TermConcurrency"}, 0]}]},
    }
    assert {name: ROOM.template["Conditions"][name] for name in conditions} == conditions
    assert {ROOT["Parameters"][name]["Default"] for name in ("ProvisionedConcurrency", "TermConcurrency")} == {0}
    for name, function in ROOM.functions.items():
        kept = function["Properties"].get("ProvisionedConcurrencyConfig")
        if name in WARMED:
            some = {"ProvisionedConcurrentExecutions": {"Ref": "ProvisionedConcurrency"}}
            assert kept == {"Fn::If": ["ProvisionsConcurrency", some, {"Ref": "AWS::NoValue"}]}
        else:
            assert kept is None
    assert {target["Condition"] for target in TERM.values()} == {"PreparesForTerm"}


@pytest.mark.parametrize("name", WARMED)
def test_what_is_warmed_for_term_cools_down_after_it(name: str) -> None:
    target = TERM[f"{name}TermCapacity"]["Properties"]
    address, split = target["ResourceId"]["Fn::Sub"]
    assert address == "function:${Alias}"
    assert split == {"Alias": {"Fn::Select": [1, {"Fn::Split": [":function:", {"Ref": f"{name}.Alias"}]}]}}
    term, rest = ({"Ref": "TermConcurrency"}, {"Ref": "ProvisionedConcurrency"})
    assert [(action["Schedule"], action["ScalableTargetAction"]) for action in target["ScheduledActions"]] == [
        ({"Ref": "TermStart"}, {"MinCapacity": term, "MaxCapacity": term}),
        ({"Ref": "TermEnd"}, {"MinCapacity": rest, "MaxCapacity": rest}),
    ]


def test_what_has_provisioned_concurrency_reserves_none() -> None:
    """Lambda refuses to provision more concurrency than is reserved."""
    assert [name for name in WARMED if "ReservedConcurrentExecutions" in ROOM.functions[name]["Properties"]] == []


@pytest.fixture
def transformed(monkeypatch: pytest.MonkeyPatch) -> Transformed:
    """The resources after SAM's transform, with these values of parameters."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def transformed(**parameters: str) -> dict[str, dict[str, Any]]:
        template = copy.deepcopy(ROOM.template)
        for resource in template["Resources"].values():
            files = {"CodeUri", "DefinitionUri"} & resource.get("Properties", {}).keys()
            # The place where sam deploy would have uploaded the code.
            resource.get("Properties", {}).update(dict.fromkeys(files, "s3://bucket/key"))
        return transform(template, parameters, SimpleNamespace(load=dict))["Resources"]

    return transformed


def test_there_is_no_codedeploy_unless_deployment_is_gradual(transformed: Transformed) -> None:
    resources = transformed()
    assert not any(resource["Type"].startswith("AWS::CodeDeploy") for resource in resources.values())
    assert not any("UpdatePolicy" in resource for resource in resources.values())
    assert resources["AccountDeploymentsRole"]["Condition"] == "DeploysGradually"


def test_a_deployment_rolls_back_on_the_functions_alarm(transformed: Transformed) -> None:
    resources = transformed(GradualDeployment="true")
    # For functions without a role, SAM would make one with a managed policy.
    assert "CodeDeployServiceRole" not in resources
    groups = {name: one["Properties"] for name, one in resources.items() if one["Type"].endswith("::DeploymentGroup")}
    assert set(groups) == {f"{name}DeploymentGroup" for name in WARMED}
    for name in WARMED:
        group = groups[f"{name}DeploymentGroup"]
        assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": f"{name}ErrorsAlarm"}}]}
        rollback = group["AutoRollbackConfiguration"]
        assert (rollback["Enabled"], "DEPLOYMENT_STOP_ON_ALARM" in rollback["Events"]) == (True, True)
        update = resources[f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["DeploymentGroupName"] == {"Ref": f"{name}DeploymentGroup"}
        alarm = ROOM.alarms[f"{name}ErrorsAlarm"]["Properties"]
        assert (alarm["MetricName"], alarm["Dimensions"]) == (
            "Errors",
            [{"Name": "FunctionName", "Value": {"Ref": name}}],
        )


@pytest.mark.parametrize("name", WARMED)
def test_an_alarm_can_be_raised_before_a_deployment_is_over(name: str) -> None:
    alarm = ROOM.alarms[f"{name}ErrorsAlarm"]["Properties"]
    minutes_of_alarm = alarm["Period"] * alarm["EvaluationPeriods"] / 60
    for kind in ROOT["Parameters"]["DeploymentPreferenceType"]["AllowedValues"]:
        linear, minutes = re.fullmatch(r"(Linear|Canary)10Percent(?:Every)?(\d+)Minutes", kind).groups()
        assert int(minutes) * (9 if linear == "Linear" else 1) >= minutes_of_alarm, kind


def test_the_costs_in_the_documentation_are_for_this_memory() -> None:
    page = (PROJECT / "docs/accounts/concurrency.md").read_text()
    [megabytes] = {ROOM.functions[name]["Properties"]["MemorySize"] for name in WARMED}
    assert f"The four functions have {megabytes} MB, that is {megabytes / 1024} GB:" in page


def test_the_picture_of_the_workflow_is_that_of_its_definition() -> None:
    assert picture.PAGE.read_text() == picture.page(), "make picture"
