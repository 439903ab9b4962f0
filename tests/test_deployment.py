"""The project's template in an account of its own, as AWS takes or refuses it; its functions do nothing."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml

running_cloud = pytest.importorskip("running_cloud", reason="needs local/")
server = pytest.importorskip("local_cloud.server", reason="needs local/")
up = pytest.importorskip("up", reason="needs local/")

Cloud, REGION = running_cloud.Cloud, running_cloud.REGION

PROJECT = Path(__file__).parent.parent
OTHER_REGION = "eu-west-1"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One in which SES knows the sender's domain in one region, as that of `make up`."""
    directory = tmp_path_factory.mktemp("account")
    with server.running(directory) as port:
        account = Cloud(port, directory / "log")
        upload(account, REGION)
        upload(account, OTHER_REGION)
        up.verify_sender(port)
        yield account


def upload(account: Cloud, region: str) -> None:
    """What sam build and sam deploy do with the template and what it refers to, but for the code."""
    s3, bucket = account.client("s3", region), f"packaged-{region}"
    elsewhere = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **elsewhere)

    def uploaded(path: str, body: bytes) -> str:
        s3.put_object(Bucket=bucket, Key=path, Body=body)
        return f"s3://{bucket}/{path}"

    def packaged(value: Any, folder: Path) -> Any:
        if isinstance(value, list):
            return [packaged(item, folder) for item in value]
        if not isinstance(value, dict):
            return value
        value = {name: packaged(item, folder) for name, item in value.items()}
        if "CodeUri" in value:
            value["CodeUri"] = code
        for name in ("DefinitionUri", "Location"):
            if isinstance(path := value.get(name), str):
                file = (folder / path).resolve()
                key = str(file.relative_to(PROJECT))
                if file.name == "template.yaml":
                    value[name] = template(file)
                else:
                    value[name] = uploaded(key, file.read_bytes())
        return value

    def template(file: Path) -> str:
        """The URL of a packaged template."""
        key = str(file.relative_to(PROJECT).with_suffix(".json"))
        body = packaged(cfn_yaml.load(str(file)), file.parent)
        uploaded(key, json.dumps(body).encode())
        return f"{account.endpoint_url}/{bucket}/{key}"

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("bootstrap", "")
    code = uploaded("code.zip", archive.getvalue())
    template(PROJECT / "template.yaml")


def deploy(account: Cloud, stack: str, region: str = REGION, **parameters: str) -> list[str]:
    """Deploys a stack, to the local cloud unless the parameters say otherwise; why that failed, or nothing."""
    parameters = {"LocalPort": "4566", "NotificationSender": up.SENDER} | parameters
    return account.deploy(
        stack,
        region,
        TemplateURL=f"{account.endpoint_url}/packaged-{region}/template.json",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )


def delete(account: Cloud, stack: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


def is_known(account: Cloud, identity: str) -> bool:
    ses = account.client("sesv2")
    try:
        return bool(ses.get_email_identity(EmailIdentity=identity))
    except ses.exceptions.NotFoundException:
        return False


@pytest.mark.parametrize(
    "sender",
    [up.SENDER, "a@b.test", "a@example.org", "a@mail.School.example", "a@localhost", "Registrar <a@b.edu>"],
)
def test_on_aws_there_has_to_be_a_sender_whom_somebody_can_confirm(account: Cloud, sender: str) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*nobody can (confirm|verify) one"):
        deploy(account, "refused", LocalPort="", NotificationSender=sender)


def test_two_stages_have_the_same_sender_and_it_outlives_them(account: Cloud) -> None:
    assert deploy(account, "dev") == []
    assert is_known(account, up.SENDER)
    assert deploy(account, "prod", CreateSenderIdentity="false") == []
    # Whoever leaves the parameter as it is learns what is there.
    [reason] = deploy(account, "third")
    assert f"'AWS::SES::EmailIdentity' with identifier '{up.SENDER}' already exists." in reason
    delete(account, "dev")
    assert is_known(account, up.SENDER)


def test_a_stack_that_could_not_be_made_leaves_no_sender_behind(account: Cloud) -> None:
    # The domain of this one is not verified, so that the user pool is refused.
    sender = "registrar@academy.edu"
    [reason] = deploy(account, "hasty", NotificationSender=sender, SendCodesThroughSes="true")
    assert "Email address is not verified" in reason
    assert not is_known(account, sender)


def test_a_stack_of_the_same_name_can_be_in_another_region(account: Cloud) -> None:
    assert deploy(account, "twin", CreateSenderIdentity="false") == []
    assert deploy(account, "twin", OTHER_REGION) == []


def test_through_ses_a_code_goes_to_more_than_fifty_students_a_day(account: Cloud) -> None:
    assert deploy(account, "codes", CreateSenderIdentity="false", SendCodesThroughSes="true") == []
    [stack] = account.client("cloudformation").describe_stacks(StackName="codes")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    cognito = account.client("cognito-idp")
    for number in range(51):
        email = f"student-{number}@students.example"
        cognito.admin_create_user(UserPoolId=outputs["UserPoolId"], Username=email, MessageAction="SUPPRESS")
        cognito.forgot_password(ClientId=outputs["UserPoolClientId"], Username=email)
    mails = requests.get(f"{account.endpoint_url}/_ministack/ses/messages", timeout=10).json()["messages"]
    sources = [mail["Source"] for mail in mails["000000000000"] if "students.example" in mail["To"][0]]
    assert sources == [up.SENDER] * 51
