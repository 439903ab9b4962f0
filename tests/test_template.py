"""The promises that the templates of all rooms have in common. Rules for any template are in lint/."""

import json
import re
from typing import Any

import fork
import pytest
from rooms import PROJECT, ROOMS, ROOT, Room, kebab, resources

FUNCTIONS = list(resources("AWS::Serverless::Function"))
ALARMS = [(room, name) for room in ROOMS for name in room.alarms]
# The topic by which a room's alarms name it: its own, one that the root passes, or one that is exported.
TOPICS = [
    {"Ref": "AlarmTopic"},
    {"Ref": "AlarmTopicArn"},
    {"Fn::ImportValue": {"Fn::Sub": "${RootStackName}-AlarmTopicArn"}},
]


def watched(*namespaces: str) -> list[tuple[Room, str]]:
    return [(room, name) for room, name in ALARMS if room.alarms[name]["Properties"]["Namespace"] in namespaces]


def sources(room: Room) -> list[str]:
    """The code of a room's functions and of crates, without tests, and the definitions of its workflows."""
    code = [
        path
        for place in (PROJECT / "handlers" / room.name, PROJECT / "crates")
        for path in place.glob("*/src/**/*.rs")
        if path.stem != "tests"
    ]
    return [path.read_text() for path in [*code, *(PROJECT / "statemachines" / room.name).glob("*")]]


@pytest.mark.parametrize(("room", "name"), FUNCTIONS, ids=str)
def test_a_function_is_called_the_same_everywhere(room: Room, name: str) -> None:
    function, kebab_name = room.functions[name], kebab(name)
    assert function["Metadata"]["BuildProperties"]["Binary"] == kebab_name
    assert function["Properties"]["FunctionName"] == {"Fn::Sub": f"${{RootStackName}}-{kebab_name}"}
    assert function["Properties"]["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["Properties"]["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}
    assert room.resources[f"{name}Logs"]["Properties"]["LogGroupName"] == {
        "Fn::Sub": f"/aws/lambda/${{RootStackName}}-{kebab_name}"
    }
    assert (PROJECT / "handlers" / room.name / kebab_name / "src" / "main.rs").exists()
    assert (PROJECT / "events" / room.name / f"{kebab_name}.json").exists()


@pytest.mark.parametrize("room", [room for room in ROOMS if room.functions], ids=str)
def test_all_functions_of_a_room_are_in_its_template(room: Room) -> None:
    names = {kebab(name) for name in room.functions}
    assert {path.name for path in (PROJECT / "handlers" / room.name).iterdir()} == names
    assert {path.stem for path in (PROJECT / "events" / room.name).iterdir()} == names


@pytest.mark.parametrize(
    ("room", "name"), resources("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool"), ids=str
)
def test_what_holds_data_survives_the_stack_in_prod(room: Room, name: str) -> None:
    # After a first deployment that fails, only protected resources remain.
    assert room.resources[name]["DeletionPolicy"] == {"Fn::If": ["IsProd", "RetainExceptOnCreate", "Delete"]}
    assert room.resources[name]["UpdateReplacePolicy"] == {"Fn::If": ["IsProd", "Retain", "Delete"]}


@pytest.mark.parametrize(("room", "name"), resources("AWS::RDS::DBCluster"), ids=str)
def test_a_database_leaves_a_snapshot_in_prod(room: Room, name: str) -> None:
    # It can't stay behind: its network would be deleted.
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert room.resources[name][policy] == {"Fn::If": ["IsProd", "Snapshot", "Delete"]}
    assert room.resources[name]["Properties"]["DeletionProtection"] == {"Fn::If": ["IsProd", True, False]}


@pytest.mark.parametrize(("room", "name"), resources("AWS::Serverless::StateMachine"), ids=str)
def test_a_state_machine_logs_nothing_personal_in_prod(room: Room, name: str) -> None:
    logging = room.resources[name]["Properties"]["Logging"]
    assert logging["Level"] in ("ERROR", {"Fn::If": ["IsProd", "ERROR", "ALL"]})
    assert logging["IncludeExecutionData"] in (False, {"Fn::If": ["IsProd", False, True]})


def runbook(room: Room, alarm: str) -> str:
    """The path of the runbook that an alarm's description ends with, below docs/."""
    description = room.alarms[alarm]["Properties"]["AlarmDescription"]["Fn::Sub"]
    return re.search(r"\. \$\{DocumentationUrl\}/([a-z/-]+\.md)$", description)[1]


