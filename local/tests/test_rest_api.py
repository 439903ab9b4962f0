"""A REST API from an OpenAPI document behaves as in API Gateway, on a running local cloud that enforces IAM."""

import json
from typing import Any

import pytest
import urllib3

UNESCAPE = r""".replaceAll("\\'", "'")"""
TEXT = f"$util.escapeJavaScript($input.path('$.text')){UNESCAPE}"
PUT_NOTE = f"""{{
  "TableName": "notes",
  "ConditionExpression": "attribute_not_exists(#id)",
  "ExpressionAttributeNames": {{"#id": "id"}},
  "Item": {{
    "id": {{"S": "$util.escapeJavaScript($input.params('id')){UNESCAPE}"}},
    "text": {{"S": "{TEXT}"}}
  }}
}}"""
PUT_ANSWER = """#if($input.path('$.__type').contains("ConditionalCheckFailed"))
#set($context.responseOverride.status = 409)
#set($context.responseOverride.header.X-Reason = "taken by $context.requestId")
#end
{"type": "$input.path('$.__type')"}"""
CORS_HEADERS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods")


def integration(action: str, request: str, responses: dict[str, Any], role: str | None = "Writer") -> dict[str, Any]:
    settings = {
        "type": "aws",
        "httpMethod": "POST",
        "uri": {"Fn::Sub": f"arn:aws:apigateway:${{AWS::Region}}:{action}"},
        "passthroughBehavior": "never",
        "requestTemplates": {"application/json": request},
        "responses": responses,
    }
    return {**settings, "credentials": {"Fn::GetAtt": [role, "Arn"]}} if role else settings


def operation(answers: dict[str, Any], integration: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"responses": answers, "x-amazon-apigateway-integration": integration, **more}


def put_note(role: str | None = "Writer", template: str = PUT_NOTE, **more: Any) -> dict[str, Any]:
    answers = {
        "default": {"statusCode": "200", "responseTemplates": {"application/json": "{}"}},
        r"4\d{2}": {"statusCode": "400", "responseTemplates": {"application/json": PUT_ANSWER}},
        r"5\d{2}": {"statusCode": "502"},
    }
    note = integration("dynamodb:action/PutItem", template, answers, role)
    return operation({"200": {}, "400": {}, "502": {}}, note, **more)


DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "notes", "version": "1"},
    "components": {
        "schemas": {
            "Text": {"type": "string", "maxLength": 40000},
            "Note": {
                "type": "object",
                "additionalProperties": False,
                "required": ["text"],
                "properties": {"text": {"$ref": "#/components/schemas/Text"}},
            },
        },
        "securitySchemes": {
            "students": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authtype": "cognito_user_pools",
                "x-amazon-apigateway-authorizer": {
                    "type": "cognito_user_pools",
                    "providerARNs": [{"Fn::GetAtt": ["Students", "Arn"]}],
                },
            }
        },
    },
    "security": [{"students": []}],
    "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True, "validateRequestParameters": True}},
    "x-amazon-apigateway-request-validator": "all",
    "x-amazon-apigateway-gateway-responses": {
        "BAD_REQUEST_BODY": {
            "statusCode": 422,
            "responseParameters": {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"},
            "responseTemplates": {"application/json": '{"why": "$context.error.validationErrorString"}'},
        },
        "MISSING_AUTHENTICATION_TOKEN": {"statusCode": 404},
    },
    "paths": {
        "/notes/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True}],
            "put": put_note(
                requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}}}
            ),
            "get": operation(
                {"200": {"headers": {"X-Id": {}, "X-Call": {}}}},
                integration(
                    "dynamodb:action/GetItem",
                    '{"TableName": "notes", "Key": {"id": {"S": "$input.params(\'id\')"}}}',
                    {
                        "default": {
                            "statusCode": "200",
                            "responseParameters": {
                                "method.response.header.X-Id": "integration.response.body.Item.id.S",
                                "method.response.header.X-Call": "context.requestId",
                            },
                            "responseTemplates": {
                                "application/json": f'{{"text": "{TEXT}"}}'.replace("$.text", "$.Item.text.S")
                            },
                        }
                    },
                ),
            ),
            "options": operation(
                {"204": {"headers": {name: {} for name in CORS_HEADERS}}},
                {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 204}'},
                    "responses": {
                        "default": {
                            "statusCode": "204",
                            "responseParameters": {
                                f"method.response.header.{name}": f"'{value}'"
                                for name, value in zip(CORS_HEADERS, ("*", "GET,PUT"), strict=False)
                            },
                        }
                    },
                },
            ),
        },
        "/me": {
            "get": operation(
                {"200": {}},
                {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseTemplates": {
                                "application/json": '{"email": "$context.authorizer.claims.email", '
                                '"groups": "$context.authorizer.claims[\'cognito:groups\']"}'
                            },
                        }
                    },
                },
                security=[{"students": []}],
            )
        },
        "/forbidden/{id}": {"put": put_note("Idle")},
        "/untrusted/{id}": {"put": put_note("Untrusted")},
        "/unnamed/{id}": {"put": put_note(None)},
        "/broken/{id}": {"put": put_note(template="$input.noSuchMethod()")},
        "/search": {
            "get": {
                **put_note(),
                "parameters": [{"name": "q", "in": "query", "required": True}],
            }
        },
        "/greetings": {
            "post": operation(
                {"200": {}},
                integration(
                    "states:action/StartSyncExecution",
                    '{"stateMachineArn": "$stageVariables.machine", "input": "$util.escapeJavaScript($input.body)'
                    + UNESCAPE
                    + '"}',
                    {
                        "default": {
                            "statusCode": "200",
                            "responseTemplates": {"application/json": "$input.path('$.output')"},
                        }
                    },
                ),
            )
        },
        "/letters": {
            "post": operation(
                {"202": {}},
                integration(
                    "sqs:path/${AWS::AccountId}/letters",
                    "Action=SendMessage&MessageBody=$util.urlEncode($input.body)",
                    {
                        "default": {
                            "statusCode": "202",
                            "responseTemplates": {
                                "application/json": "$input.path('$.SendMessageResponse.SendMessageResult.MessageId')"
                            },
                        }
                    },
                ),
            )
        },
        "/news": {
            "post": operation(
                {"200": {}},
                integration(
                    "events:action/PutEvents",
                    '{"Entries": [{"Source": "notes", "DetailType": "News", "Detail": "{}"}]}',
                    {"default": {"statusCode": "200"}},
                ),
            )
        },
    },
}


