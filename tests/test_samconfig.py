"""SAM can deploy each environment of samconfig.toml with its name alone."""

import inspect
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
import up
from click.testing import CliRunner
from local_cloud import server
from rooms import PROJECT, ROOT
from samcli.commands.deploy import command
from stack import NAME


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