@pytest.mark.parametrize(("room", "name"), ALARMS, ids=str)
def test_an_alarm_tells_someone_what_to_do(room: Room, name: str) -> None:
    [topic] = room.alarms[name]["Properties"]["AlarmActions"]
    assert topic in TOPICS
    path, own = runbook(room, name), kebab(name.removesuffix("Alarm"))
    # The platform's runbooks can be for the alarms of several rooms.
    assert path == f"{room}/runbooks/{own}.md" or path.startswith("platform/runbooks/")
    title, *parts = re.findall("^#+ (.*)", (PROJECT / "docs" / path).read_text(), re.MULTILINE)
    assert f"{kebab(title)}.md" == path.rpartition("/")[2]
    assert parts == ["See", "Do", "Over"]


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_the_alarms_in_a_rooms_documentation_are_those_of_its_template(room: Room) -> None:
    folder = PROJECT / "docs" / room.name
    table = (folder / "README.md").read_text() if room.alarms else ""
    rows = re.findall(r"^\| \[(\w+)\]\((?:\.\./)?([a-z/-]+/)?runbooks/([a-z-]+\.md)\) \|", table, re.MULTILINE)
    linked = {alarm: f"{other or f'{room}/'}runbooks/{page}" for alarm, other, page in rows}
    assert linked == {name: runbook(room, name) for name in room.alarms}


def test_each_runbook_is_for_an_alarm() -> None:
    pages = {str(path.relative_to(PROJECT / "docs")) for path in PROJECT.glob("docs/*/runbooks/*.md")}
    assert pages == {runbook(room, name) for room, name in ALARMS}


def test_a_link_in_the_documentation_leads_somewhere() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^):#]+)[#)]", page.read_text())]
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(("room", "name"), FUNCTIONS, ids=str)
def test_the_errors_of_a_function_are_watched(room: Room, name: str) -> None:
    alarms = [alarm["Properties"] for alarm in room.alarms.values() if alarm["Properties"]["MetricName"] == "Errors"]
    assert [{"Name": "FunctionName", "Value": {"Ref": name}}] in [properties["Dimensions"] for properties in alarms]
    queries = [query["Properties"] for query in room.of_type("AWS::Logs::QueryDefinition").values()]
    [errors] = [query for query in queries if query["Name"]["Fn::Sub"].endswith("/errors by function")]
    assert {"Ref": f"{name}Logs"} in errors["LogGroupNames"]


# ---- Can the failure that an alarm is for change its metric?


@pytest.mark.parametrize(("room", "name"), watched("Registrar"), ids=str)
def test_the_metric_of_an_alarm_is_written_somewhere(room: Room, name: str) -> None:
    properties = room.alarms[name]["Properties"]
    service = room.template["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert properties["Dimensions"] == [{"Name": "service", "Value": service}]
    metric = properties["MetricName"]
    written = f'metrics.add("{metric}"', f"MetricName: {metric}\n"
    assert any(text in source for text in written for source in sources(room))


@pytest.mark.parametrize(("room", "name"), watched("AWS/Lambda", "AWS/SQS", "AWS/States"), ids=str)
def test_an_alarm_names_what_it_watches_as_aws_does(room: Room, name: str) -> None:
    properties = room.alarms[name]["Properties"]
    kind, reference = {
        "AWS/Lambda": ("FunctionName", lambda resource: {"Ref": resource}),
        "AWS/SQS": ("QueueName", lambda resource: {"Fn::GetAtt": [resource, "QueueName"]}),
        "AWS/States": ("StateMachineArn", lambda resource: {"Ref": resource}),
    }[properties["Namespace"]]
    dimensions = [[{"Name": kind, "Value": reference(resource)}] for resource in room.resources]
    # Without a dimension, a metric covers the whole account and region.
    assert properties["Dimensions"] in [*dimensions, []]


@pytest.mark.parametrize(("room", "name"), watched("AWS/Lambda"), ids=str)
def test_an_error_is_looked_for_where_lambda_dates_it(room: Room, name: str) -> None:
    """Types of metrics for Lambda functions: "the timestamp on an error metric reflects when the function was invoked,
    not when the error occurred".
    """
    properties = room.alarms[name]["Properties"]
    if properties["MetricName"] == "Errors":
        function = room.resources[properties["Dimensions"][0]["Value"]["Ref"]]
        assert properties["Period"] >= 2 * function["Properties"]["Timeout"]


QUEUES_READ = [
    (room, name, event["Properties"]["Queue"]["Fn::GetAtt"][0])
    for room, name in FUNCTIONS
    for event in room.functions[name]["Properties"].get("Events", {}).values()
    if event["Type"] == "SQS"
]


@pytest.mark.parametrize(("room", "name", "queue"), QUEUES_READ, ids=str)
def test_a_message_that_fails_again_and_again_raises_an_alarm(room: Room, name: str, queue: str) -> None:
    """Available CloudWatch metrics for Amazon SQS, ApproximateAgeOfOldestMessage: "if a message is received three or
    more times and not deleted, SQS moves it to the back of the queue. The metric then reflects the age of the next
    message that hasn't exceeded the receive threshold."
    """
    handler = (PROJECT / "handlers" / room.name / kebab(name) / "src" / "handler.rs").read_text()
    [metric] = re.findall(r'metrics\.add\("(Oldest\w+HandedBack)", Unit::Seconds', handler)
    [alarm] = [one["Properties"] for one in room.alarms.values() if one["Properties"]["MetricName"] == metric]
    visibility = room.resources[queue]["Properties"]["VisibilityTimeout"]
    attempts = room.resources[queue]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    assert alarm["Statistic"] == "Maximum"
    # Each period has an attempt, and the alarm is raised long before the last one.
    assert visibility < alarm["Period"]
    assert alarm["Threshold"] + alarm["Period"] < visibility * attempts / 2
    # SQS knows the age only of messages that have not been received.
    ages = [one["Properties"]["Dimensions"] for one in room.alarms.values() if "Age" in one["Properties"]["MetricName"]]
    assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}] in ages