def role(service: str, *actions: str) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policies = [{"PolicyName": "work", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": policies if actions else [],
        },
    }


WORK = ("dynamodb:PutItem", "dynamodb:GetItem", "states:StartSyncExecution", "sqs:SendMessage", "events:PutEvents")
TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Notes": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "notes",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            },
        },
        "Students": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "students"}},
        "Web": {
            "Type": "AWS::Cognito::UserPoolClient",
            "Properties": {
                "UserPoolId": {"Ref": "Students"},
                "ExplicitAuthFlows": ["ALLOW_ADMIN_USER_PASSWORD_AUTH"],
            },
        },
        "Letters": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}},
        "Greeter": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineType": "EXPRESS",
                "RoleArn": {"Fn::GetAtt": ["Greeting", "Arn"]},
                "DefinitionString": json.dumps(
                    {
                        "StartAt": "Greet",
                        "QueryLanguage": "JSONata",
                        "States": {
                            "Greet": {
                                "Type": "Pass",
                                "Output": {"greeting": "{% 'Hello ' & $states.input.name %}"},
                                "End": True,
                            }
                        },
                    }
                ),
            },
        },
        "Greeting": role("states.amazonaws.com"),
        "Writer": role("apigateway.amazonaws.com", *WORK),
        "Idle": role("apigateway.amazonaws.com"),
        "Untrusted": role("lambda.amazonaws.com", *WORK),
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": DOCUMENT}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "v1",
                "Variables": {"machine": {"Ref": "Greeter"}},
            },
        },
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("Api", "Students", "Web")},
}


def deploy(cloud: Any, stack_name: str, template: dict[str, Any]) -> dict[str, Any]:
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName=stack_name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])

    def stack() -> dict[str, Any]:
        return stacks.describe_stacks(StackName=stack_name)["Stacks"][0]

    cloud.wait_for(lambda: not stack()["StackStatus"].endswith("IN_PROGRESS"))
    return stack()


class Api:
    def __init__(self, endpoint_url: str, api_id: str) -> None:
        self._url = f"{endpoint_url}/_aws/execute-api/{api_id}/v1"
        self._http = urllib3.PoolManager(retries=False)

    def __call__(
        self, method: str, path: str, document: Any = None, content_type: str = "application/json", token: str = ""
    ) -> urllib3.BaseHTTPResponse:
        body = document if document is None or isinstance(document, bytes) else json.dumps(document)
        headers = {"Content-Type": content_type, **({"Authorization": token} if token else {})}
        return self._http.request(method, self._url + path, body=body, headers=headers)


