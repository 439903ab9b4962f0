"""What holds of this template alone; what holds of any is in lint/."""

from pathlib import Path
from typing import Any

import picture
import pytest
from cfnlint.decode import cfn_yaml

PROJECT = Path(__file__).parent.parent
RESOURCES: dict[str, dict[str, Any]] = cfn_yaml.load(str(PROJECT / "template.yaml"))["Resources"]


def of_type(*types: str) -> dict[str, dict[str, Any]]:
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] in types}


FUNCTIONS = of_type("AWS::Serverless::Function")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_called_the_same_everywhere(name: str) -> None:
    function = FUNCTIONS[name]
    kebab = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
    assert function["Metadata"]["BuildProperties"]["Binary"] == kebab
    assert function["Properties"]["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{kebab}"}
    assert function["Properties"]["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Properties"]["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}
    assert RESOURCES[f"{name}Logs"]["Properties"]["LogGroupName"] == {
        "Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{kebab}"
    }
    assert (PROJECT / "handlers" / kebab / "src" / "main.rs").exists()
    assert (PROJECT / "events" / f"{kebab}.json").exists()


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


def test_an_alarm_tells_someone() -> None:
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["Properties"]["AlarmDescription"]
