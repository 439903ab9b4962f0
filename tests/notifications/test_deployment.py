"""The room's deployment with and without a sender of e-mails."""

import pytest

deployments = pytest.importorskip("deployments", reason="needs local/")
Cloud = deployments.Cloud


def test_two_stages_have_the_same_sender_and_it_outlives_them(account: Cloud) -> None:
    assert deployments.deploy(account, "dev") == []
    assert deployments.knows(account, deployments.SENDER)
    assert deployments.deploy(account, "prod", CreateSenderIdentity="false") == []
    # The reason names the existing identity.
    [reason] = deployments.deploy(account, "third")
    assert f"'AWS::SES::EmailIdentity' with identifier '{deployments.SENDER}' already exists." in reason
    deployments.delete(account, "dev")
    assert deployments.knows(account, deployments.SENDER)


def test_the_room_is_deployed_without_a_sender(account: Cloud) -> None:
    assert deployments.deploy(account, "silent", NotificationSender="") == []
