"""The root template's deployment, which CloudFormation accepts or refuses."""

import pytest
from botocore.exceptions import ClientError

deployments = pytest.importorskip("deployments", reason="needs local/")
Cloud = deployments.Cloud


@pytest.mark.parametrize(
    "sender",
    [deployments.SENDER, "a@b.test", "a@example.org", "a@mail.School.example", "a@localhost", "Registrar <a@b.edu>"],
)
def test_on_aws_a_sender_has_to_be_one_that_somebody_can_confirm(account: Cloud, sender: str) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*can't be verified"):
        deployments.deploy(account, "refused", LocalPort="", NotificationSender=sender)


def test_codes_are_not_sent_through_ses_without_a_sender(account: Cloud) -> None:
    with pytest.raises(ClientError, match=r"ValidationError.*SendCodesThroughSes needs NotificationSender"):
        deployments.deploy(account, "refused", LocalPort="", NotificationSender="", SendCodesThroughSes="true")


def test_a_stack_of_the_same_name_can_be_in_another_region(account: Cloud) -> None:
    assert deployments.deploy(account, "twin", **deployments.LOCAL_PARAMETERS) == []
    assert deployments.deploy(account, "twin", deployments.OTHER_REGION) == []
