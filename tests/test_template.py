"""What holds of this template alone; what holds of any is in lint/."""

import json
import re
from pathlib import Path
from typing import Any

import picture
import pytest
from cfnlint.decode import cfn_yaml

PROJECT = Path(__file__).parent.parent
RESOURCES: dict[str, dict[str, Any]] = cfn_yaml.load(str(PROJECT / "template.yaml"))["Resources"]


def of_type(*types: str) -> dict[str, dict[str, Any]]:
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] in types}


def kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")


FUNCTIONS = of_type("AWS::Serverless::Function")
ALARMS = of_type("AWS::CloudWatch::Alarm")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_called_the_same_everywhere(name: str) -> None:
    function = FUNCTIONS[name]
    kebab_name = kebab(name)
    assert function["Metadata"]["BuildProperties"]["Binary"] == kebab_name
    assert function["Properties"]["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{kebab_name}"}
    assert function["Properties"]["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Properties"]["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}
    assert RESOURCES[f"{name}Logs"]["Properties"]["LogGroupName"] == {
        "Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{kebab_name}"
    }
    assert (PROJECT / "handlers" / kebab_name / "src" / "main.rs").exists()
    assert (PROJECT / "events" / f"{kebab_name}.json").exists()


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool"))
def test_what_holds_data_survives_the_stack_in_prod(name: str) -> None:
    policy = {"Fn::If": ["IsProd", "Retain", "Delete"]}
    assert RESOURCES[name]["DeletionPolicy"] == policy
    assert RESOURCES[name]["UpdateReplacePolicy"] == policy


def test_a_student_can_not_become_another_one() -> None:
    """Cognito keeps to this; the local cloud does not."""
    [attribute] = RESOURCES["UserPool"]["Properties"]["Schema"]
    assert (attribute["Name"], attribute["Mutable"]) == ("student_id", False)
    client = RESOURCES["UserPoolClient"]["Properties"]
    assert "custom:student_id" in client["ReadAttributes"]
    assert not {"custom:student_id", "email"} & set(client["WriteAttributes"])


@pytest.mark.parametrize("name", of_type("AWS::Serverless::StateMachine"))
def test_a_state_machine_logs_nothing_personal_in_prod(name: str) -> None:
    logging = RESOURCES[name]["Properties"]["Logging"]
    assert logging["Level"] in ("ERROR", {"Fn::If": ["IsProd", "ERROR", "ALL"]})
    assert logging["IncludeExecutionData"] in (False, {"Fn::If": ["IsProd", False, True]})


def test_the_picture_of_the_workflow_is_that_of_its_definition() -> None:
    assert picture.PAGE.read_text() == picture.page(), "make picture"


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_someone_what_to_do(name: str) -> None:
    properties = ALARMS[name]["Properties"]
    assert properties["AlarmActions"] == [{"Ref": "AlarmTopic"}]
    runbook = f"{kebab(name.removesuffix('Alarm'))}.md"
    assert properties["AlarmDescription"]["Fn::Sub"].endswith(f". ${{RunbookUrl}}/{runbook}")
    text = (PROJECT / "docs" / "runbooks" / runbook).read_text()
    assert re.findall("^#+ (.*)", text, re.MULTILINE) == [name.removesuffix("Alarm"), "See", "Do", "Over"]


def test_the_alarms_in_the_documentation_are_those_of_the_template() -> None:
    names = {name.removesuffix("Alarm") for name in ALARMS}
    assert {page.name for page in (PROJECT / "docs" / "runbooks").iterdir()} == {f"{kebab(name)}.md" for name in names}
    table = (PROJECT / "docs" / "operations.md").read_text()
    linked = re.findall(r"\[(\w+)\]\(runbooks/([a-z-]+)\.md\)", table)
    assert sorted(linked) == sorted((name, kebab(name)) for name in names)


def test_a_link_in_the_documentation_leads_somewhere() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^):#]+)[#)]", page.read_text())]
    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_errors_of_a_function_are_watched(name: str) -> None:
    errors = [alarm["Properties"] for alarm in ALARMS.values() if alarm["Properties"]["MetricName"] == "Errors"]
    assert [{"Name": "FunctionName", "Value": {"Ref": name}}] in [properties["Dimensions"] for properties in errors]
    assert {"Ref": f"{name}Logs"} in RESOURCES["ErrorsByFunctionQuery"]["Properties"]["LogGroupNames"]


@pytest.mark.parametrize(
    "name",
    of_type("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Serverless::Function", "AWS::Serverless::StateMachine"),
)
def test_the_dashboard_shows_it(name: str) -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert f'"${{{name}}}"' in body or f'"${{{name}.QueueName}}"' in body
    json.loads(re.sub(r"\$\{[^}]+\}", "name", body))
