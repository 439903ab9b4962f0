"""Users of a pool that are named by their e-mail addresses."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from running_cloud import Cloud


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
