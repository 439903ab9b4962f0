"""What holds of this template alone; what holds of any is in lint/."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonata
import openapi
import picture
import pytest
import yaml
from cfnlint.decode import cfn_yaml
from samtranslator.translator.transform import transform

PROJECT = Path(__file__).parent.parent
TEMPLATE: dict[str, Any] = cfn_yaml.load(str(PROJECT / "template.yaml"))
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


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
    # A first deployment that fails leaves nothing behind but what is protected against deletion.
    assert RESOURCES[name]["DeletionPolicy"] == {"Fn::If": ["IsProd", "RetainExceptOnCreate", "Delete"]}
    assert RESOURCES[name]["UpdateReplacePolicy"] == {"Fn::If": ["IsProd", "Retain", "Delete"]}


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


# ---- Can the failure that an alarm is there for move its metric?


def watched(namespace: str) -> list[str]:
    return [name for name, alarm in ALARMS.items() if alarm["Properties"]["Namespace"] == namespace]


@pytest.mark.parametrize("name", watched("Registrar"))
def test_the_metric_of_an_alarm_is_written_somewhere(name: str) -> None:
    properties = ALARMS[name]["Properties"]
    assert properties["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
    metric = properties["MetricName"]
    code = [page.read_text() for page in (PROJECT / "handlers").rglob("src/*.rs") if page.stem != "tests"]
    workflows = [page.read_text() for page in (PROJECT / "statemachines").iterdir()]
    assert any(f'metrics.add("{metric}"' in text for text in code) or any(
        f"MetricName: {metric}\n" in text for text in workflows
    )


@pytest.mark.parametrize("name", [*watched("AWS/Lambda"), *watched("AWS/SQS"), *watched("AWS/States")])
def test_an_alarm_names_what_it_watches_as_aws_does(name: str) -> None:
    properties = ALARMS[name]["Properties"]
    if name == "FunctionThrottlesAlarm":
        # Of all functions of the account and region.
        assert properties["Dimensions"] == []
        return
    [dimension] = properties["Dimensions"]
    kind, value = {
        "AWS/Lambda": ("FunctionName", lambda resource: {"Ref": resource}),
        "AWS/SQS": ("QueueName", lambda resource: {"Fn::GetAtt": [resource, "QueueName"]}),
        "AWS/States": ("StateMachineArn", lambda resource: {"Ref": resource}),
    }[properties["Namespace"]]
    assert dimension["Name"] == kind
    assert dimension["Value"] in [value(resource) for resource in RESOURCES]


@pytest.mark.parametrize("name", watched("AWS/Lambda"))
def test_an_error_is_looked_for_where_lambda_dates_it(name: str) -> None:
    """Types of metrics for Lambda functions: "the timestamp on an error metric reflects when the function was invoked,
    not when the error occurred".
    """
    properties = ALARMS[name]["Properties"]
    if properties["MetricName"] == "Errors":
        function = RESOURCES[properties["Dimensions"][0]["Value"]["Ref"]]
        assert properties["Period"] >= 2 * function["Properties"]["Timeout"]


QUEUES_READ = {
    name: (event["Properties"]["Queue"]["Fn::GetAtt"][0], metric)
    for name, metric in (
        ("StartAccountWorkflow", "OldestAccountRequestHandedBack"),
        ("SendNotification", "OldestNotificationHandedBack"),
    )
    for event in FUNCTIONS[name]["Properties"]["Events"].values()
}


def test_a_message_that_fails_again_and_again_raises_an_alarm() -> None:
    """Available CloudWatch metrics for Amazon SQS, ApproximateAgeOfOldestMessage: "if a message is received three or
    more times and not deleted, SQS moves it to the back of the queue. The metric then reflects the age of the next
    message that hasn't exceeded the receive threshold."
    """
    events = {name: function["Properties"].get("Events", {}) for name, function in FUNCTIONS.items()}
    assert set(QUEUES_READ) == {
        name for name, sources in events.items() if any(source["Type"] == "SQS" for source in sources.values())
    }
    for queue, metric in QUEUES_READ.values():
        [alarm] = [one["Properties"] for one in ALARMS.values() if one["Properties"]["MetricName"] == metric]
        visibility = RESOURCES[queue]["Properties"]["VisibilityTimeout"]
        attempts = RESOURCES[queue]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
        assert alarm["Statistic"] == "Maximum"
        # Each period has an attempt, and the alarm rings long before the last one.
        assert visibility < alarm["Period"]
        assert alarm["Threshold"] + alarm["Period"] < visibility * attempts / 2
        # Of what nobody receives, SQS knows the age.
        ages = [one["Properties"]["Dimensions"] for one in ALARMS.values() if "Age" in one["Properties"]["MetricName"]]
        assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}] in ages


def test_the_api_has_the_name_that_its_alarms_watch() -> None:
    """Whichever name API Gateway takes, when it imports the definition and CloudFormation updates it."""
    name = {"Ref": "AWS::StackName"}
    assert RESOURCES["Api"]["Properties"]["Name"] == name
    assert openapi.DOCUMENT["info"]["title"] == {"Fn::Sub": "${AWS::StackName}"}
    for alarm in watched("AWS/ApiGateway"):
        dimensions = ALARMS[alarm]["Properties"]["Dimensions"]
        assert dimensions == [{"Name": "ApiName", "Value": name}, {"Name": "Stage", "Value": {"Ref": "Stage"}}]


def test_the_canary_says_that_a_booking_has_not_arrived_before_it_is_timed_out() -> None:
    definition = yaml.safe_load((PROJECT / "statemachines" / "check-freshness.asl.yaml").read_text())
    schedule = RESOURCES["CheckFreshnessSchedule"]["Properties"]["Target"]["Input"]
    give_up = json.loads(schedule)["give_up_after_seconds"]
    expression = definition["States"]["WaitForArchive"]["Seconds"].removeprefix("{%").removesuffix("%}")
    wait = jsonata.Jsonata(expression)
    for look in (0.02, 0.3, 0.7, 1.1):
        seconds = look
        while seconds < give_up:
            frame = wait.create_frame()
            frame.bind("seconds", seconds)
            frame.bind("states", {"context": {"Execution": {"Input": json.loads(schedule)}}})
            seconds += wait.evaluate(None, frame) + look
        assert seconds < give_up + 60 < definition["TimeoutSeconds"]


@pytest.mark.parametrize(
    "name",
    of_type("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Serverless::Function", "AWS::Serverless::StateMachine"),
)
def test_the_dashboard_shows_it(name: str) -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert f'"${{{name}}}"' in body or f'"${{{name}.QueueName}}"' in body
    json.loads(re.sub(r"\$\{[^}]+\}", "name", body))


# ---- Concurrency: docs/accounts/concurrency.md

WARMED = ["ValidateAccount", "CheckAccount", "CreateAccount", "NotifyStudent"]
TERM = of_type("AWS::ApplicationAutoScaling::ScalableTarget")
Transformed = Callable[..., dict[str, dict[str, Any]]]


@pytest.mark.parametrize("name", WARMED)
def test_the_workflow_calls_what_is_warmed(name: str) -> None:
    alias = {"Ref": f"{name}.Alias"}
    assert FUNCTIONS[name]["Properties"]["AutoPublishAlias"] == "live"
    assert RESOURCES["SchoolAccount"]["Properties"]["DefinitionSubstitutions"][f"{name}Arn"] == alias
    [policy] = RESOURCES["SchoolAccountRole"]["Properties"]["Policies"]
    [invoke] = [one for one in policy["PolicyDocument"]["Statement"] if one["Action"] == "lambda:InvokeFunction"]
    assert invoke["Resource"] == [{"Ref": f"{other}.Alias"} for other in WARMED]


def test_nothing_is_kept_warm_unless_it_is_asked_for() -> None:
    conditions = {
        "ProvisionsConcurrency": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ProvisionedConcurrency"}, 0]}]},
        "PreparesForTerm": {"Fn::Not": [{"Fn::Equals": [{"Ref": "TermConcurrency"}, 0]}]},
    }
    assert {name: TEMPLATE["Conditions"][name] for name in conditions} == conditions
    assert {TEMPLATE["Parameters"][name]["Default"] for name in ("ProvisionedConcurrency", "TermConcurrency")} == {0}
    for name, function in FUNCTIONS.items():
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
    """Lambda refuses to provide more than is reserved."""
    assert [name for name in WARMED if "ReservedConcurrentExecutions" in FUNCTIONS[name]["Properties"]] == []


@pytest.fixture
def transformed(monkeypatch: pytest.MonkeyPatch) -> Transformed:
    """The resources after SAM's transform, with these values of parameters."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def transformed(**parameters: str) -> dict[str, dict[str, Any]]:
        template = copy.deepcopy(TEMPLATE)
        for resource in template["Resources"].values():
            files = {"CodeUri", "DefinitionUri"} & resource.get("Properties", {}).keys()
            # Where sam deploy would have uploaded them to.
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
    # SAM would make a role with a policy of AWS's for those that have none.
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
        alarm = ALARMS[f"{name}ErrorsAlarm"]["Properties"]
        assert (alarm["MetricName"], alarm["Dimensions"]) == (
            "Errors",
            [{"Name": "FunctionName", "Value": {"Ref": name}}],
        )


@pytest.mark.parametrize("name", WARMED)
def test_an_alarm_can_ring_before_a_deployment_is_over(name: str) -> None:
    alarm = ALARMS[f"{name}ErrorsAlarm"]["Properties"]
    minutes_of_alarm = alarm["Period"] * alarm["EvaluationPeriods"] / 60
    for kind in TEMPLATE["Parameters"]["DeploymentPreferenceType"]["AllowedValues"]:
        linear, minutes = re.fullmatch(r"(Linear|Canary)10Percent(?:Every)?(\d+)Minutes", kind).groups()
        assert int(minutes) * (9 if linear == "Linear" else 1) >= minutes_of_alarm, kind


def test_the_costs_in_the_documentation_are_for_this_memory() -> None:
    page = (PROJECT / "docs" / "concurrency.md").read_text()
    [megabytes] = {FUNCTIONS[name]["Properties"]["MemorySize"] for name in WARMED}
    assert f"The four functions have {megabytes} MB, that is {megabytes / 1024} GB:" in page


def test_the_parameters_in_the_documentation_are_those_of_the_template() -> None:
    table = (PROJECT / "docs" / "deploy.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(TEMPLATE["Parameters"])