@pytest.fixture(scope="module")
def outputs(cloud: Any) -> dict[str, str]:
    stack = deploy(cloud, "notes", TEMPLATE)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


@pytest.fixture(scope="module")
def api(cloud: Any, outputs: dict[str, str]) -> Api:
    return Api(cloud.endpoint_url, outputs["Api"])


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "it's",
        "\\'",
        '"',
        "\\",
        '"}, "admin": {"BOOL": true}, "x": {"S": "',
        "\x00\x01\b\n\t\r\x7f",
        "$input.body",
        "#set($x=1)$x",
        "#end",
        "${context.requestId}",
        "## comment",
        "é\u2028\u2029",
        "\U0001f600",
        '{"S": "x"}',
        "'/*",
        "</",
    ],
    ids=ascii,
)
def test_a_hostile_string_comes_back_as_it_went_in(api: Api, text: str, request: pytest.FixtureRequest) -> None:
    """ "You must turn any escaped single quotes (\\') back to regular single quotes (')" (mapping template
    reference)."""
    path = f"/notes/text-{request.node.callspec.indices['text']}"
    assert api("PUT", path, {"text": text}).status == 200
    answer = api("GET", path)
    assert answer.json() == {"text": text}
    assert answer.headers["X-Id"] == path.rpartition("/")[2]
    assert answer.headers["X-Call"] == answer.headers["x-amzn-requestid"]


def test_a_string_that_is_not_unicode_is_not_stored(api: Api) -> None:
    """ "Strings are Unicode with UTF-8 binary encoding" (DynamoDB, Naming rules and data types)."""
    assert api("PUT", "/notes/surrogate", {"text": "\ud83d"}).status == 502
    assert api("GET", "/notes/surrogate").json() == {"text": ""}


def test_a_template_can_override_the_status_of_a_failed_condition(api: Api, cloud: Any) -> None:
    """ "Override status codes returned by your integration endpoint" (Override your API's request and response
    parameters and status codes)."""
    assert api("PUT", "/notes/twice", {"text": "first"}).status == 200
    answer = api("PUT", "/notes/twice", {"text": "second"})
    assert answer.status == 409
    assert answer.headers["X-Reason"] == f"taken by {answer.headers['x-amzn-requestid']}"
    item = cloud.client("dynamodb").get_item(TableName="notes", Key={"id": {"S": "twice"}})["Item"]
    assert item == {"id": {"S": "twice"}, "text": {"S": "first"}}


def test_the_policies_of_the_integration_s_role_are_enforced(api: Api) -> None:
    """ "To specify an IAM Role for API Gateway to assume, use the role's Amazon Resource Name (ARN)" (PutIntegration,
    credentials)."""
    answer = api("PUT", "/forbidden/a", {"text": "x"})
    assert answer.status == 400
    assert "AccessDenied" in answer.json()["type"]


