"""The function that a user pool calls before it makes a token."""

import io
import zipfile

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud

ADDING = """
def handler(event, context):
    event["response"] = {"claimsOverrideDetails": {"claimsToAddOrOverride": {"paid_until": "1"}}}
    return event
"""
FAILING = "def handler(event, context): raise ValueError('no')"
EMAIL, PASSWORD = "ada@school.example", "Correct-Horse-7-Battery"


@pytest.mark.parametrize(
    ("code", "is_permitted", "refusal"),
    [
        (ADDING, True, None),
        # anomalyco/sst#4421
        (ADDING, False, "PreTokenGeneration invocation failed due to error AccessDeniedException"),
        # aws-amplify/amplify-cli#13082: "PreTokenGeneration failed with error User: … is not authorized …"
        (FAILING, True, "PreTokenGeneration failed with error"),
    ],
    ids=["a claim is added", "no permission", "a failure"],
)
def test_a_token_is_made_only_if_the_function_may_be_called_and_succeeds(
    cloud: Cloud, code: str, is_permitted: bool, refusal: str | None
) -> None:
    functions, cognito, name = cloud.client("lambda"), cloud.client("cognito-idp"), f"trigger-{abs(hash(refusal))}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("code.py", code)
    role = cloud.create_role(name, "lambda.amazonaws.com")
    arn = functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="code.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    pool = cognito.create_user_pool(PoolName=name, LambdaConfig={"PreTokenGeneration": arn})["UserPool"]
    if is_permitted:
        functions.add_permission(
            FunctionName=name,
            StatementId="pool",
            Action="lambda:InvokeFunction",
            Principal="cognito-idp.amazonaws.com",
            SourceArn=pool["Arn"],
        )
    client = cognito.create_user_pool_client(
        UserPoolId=pool["Id"], ClientName=name, ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.admin_create_user(UserPoolId=pool["Id"], Username=EMAIL, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool["Id"], Username=EMAIL, Password=PASSWORD, Permanent=True)

    def sign_in() -> None:
        cognito.admin_initiate_auth(
            UserPoolId=pool["Id"],
            ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": EMAIL, "PASSWORD": PASSWORD},
        )

    if refusal is None:
        sign_in()
    else:
        with pytest.raises(ClientError, match=refusal):
            sign_in()
