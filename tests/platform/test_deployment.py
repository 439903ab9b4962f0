"""The deployment with and without a sender of e-mails."""

import pytest
import requests

deployments = pytest.importorskip("deployments", reason="needs local/")
Cloud = deployments.Cloud


def test_codes_are_not_sent_from_an_address_that_nobody_has_confirmed(account: Cloud) -> None:
    sender = "registrar@academy.edu"
    [reason] = deployments.deploy(account, "hasty", NotificationSender=sender, SendCodesThroughSes="true")
    assert "Email address is not verified" in reason
    # The resources that were created before are deleted again, including the identity.
    assert not deployments.knows(account, sender)


def test_through_ses_a_code_goes_to_more_than_fifty_students_a_day(account: Cloud) -> None:
    assert deployments.deploy(account, "codes", **deployments.LOCAL_PARAMETERS) == []
    [stack] = account.client("cloudformation").describe_stacks(StackName="codes")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    cognito = account.client("cognito-idp")
    for number in range(51):
        email = f"student-{number}@students.example"
        cognito.admin_create_user(UserPoolId=outputs["UserPoolId"], Username=email, MessageAction="SUPPRESS")
        cognito.forgot_password(ClientId=outputs["UserPoolClientId"], Username=email)
    mails = requests.get(f"{account.endpoint_url}/_ministack/ses/messages", timeout=10).json()["messages"]
    sources = [mail["Source"] for mail in mails["000000000000"] if "students.example" in mail["To"][0]]
    assert sources == [deployments.SENDER] * 51


def test_two_stages_have_the_same_sender_and_it_outlives_them(account: Cloud) -> None:
    assert deployments.deploy(account, "dev") == []
    assert deployments.knows(account, deployments.SENDER)
    assert deployments.deploy(account, "prod", CreateSenderIdentity="false") == []
    # The reason names the existing identity.
    [reason] = deployments.deploy(account, "third")
    assert f"'AWS::SES::EmailIdentity' with identifier '{deployments.SENDER}' already exists." in reason
    deployments.delete(account, "dev")
    assert deployments.knows(account, deployments.SENDER)


def test_every_room_is_deployed_without_a_sender(account: Cloud) -> None:
    assert deployments.deploy(account, "silent", NotificationSender="") == []
