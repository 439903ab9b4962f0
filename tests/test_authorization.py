"""Every route of every API refuses all unauthorized callers: a new route is tested as soon as it is in openapi.yaml."""

import hashlib
import hmac
import os
import time
from collections.abc import Iterator
from typing import Any

import openapi
import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from rooms import Room
from stack import Stack, Student
from tokens import claims_of, decoded, encoded, unsigned

SECURED = [route for route in openapi.ROUTES if not route.is_public]


def sign_in(stack: Stack, pool: str, client: str, user: str) -> dict[str, str]:
    cognito, password = stack.client("cognito-idp"), "Aa1-mallory-mallory"
    cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=password, Permanent=True)
    signed_in = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user, "PASSWORD": password},
    )
    return signed_in["AuthenticationResult"]


@pytest.fixture(scope="module")
def victim(stack: Stack) -> Student:
    return stack.create_student("ida@school.example")


@pytest.fixture(scope="module")
def stranger(stack: Stack, victim: Student) -> Iterator[str]:
    """A token of another user pool in the same account. Its user claims to be the victim."""
    cognito = stack.client("cognito-idp")
    attribute = {"Name": "student_id", "AttributeDataType": "String", "Mutable": True}
    pool = cognito.create_user_pool(PoolName=f"{stack.name}-stranger", Schema=[attribute])["UserPool"]["Id"]
    try:
        flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="stranger", ExplicitAuthFlows=flows)
        student_id = claims_of(victim.token)["custom:student_id"]
        cognito.admin_create_user(
            UserPoolId=pool,
            Username="mallory",
            UserAttributes=[{"Name": "custom:student_id", "Value": student_id}],
            MessageAction="SUPPRESS",
        )
        yield sign_in(stack, pool, client["UserPoolClient"]["ClientId"], "mallory")["IdToken"]
    finally:
        cognito.delete_user_pool(UserPoolId=pool)


@pytest.fixture(scope="module")
def bad_tokens(stack: Stack, victim: Student, stranger: str) -> dict[str, str | None]:
    """All kinds of tokens that are not those of a signed-in student. Those with claims have the victim's."""
    header, payload, signature = victim.token.split(".")
    claims = decoded(payload)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = unsigned(decoded(header), claims)
    own_signature = key.sign(own.encode(), padding.PKCS1v15(), hashes.SHA256())
    symmetric = unsigned(decoded(header) | {"alg": "HS256"}, claims)
    # A verifier that trusts the header would use the public key as the shared secret.
    keys = f"{stack.client('cognito-idp').meta.endpoint_url}/{stack.outputs['UserPoolId']}/.well-known/jwks.json"
    secret = requests.get(keys, timeout=30).content
    tokens = {
        "none": None,
        "empty": "",
        "no token": "x",
        "no JSON": "a.b.c",
        "too long": "x" * 9000,
        "without signature": f"{header}.{payload}.",
        "algorithm none": f"{unsigned({'alg': 'none'}, claims)}.",
        "algorithm none, signed": f"{unsigned(decoded(header) | {'alg': 'none'}, claims)}.{signature}",
        "of another algorithm": f"{symmetric}.{encoded(hmac.digest(secret, symmetric.encode(), hashlib.sha256))}",
        "of another key": f"{own}.{encoded(own_signature)}",
        "changed": f"{unsigned(decoded(header), claims | {'custom:student_id': 'me'})}.{signature}",
        "of another user pool": stranger,
        "for access": sign_in(
            stack, stack.outputs["UserPoolId"], stack.outputs["UserPoolClientId"], "ida@school.example"
        )["AccessToken"],
    }
    if not os.environ.get("STACK"):
        tokens["expired"] = signed(stack, claims | {"exp": int(time.time()) - 1})
        tokens["of another issuer"] = signed(stack, claims | {"iss": "https://example.com"})
    return tokens


def signed(stack: Stack, claims: dict[str, Any]) -> str:
    """A token with the user pool's own signature, which only the local cloud reveals."""
    from ministack.services import cognito

    return cognito._signed_jwt(claims, stack.outputs["UserPoolId"], "id")


@pytest.fixture
def private(stack: Stack, victim: Student, route: openapi.Route) -> Iterator[Any]:
    """The victim's data behind the route's API."""
    private = route.facts.Private(stack, victim)
    yield private
    private.delete()