@pytest.mark.parametrize("path", ["/untrusted/a", "/unnamed/a", "/broken/a"])
def test_an_integration_that_cannot_be_called_is_a_configuration_error(api: Api, path: str) -> None:
    answer = api("PUT", path, {"text": "x"})
    assert answer.status == 500
    assert answer.headers["x-amzn-ErrorType"] == "InternalServerErrorException"
    assert "Internal server error" in answer.json()["message"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"text": 1}, "text: 1 is not of type 'string'"),
        ({"text": "x" * 40001}, "is too long"),
        ({"text": "x", "admin": True}, "'admin' was unexpected"),
        ({}, "'text' is a required property"),
    ],
)
def test_an_invalid_body_gets_the_gateway_response_with_the_reason(api: Api, document: Any, reason: str) -> None:
    """ "When the validation fails, API Gateway immediately fails the request" (Request validation for REST APIs)."""
    answer = api("PUT", "/notes/invalid", document)
    assert answer.status == 422
    assert reason in answer.json()["why"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_missing_parameter_is_refused(api: Api) -> None:
    """ "The required request parameters [...] are included and not blank" (Request validation for REST APIs)."""
    answer = api("GET", "/search")
    assert answer.status == 400
    assert "[q]" in answer.json()["message"]


def test_a_content_type_without_a_template_is_refused(api: Api) -> None:
    """ "If no matching content type is found, request validation is not performed" (Request validation for REST APIs):
    what keeps an unchecked body out is the passthrough behaviour NEVER."""
    assert api("PUT", "/notes/plain", {"unchecked": 1}, "text/plain").status == 415


def test_a_body_that_is_not_json_is_the_caller_s_error(api: Api) -> None:
    answer = api("PUT", "/forbidden/a", b"text=x")
    assert answer.status == 422
    assert "Expecting value" in answer.json()["why"]


def test_an_unknown_path_gets_the_gateway_response_of_the_document(api: Api) -> None:
    assert api("GET", "/nowhere").status == 404


def test_cross_origin_requests_are_answered_by_a_mock_integration(api: Api) -> None:
    answer = api("OPTIONS", "/notes/a")
    assert answer.status == 204
    assert [answer.headers[name] for name in CORS_HEADERS] == ["*", "GET,PUT"]


def test_a_template_reads_the_claims_of_the_verified_token(api: Api, cloud: Any, outputs: dict[str, str]) -> None:
    """ "A property of the claims returned from the Amazon Cognito user pool after the method caller is successfully
    authenticated" (mapping template reference)."""
    assert api("GET", "/me").status == 401
    pool, user = {"UserPoolId": outputs["Students"]}, {"USERNAME": "ada@example.com", "PASSWORD": "Analytical-1843"}
    users = cloud.client("cognito-idp")
    users.admin_create_user(
        **pool, Username=user["USERNAME"], UserAttributes=[{"Name": "email", "Value": user["USERNAME"]}]
    )
    users.admin_set_user_password(**pool, Username=user["USERNAME"], Password=user["PASSWORD"], Permanent=True)
    for group in ("staff", "chess"):
        users.create_group(**pool, GroupName=group)
        users.admin_add_user_to_group(**pool, GroupName=group, Username=user["USERNAME"])
    signed_in = users.admin_initiate_auth(
        **pool, ClientId=outputs["Web"], AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=user
    )
    answer = api("GET", "/me", token=signed_in["AuthenticationResult"]["IdToken"])
    assert answer.json()["email"] == "ada@example.com"
    # As programs behind such an authorizer read it: https://github.com/aws/chalice/issues/783.
    assert sorted(answer.json()["groups"].split(",")) == ["chess", "staff"]
    # "If the OAuth Scopes option isn't specified, API Gateway treats the supplied token as an identity token"
    # (Integrate a REST API with an Amazon Cognito user pool).
    assert api("GET", "/me", token=signed_in["AuthenticationResult"]["AccessToken"]).status == 401


def test_an_operation_without_security_is_open(api: Api) -> None:
    """ "API Gateway doesn't use root level security defined in the OpenAPI specification. Hence security needs to be
    defined at an operation level to be appropriately applied" (Important notes for REST APIs)."""
    assert DOCUMENT["security"]
    assert api("OPTIONS", "/notes/open").status == 204


def test_an_express_workflow_answers_in_the_same_request(api: Api) -> None:
    answer = api("POST", "/greetings", {"name": 'O\'Hara "x" \\'})
    assert answer.json() == {"greeting": 'Hello O\'Hara "x" \\'}


def test_a_message_reaches_the_queue_as_it_was_sent(api: Api, cloud: Any) -> None:
    document = {"text": "a=b&Action=DeleteQueue + %41 é ' \U0001f600"}
    answer = api("POST", "/letters", document)
    assert answer.status == 202
    queues = cloud.client("sqs")
    queue_url = queues.get_queue_url(QueueName="letters")["QueueUrl"]
    message = queues.receive_message(QueueUrl=queue_url, WaitTimeSeconds=5)["Messages"][0]
    assert json.loads(message["Body"]) == document
    assert message["MessageId"] == answer.data.decode()


def test_an_event_reaches_the_bus(api: Api) -> None:
    assert api("POST", "/news", {}).json()["FailedEntryCount"] == 0


@pytest.mark.parametrize(
    ("responses", "mapped", "reason"),
    [
        ({}, {}, "no method response"),
        ({"200": {}}, {"method.response.header.X-A": "'a'"}, "Invalid mapping expression parameter specified"),
    ],
)
def test_a_document_that_api_gateway_refuses_is_refused(
    cloud: Any, request: pytest.FixtureRequest, responses: Any, mapped: Any, reason: str
) -> None:
    """ "The status code must map to an existing MethodResponse" (IntegrationResponse)."""
    mock = {"type": "mock", "responses": {"default": {"statusCode": "200", "responseParameters": mapped}}}
    document = {"openapi": "3.0.3", "paths": {"/a": {"get": operation(responses, mock)}}}
    stack_name = f"refused-{request.node.callspec.indices['reason']}"
    template = {"Resources": {"Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": document}}}}
    assert deploy(cloud, stack_name, template)["StackStatus"] == "ROLLBACK_COMPLETE"
    events = cloud.client("cloudformation").describe_stack_events(StackName=stack_name)["StackEvents"]
    assert any(reason in event.get("ResourceStatusReason", "") for event in events)
