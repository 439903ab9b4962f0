"""Users of a pool that are named by their e-mail addresses."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from running_cloud import REGION, Cloud


@pytest.fixture
def pool(cloud: Cloud) -> str:
    cognito = cloud.client("cognito-idp")
    return cognito.create_user_pool(PoolName="school", UsernameAttributes=["email"])["UserPool"]["Id"]


def test_of_calls_at_once_one_makes_the_user(cloud: Cloud, pool: str) -> None:
    cognito = cloud.client("cognito-idp")

    def is_made(email: str) -> bool:
        try:
            cognito.admin_create_user(UserPoolId=pool, Username=email, MessageAction="SUPPRESS")
        except cognito.exceptions.UsernameExistsException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool_of_threads:
        for number in range(20):
            made = list(pool_of_threads.map(is_made, [f"{number}@school.example"] * 8))
            assert made.count(True) == 1, made


def test_a_user_is_found_by_the_present_address_only(cloud: Cloud, pool: str) -> None:
    cognito = cloud.client("cognito-idp")
    cognito.admin_create_user(UserPoolId=pool, Username="ada@school.example", MessageAction="SUPPRESS")
    user = cognito.admin_get_user(UserPoolId=pool, Username="ada@school.example")
    changed = [{"Name": "email", "Value": "lovelace@school.example"}]
    cognito.admin_update_user_attributes(UserPoolId=pool, Username=user["Username"], UserAttributes=changed)
    found = cognito.admin_get_user(UserPoolId=pool, Username="lovelace@school.example")
    assert found["Username"] == user["Username"]
    with pytest.raises(cognito.exceptions.UserNotFoundException):
        cognito.admin_get_user(UserPoolId=pool, Username="ada@school.example")
    cognito.admin_delete_user(UserPoolId=pool, Username=user["Username"])
    with pytest.raises(cognito.exceptions.UserNotFoundException):
        cognito.admin_get_user(UserPoolId=pool, Username="lovelace@school.example")


def test_capitals_make_another_user_only_where_the_pool_says_so(cloud: Cloud, pool: str) -> None:
    """UsernameConfigurationType: "Enables case sensitivity for all username input. … This is the default value." and
    "Enables case insensitivity for all username input. … This option also enables both preferred_username and email
    alias to be case insensitive".
    """
    cognito = cloud.client("cognito-idp")
    created = cognito.create_user_pool(
        PoolName="spelled", UsernameAttributes=["email"], UsernameConfiguration={"CaseSensitive": False}
    )
    insensitive = created["UserPool"]["Id"]
    for one in (pool, insensitive):
        cognito.admin_create_user(UserPoolId=one, Username="mary@school.example", MessageAction="SUPPRESS")
    found = cognito.admin_get_user(UserPoolId=insensitive, Username="Mary@School.example")
    assert found["Username"] == cognito.admin_get_user(UserPoolId=insensitive, Username=found["Username"])["Username"]
    with pytest.raises(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(UserPoolId=insensitive, Username="MARY@school.example", MessageAction="SUPPRESS")
    with pytest.raises(cognito.exceptions.UserNotFoundException):
        cognito.admin_get_user(UserPoolId=pool, Username="Mary@School.example")
    cognito.admin_create_user(UserPoolId=pool, Username="MARY@school.example", MessageAction="SUPPRESS")


def client_of(cloud: Cloud, pool: str, users: int) -> str:
    """A client of the pool, which has this many confirmed users."""
    cognito = cloud.client("cognito-idp")
    for number in range(users):
        email = f"{number}@students.example"
        cognito.admin_create_user(UserPoolId=pool, Username=email, MessageAction="SUPPRESS")
        cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=f"Aa1-{email}", Permanent=True)
    return cognito.create_user_pool_client(UserPoolId=pool, ClientName="web")["UserPoolClient"]["ClientId"]


def test_cognito_sends_fifty_e_mails_a_day_by_itself_and_as_many_as_ses_lets_it(cloud: Cloud, pool: str) -> None:
    """Quotas in Amazon Cognito: 50 e-mails a day for an account. The words are those of
    rahulpsd18/cognito-backup-restore#46. Of a pool that names an identity that is not verified, aws/aws-cdk#18964.
    """
    cognito, ses = cloud.client("cognito-idp"), cloud.client("sesv2")
    client = client_of(cloud, pool, users=51)
    sent: list[str] = []

    def send() -> None:
        for number in range(51):
            sent.append(f"{number}@students.example")
            cognito.forgot_password(ClientId=client, Username=sent[-1])

    with pytest.raises(cognito.exceptions.LimitExceededException, match="Exceeded daily email limit"):
        send()
    # Other tests send a few, too: the quota is the account's.
    assert len(sent) > 40

    arn = f"arn:aws:ses:{REGION}:000000000000:identity/registrar@academy.example"
    through_ses = {"EmailSendingAccount": "DEVELOPER", "SourceArn": arn, "From": "registrar@academy.example"}
    ses.create_email_identity(EmailIdentity="academy.example")
    with pytest.raises(cognito.exceptions.InvalidParameterException, match=f"is not verified.*{arn}"):
        cognito.update_user_pool(UserPoolId=pool, EmailConfiguration=through_ses)
    cloud.confirm_identity("academy.example")
    cognito.update_user_pool(UserPoolId=pool, EmailConfiguration=through_ses)
    cognito.forgot_password(ClientId=client, Username="50@students.example")

    # In the sandbox, only to who has confirmed.
    account, email = {"MailType": "TRANSACTIONAL", "WebsiteURL": "https://academy.example"}, "50@students.example"
    ses.put_account_details(**account, ProductionAccessEnabled=False)
    try:
        with pytest.raises(cognito.exceptions.CodeDeliveryFailureException, match=f"not verified.*{email}"):
            cognito.forgot_password(ClientId=client, Username=email)
    finally:
        ses.put_account_details(**account, ProductionAccessEnabled=True)