@pytest.mark.parametrize("room", [room for room in ROOMS if room.api], ids=str)
def test_an_api_has_the_name_that_its_alarms_watch(room: Room) -> None:
    """The name is the same, whether API Gateway takes it from an imported definition or CloudFormation updates it.

    The metrics of an HTTP API have its id, and its name is that of the definition alone.
    """
    name = {"Fn::Sub": f"${{RootStackName}}-{room}"}
    assert room.api["info"]["title"] == name
    if room.resources["Api"]["Type"] == "AWS::Serverless::HttpApi":
        expected = [{"Name": "ApiId", "Value": {"Ref": "Api"}}, {"Name": "Stage", "Value": "$default"}]
    else:
        assert room.resources["Api"]["Properties"]["Name"] == name
        expected = [{"Name": "ApiName", "Value": name}, {"Name": "Stage", "Value": {"Ref": "Stage"}}]
    alarms = [alarm for one, alarm in watched("AWS/ApiGateway") if one == room]
    assert alarms
    for alarm in alarms:
        assert room.alarms[alarm]["Properties"]["Dimensions"] == expected


@pytest.mark.parametrize(
    ("room", "name"),
    resources("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Serverless::Function", "AWS::Serverless::StateMachine"),
    ids=str,
)
def test_the_dashboard_shows_it(room: Room, name: str) -> None:
    # A name that is no reference shows what need not exist.
    shown = [f"${{{name}}}", f"${{{name}.QueueName}}", f"${{RootStackName}}-{kebab(name)}"]
    assert any(f'"{text}"' in room.dashboard for text in shown)


@pytest.mark.parametrize(("room", "name"), resources("AWS::CloudWatch::Dashboard"), ids=str)
def test_a_dashboard_is_json(room: Room, name: str) -> None:
    include = room.resources[name]["Properties"]["DashboardBody"]["Fn::Transform"]
    assert include == {"Name": "AWS::Include", "Parameters": {"Location": "dashboard.yaml"}}
    json.loads(re.sub(r"\$\{[^}]+\}", "name", room.dashboard))


def test_the_parameters_in_the_documentation_are_those_of_the_template() -> None:
    table = (PROJECT / "docs" / "deploy.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(ROOT["Parameters"])


def test_what_is_exported_is_imported() -> None:
    texts = [path.read_text() for path in PROJECT.glob("stacks/*/*.yaml")]
    exported, imported = (
        {name for text in texts for name in re.findall(it, text)} for it in (fork.EXPORT, fork.IMPORT)
    )
    assert exported == imported


def test_no_two_rooms_have_an_output_of_the_same_name() -> None:
    """Scripts see the outputs of all nested stacks as one."""
    outputs: list[Any] = [name for room in ROOMS for name in room.template.get("Outputs", {})]
    assert sorted(outputs) == sorted(set(outputs))
