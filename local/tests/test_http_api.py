"""An HTTP API of a stack, imported from OpenAPI."""

import json
from typing import Any

import pytest
import requests
from running_cloud import REGION, Cloud

ECHO = """
def handler(event, context):
    return {"statusCode": 200, "body": __import__("json").dumps(event)}
"""
ORIGIN = "https://school.example"


def document(function_arn: str, **authorizer: Any) -> dict[str, Any]:
    integration = {"$ref": "#/components/x-amazon-apigateway-integrations/Echo"}
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn}/invocations"
    return {
        "openapi": "3.0.1",
        "info": {"title": "school", "version": "1"},
        "x-amazon-apigateway-cors": {"allowOrigins": [ORIGIN], "allowMethods": ["GET"], "maxAge": 60},
        "paths": {
            "/advisors/{id}": {
                "get": {"x-amazon-apigateway-integration": integration},
                "put": {"x-amazon-apigateway-integration": integration, "security": [{"staff": []}]},
            },
            "/$default": {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": integration}},
        },
        "components": {
            "x-amazon-apigateway-integrations": {
                "Echo": {"type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0", "uri": uri}
            },
            "securitySchemes": {
                "staff": {
                    "type": "oauth2",
                    "flows": {},
                    "x-amazon-apigateway-authorizer": {
                        "type": "jwt",
                        "identitySource": "$request.header.Authorization",
                        "jwtConfiguration": authorizer,
                    },
                }
            },
        },
    }


class Api:
    """A deployed API, and the tokens of a user of the pool that it trusts, and of another client of that pool."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        cognito = cloud.client("cognito-idp")
        pool = cognito.create_user_pool(PoolName="http-api")["UserPool"]["Id"]
        flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        clients = [
            cognito.create_user_pool_client(UserPoolId=pool, ClientName=name, ExplicitAuthFlows=flows)["UserPoolClient"]
            for name in ("school", "another")
        ]
        user, password = "a@school.example", "Passw0rd!"  # pragma: allowlist secret
        cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
        cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=password, Permanent=True)
        self.token, self.token_of_another_client = (
            cognito.initiate_auth(
                ClientId=client["ClientId"],
                AuthFlow="USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": user, "PASSWORD": password},
            )["AuthenticationResult"]["IdToken"]
            for client in clients
        )
        role = cloud.create_role("http-api", "lambda.amazonaws.com")
        self.function = cloud.create_function("http-api", role, ECHO)
        self.trusted = {
            "issuer": f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
            "audience": [clients[0]["ClientId"]],
        }
        assert cloud.deploy("http-api", **self.template()) == []
        stacks = cloud.client("cloudformation")
        resources = stacks.describe_stack_resources(StackName="http-api")["StackResources"]
        [self.id] = [one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == "Api"]
        cloud.client("lambda").add_permission(
            FunctionName="http-api",
            StatementId="api",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:{REGION}:000000000000:{self.id}/*",
        )

    def template(self, **paths: Any) -> dict[str, Any]:
        body = document(self.function, **self.trusted)
        body["paths"] |= paths
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Resources": {"Api": {"Type": "AWS::Serverless::HttpApi", "Properties": {"DefinitionBody": body}}},
        }
        return {"TemplateBody": json.dumps(template), "Capabilities": ["CAPABILITY_AUTO_EXPAND"]}

    def call(self, method: str, path: str, **headers: str) -> requests.Response:
        host = f"{self.id}.execute-api.localhost:{self.cloud.endpoint_url.rpartition(':')[2]}"
        return requests.request(
            method, f"{self.cloud.endpoint_url}{path}", headers={"Host": host} | headers, timeout=10
        )


@pytest.fixture(scope="module")
def api(cloud: Cloud) -> Api:
    return Api(cloud)


def test_a_request_reaches_the_function_as_payload_2(api: Api) -> None:
    event = api.call("GET", "/advisors/a?limit=2").json()
    # Create Lambda proxy integrations for HTTP APIs, Payload format structure.
    assert event["version"] == "2.0"
    assert (event["routeKey"], event["rawPath"], event["rawQueryString"]) == (
        "GET /advisors/{id}",
        "/advisors/a",
        "limit=2",
    )
    assert event["pathParameters"] == {"id": "a"}
    assert event["requestContext"]["http"]["method"] == "GET"
    # "the $default route … catch-all" (Create routes for HTTP APIs).
    assert api.call("POST", "/unknown").json()["routeKey"] == "$default"


def test_a_route_with_a_jwt_authorizer_needs_a_token_of_its_issuer_and_audience(api: Api) -> None:
    event = api.call("PUT", "/advisors/a", Authorization=f"Bearer {api.token}").json()
    assert [event["requestContext"]["authorizer"]["jwt"]["claims"]["aud"]] == api.trusted["audience"]
    for token in ("none", api.token[:-2], api.token_of_another_client):
        refused = api.call("PUT", "/advisors/a", Authorization=f"Bearer {token}")
        # "401 {"message":"Unauthorized"}", with a www-authenticate header (Troubleshooting HTTP API JWT authorizers).
        assert (refused.status_code, refused.json()) == (401, {"message": "Unauthorized"})
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert api.call("PUT", "/advisors/a").status_code == 401


def test_the_api_answers_what_a_browser_asks_of_other_origins(api: Api) -> None:
    # Configure CORS for HTTP APIs: API Gateway answers preflight requests itself.
    asked = api.call("OPTIONS", "/advisors/a", Origin=ORIGIN, **{"Access-Control-Request-Method": "GET"})
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Methods"] == "GET"
    assert api.call("GET", "/advisors/a", Origin=ORIGIN).headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Origin" not in api.call("GET", "/advisors/a", Origin="https://other.example").headers


def test_a_function_that_does_not_permit_the_api_is_not_invoked(api: Api) -> None:
    functions = api.cloud.client("lambda")
    functions.remove_permission(FunctionName="http-api", StatementId="api")
    refused = api.call("GET", "/advisors/a")
    # "Internal Server Error" is what the client sees (Troubleshooting HTTP API Lambda integrations).
    assert (refused.status_code, refused.json()) == (500, {"message": "Internal Server Error"})
    functions.add_permission(
        FunctionName="http-api",
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{REGION}:000000000000:{api.id}/*",
    )


def test_an_update_replaces_the_routes_at_the_same_address(api: Api) -> None:
    open_route = {"x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/Echo"}}
    stacks = api.cloud.client("cloudformation")
    stacks.update_stack(StackName="http-api", **api.template(**{"/courses": {"get": open_route}}))
    stacks.get_waiter("stack_update_complete").wait(StackName="http-api", WaiterConfig={"Delay": 1})
    assert api.call("GET", "/courses").json()["routeKey"] == "GET /courses"


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({}, "has no x-amazon-apigateway-integration"),
        ({"x-amazon-apigateway-integration": {"type": "http_proxy", "httpMethod": "GET", "uri": "-"}}, "aws_proxy"),
    ],
)
def test_a_document_that_can_not_be_served_fails_the_stack(api: Api, operation: dict[str, Any], reason: str) -> None:
    [said] = api.cloud.deploy(f"http-api-{len(reason)}", **api.template(**{"/courses": {"get": operation}}))
    assert reason in said