def ask(stack: Stack, route: openapi.Route, private: Any, token: str | None) -> requests.Response:
    """Sends a request without any error except the token."""
    url = f"{stack.api_url(route.room.name)}{private.path(route)}"
    headers = {} if token is None else {"Authorization": token}
    return requests.request(route.method, url, headers=headers, json=private.body(route), timeout=30)


def test_only_the_routes_that_are_meant_to_be_are_public() -> None:
    for room in openapi.APIS:
        public = {str(route) for route in openapi.ROUTES if route.room == room and route.is_public}
        preflights = {str(route) for route in openapi.ROUTES if route.room == room and route.method == "OPTIONS"}
        assert public - preflights == openapi.facts(room).PUBLIC


def test_each_route_says_itself_who_may_use_it() -> None:
    """ "API Gateway doesn't use root level security defined in the OpenAPI specification. Hence security needs to be
    defined at an operation level to be appropriately applied" (Important notes for REST APIs)."""
    assert not any("security" in room.api for room in openapi.APIS)
    unsaid = [str(route) for route in openapi.ROUTES if "security" not in route.operation]
    assert not unsaid, "say security: [{ student: [] }], or [] if anyone may use it"


@pytest.mark.parametrize("room", openapi.APIS, ids=str)
def test_a_deployed_api_has_the_documented_routes_and_asks_for_a_token_on_them(stack: Stack, room: Room) -> None:
    api, _ = openapi.deployed(stack, room)
    pages = stack.client("apigateway").get_paginator("get_resources").paginate(restApiId=api, embed=["methods"])
    deployed = {
        f"{method} {resource['path']}": settings["authorizationType"]
        for page in pages
        for resource in page["items"]
        for method, settings in resource.get("resourceMethods", {}).items()
    }
    routes = [route for route in openapi.ROUTES if route.room == room]
    assert deployed == {str(route): "NONE" if route.is_public else "COGNITO_USER_POOLS" for route in routes}


@pytest.mark.parametrize("route", SECURED, ids=str)
def test_a_route_opens_for_a_student_who_has_signed_in_and_for_nobody_else(
    stack: Stack, victim: Student, bad_tokens: dict[str, str | None], private: Any, route: openapi.Route
) -> None:
    before = private.read()
    for kind, token in bad_tokens.items():
        answer = ask(stack, route, private, token)
        assert answer.status_code == 401, f"{kind}: {answer.text}"
        assert answer.json()["code"] == "UNAUTHORIZED"
        # "A server generating a 401 (Unauthorized) response MUST send a WWW-Authenticate header field" (RFC 9110).
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="registrar"'
        assert private.text not in answer.text
    assert private.read() == before
    # This shows that the token was the reason.
    for token in (victim.token, f"Bearer {victim.token}"):
        assert ask(stack, route, private, token).status_code != 401


@pytest.mark.parametrize("route", SECURED, ids=str)
def test_a_route_shows_and_changes_nothing_of_another_student(
    stack: Stack, other_student: Student, private: Any, route: openapi.Route
) -> None:
    before = private.read()
    answer = ask(stack, route, private, other_student.token)
    assert private.text not in answer.text
    assert private.read() == before
    if route.is_for_staff:
        assert answer.status_code == 403, answer.text
    elif "{" in route.template:
        expected = getattr(route.facts, "FOR_OTHERS", {}).get(str(route), 404)
        assert answer.status_code == expected, answer.text


@pytest.mark.parametrize("route", [route for route in SECURED if route.is_for_staff], ids=str)
def test_a_route_of_staff_refuses_students_and_changes_nothing(
    stack: Stack, victim: Student, staff: Student, private: Any, route: openapi.Route
) -> None:
    before = private.read()
    answer = ask(stack, route, private, victim.token)
    openapi.assert_error(answer, 403, "FORBIDDEN")
    assert private.read() == before
    # This shows that the group was the reason.
    assert ask(stack, route, private, staff.token).status_code not in (401, 403)


def test_a_token_of_the_local_cloud_s_own_key_opens_until_it_expires(
    stack: Stack, local_cloud: None, victim: Student
) -> None:
    """The expired token above is refused because of its time, not its signature."""
    token = signed(stack, claims_of(victim.token))
    for route in SECURED:
        if route.method == "GET":
            answer = Student(token, stack).request("GET", route.path(), route.room.name)
            assert answer.status_code in (200, 403, 404), answer.text
