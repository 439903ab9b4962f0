"""What Cognito takes for a password."""

import re

import pytest
from running_cloud import Cloud


def test_what_is_no_password_is_an_invalid_parameter(cloud: Cloud) -> None:
    """The API's model has `"max":256` and a pattern for ConfirmForgotPassword's password; aws-amplify/amplify-js#3723
    quotes the words, and those who met the pattern quote it as `^[\\S]+.*[\\S]+$`.
    """
    cognito = cloud.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="passwords", UsernameAttributes=["email"])["UserPool"]["Id"]
    client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="web")["UserPoolClient"]["ClientId"]
    confirmation = {"ClientId": client, "Username": "ada@school.example", "ConfirmationCode": "000000"}
    for password, reason in (
        ("Correct-Horse-7-Battery ", r"Member must satisfy regular expression pattern: ^[\S]+.*[\S]+$"),
        (" Correct-Horse-7-Battery", r"Member must satisfy regular expression pattern: ^[\S]+.*[\S]+$"),
        ("Aa1-" + "x" * 253, "Member must have length less than or equal to 256"),
    ):
        said = f"1 validation error detected: Value at 'password' failed to satisfy constraint: {reason}"
        with pytest.raises(cognito.exceptions.InvalidParameterException, match=re.escape(said)):
            cognito.confirm_forgot_password(Password=password, **confirmation)
    with pytest.raises(cognito.exceptions.UserNotFoundException):
        cognito.confirm_forgot_password(Password="Correct Horse 7 Battery", **confirmation)  # pragma: allowlist secret
