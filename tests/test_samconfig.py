"""SAM can deploy each environment of samconfig.toml with its name alone."""

import inspect
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import beside
import boto3
import pytest
import tomlkit
import up
from click.testing import CliRunner
from local_cloud import server
from rooms import DEPLOYED, PROJECT, ROOMS, ROOT, Room
from samcli.commands.deploy import command
from stack import ENVIRONMENTS, NAME

BESIDE = [room for room in ROOMS if room not in DEPLOYED]


def deployment(*options: str) -> dict[str, Any]:
    """The parameters and the settings with which `sam deploy` would deploy, given these options."""
    with mock.patch.object(command, "do_cli") as deploy:
        result = CliRunner(env={"SAM_CLI_TELEMETRY": "0"}).invoke(command.cli, options)
    assert result.exit_code == 0, result.output
    return inspect.signature(command.do_cli).bind(*deploy.call_args.args, **deploy.call_args.kwargs).arguments


@pytest.mark.parametrize(("options", "stage"), [([], "dev"), (["--config-env", "prod"], "prod")])
def test_sam_deploy_needs_no_option_but_the_name_of_prod(
    monkeypatch: pytest.MonkeyPatch, options: list[str], stage: str
) -> None:
    monkeypatch.chdir(PROJECT)
    deployed = deployment(*options)
    assert deployed["stack_name"] == f"{NAME}-{stage}"
    assert deployed["resolve_s3"] or deployed["s3_bucket"]
    assert "CAPABILITY_IAM" in deployed["capabilities"]
    assert not deployed["guided"]
    # A person has to confirm a change of prod.
    assert deployed["confirm_changeset"] == (stage == "prod")
    parameters = deployed["parameter_overrides"]
    assert parameters["Stage"] == stage
    assert parameters.keys() <= ROOT["Parameters"].keys()
    given = {name for name, parameter in ROOT["Parameters"].items() if "Default" in parameter} | parameters.keys()
    assert given == ROOT["Parameters"].keys()


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("room", BESIDE, ids=str)
def test_a_stack_beside_the_root_has_the_settings_of_its_environment(
    monkeypatch: pytest.MonkeyPatch, room: Room, environment: str
) -> None:
    monkeypatch.chdir(PROJECT)
    # What has no default, the room makes before it is deployed.
    required = [name for name, parameter in room.template["Parameters"].items() if "Default" not in parameter]
    made = dict.fromkeys(set(required) - {"RootStackName"}, "made")
    steps = mock.Mock(before_deploy=mock.Mock(return_value=made))
    with (
        mock.patch.object(beside.room_modules, "load", return_value={room.name: steps}),
        mock.patch.object(beside.subprocess, "run", return_value=mock.Mock(returncode=0)) as run,
    ):
        beside.deploy(room.name, f"{NAME}-{environment}", environment)
    [command] = run.call_args.args
    deployed = deployment(*command[2:])
    assert deployed["stack_name"] == f"{NAME}-{room}-{environment}"
    assert deployed["resolve_s3"] or deployed["s3_bucket"]
    assert "CAPABILITY_IAM" in deployed["capabilities"]
    assert deployed["confirm_changeset"] == (environment == "prod")
    given = deployed["parameter_overrides"]
    assert given["RootStackName"] == f"{NAME}-{environment}"
    assert given["Stage"] == environment
    declared = room.template["Parameters"]
    assert {name for name, one in declared.items() if "Default" not in one} <= given.keys()


@pytest.mark.parametrize("room", BESIDE, ids=str)
def test_parameters_of_a_stack_beside_the_root_are_in_its_template(room: Room) -> None:
    path = PROJECT / "stacks" / room.name / "parameters.toml"
    given = tomlkit.parse(path.read_text()).unwrap() if path.exists() else {}
    assert given.keys() <= set(ENVIRONMENTS)
    # Some are for what the room makes before it is deployed.
    scripts = "".join(script.read_text() for script in PROJECT.glob(f"scripts/{room}/*.py"))
    for name in {name for parameters in given.values() for name in parameters}:
        assert name in room.template["Parameters"] or f'"{name}"' in scripts


def test_sam_deploy_without_an_option_deploys_every_room(tmp_path: Path) -> None:
    with server.running(tmp_path) as port:
        environment = server.client_environment(port)
        subprocess.run([up.SAM, "deploy"], cwd=PROJECT, env=environment, check=True)
        cloudformation = boto3.Session(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]).client(
            "cloudformation", environment["AWS_DEFAULT_REGION"], endpoint_url=environment["AWS_ENDPOINT_URL"]
        )
        resources = cloudformation.list_stack_resources(StackName=f"{NAME}-dev")["StackResourceSummaries"]
    assert {resource["LogicalResourceId"]: resource["ResourceStatus"] for resource in resources} == dict.fromkeys(
        ROOT["Resources"], "CREATE_COMPLETE"
    )
