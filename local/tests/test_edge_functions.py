"""Lambda@Edge functions at viewer-request and origin-request.

The quotations are from the CloudFront Developer Guide, at https://docs.aws.amazon.com/AmazonCloudFront/latest/
DeveloperGuide/.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from distribution import Edge, associated, cache_policy, clock_ahead, edge_function, edge_role, unique
from running_cloud import Cloud

PASS = "export const handler = async (event) => event.Records[0].cf.request;"
# It does what the header ``Act`` says: an expression on the request.
ACT = """
import { createHash } from "node:crypto";
export const handler = async (event) => {
  const { config, request } = event.Records[0].cf;
  const act = request.headers.act?.[0].value;
  return act ? await eval(`(async () => { ${act} })()`) : request;
};
"""


@pytest.fixture(scope="module")
def acting(cloud: Cloud) -> Edge:
    edge = Edge(cloud, associated(edge_function(cloud, ACT)))
    edge.put("other", b"other")
    return edge


def answer_to(edge: Edge, act: str, path: str = "/object", **headers: str) -> tuple[int, str, str]:
    answer = edge.get(path, headers={"Act": act} | headers)
    return answer.status_code, answer.text, answer.headers["X-Cache"]


def test_a_function_runs_before_the_cache_is_asked(cloud: Cloud) -> None:
    # lambda-cloudfront-trigger-events, "Viewer request": "The function executes when CloudFront receives a request from
    # a viewer, before it checks to see whether the requested object is in the CloudFront cache." "Origin request: The
    # function executes only when CloudFront forwards a request to your origin."
    code = """
    export const handler = async (event) => {
      const request = event.Records[0].cf.request;
      return request.headers.paid ? request : { status: "403", body: "Pay" };
    };
    """
    headers = {"HeadersConfig": {"HeaderBehavior": "none"}}
    careful = Edge(cloud, associated(edge_function(cloud, code)) | {"CachePolicyId": cache_policy(cloud, **headers)})
    assert careful.get("/object", headers={"Paid": "yes"}).status_code == 200
    for settings in ({}, {"method": "HEAD"}, {"headers": {"Range": "bytes=0-1"}}):
        assert careful.get("/object", **settings).status_code == 403
    request_policy = {"OriginRequestPolicyId": all_viewer_headers(cloud)}
    behavior = associated(edge_function(cloud, code), "origin-request") | request_policy
    careless = Edge(cloud, behavior | {"CachePolicyId": cache_policy(cloud, **headers)})
    assert careless.get("/object").status_code == 403
    assert careless.get("/object", headers={"Paid": "yes"}).status_code == 200
    assert careless.get("/object").status_code == 200, "what one reader left in the cache, another gets"


def all_viewer_headers(cloud: Cloud) -> str:
    config = {
        "Name": unique("policy"),
        "HeadersConfig": {"HeaderBehavior": "allExcept", "Headers": {"Quantity": 1, "Items": ["Host"]}},
        "CookiesConfig": {"CookieBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
    }
    created = cloud.client("cloudfront").create_origin_request_policy(OriginRequestPolicyConfig=config)
    return created["OriginRequestPolicy"]["Id"]


def test_a_function_sees_the_request(acting: Edge) -> None:
    # lambda-event-structure, "Example viewer request".
    show = 'return { status: "200", body: JSON.stringify({ config, request }) };'
    status, text, x_cache = answer_to(acting, show, "/a%20b?x=1&y=%2F", **{"X-Real-IP": "1", "Cookie": "a=b"})
    # lambda-generating-http-responses-in-requests: "CloudFront returns the response to the viewer and doesn't cache
    # it."
    assert (status, x_cache) == (200, "LambdaGeneratedResponse from cloudfront")
    seen = json.loads(text)
    assert seen["config"] == {
        "distributionDomainName": acting.domain,
        "distributionId": acting.id,
        "eventType": "viewer-request",
        "requestId": seen["config"]["requestId"],
    }
    request = seen["request"]
    assert (request["method"], request["uri"], request["querystring"]) == ("GET", "/a%20b", "x=1&y=%2F")
    assert request["clientIp"] == "127.0.0.1"
    assert request["headers"]["host"] == [{"key": "Host", "value": acting.domain}]
    assert request["headers"]["cookie"] == [{"key": "Cookie", "value": "a=b"}]
    # edge-function-restrictions-all: "The following HTTP headers are not exposed to edge functions".
    assert request["headers"].keys().isdisjoint({"x-real-ip", "x-forwarded-proto", "connection"})
    assert "body" not in request


def test_a_function_changes_the_request(acting: Edge) -> None:
    assert answer_to(acting, 'request.uri = "/other"; return request;')[:2] == (200, "other")
    generated = """return {
      status: "302", headers: { location: [{ value: "/pay" }], "set-cookie": [{ value: "a=1" }, { value: "b=2" }] },
      body: "cGF5", bodyEncoding: "base64" };"""
    answer = acting.get("/object", headers={"Act": generated.replace("\n", " ")})
    assert (answer.status_code, answer.text, answer.headers["Location"]) == (302, "pay", "/pay")
    assert answer.headers["Set-Cookie"] == "a=1, b=2"


def test_the_error_page_of_the_distribution_replaces_a_generated_error(cloud: Cloud) -> None:
    # aws-samples/cloudfront-authorization-at-edge#26: "do not send 403 (!) as we have CloudFront send back index.html
    # for 403's".
    page = {"ErrorCode": 403, "ResponsePagePath": "/sign-in", "ResponseCode": "403"}
    errors = {"Quantity": 1, "Items": [page]}
    edge = Edge(cloud, associated(edge_function(cloud, ACT)), CustomErrorResponses=errors)
    edge.put("sign-in", b"Sign in")
    assert answer_to(edge, 'return { status: "403", body: "own" };')[:2] == (403, "Sign in")
    assert answer_to(edge, 'return { status: "401", body: "own" };')[:2] == (401, "own")


READ_ONLY = "The function tried to add, delete, or change a read-only header."
BLACKLISTED = "The function tried to add a blacklisted header."


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        # CodeGenieApp/serverless-express#369 and opennextjs/opennextjs-aws#392 quote the page.
        ('request.headers.host[0].value = "example.com"; return request;', READ_ONLY),
        ("delete request.headers.host; return request;", READ_ONLY),
        ('request.headers.via = [{ value: "x" }]; return request;', READ_ONLY),
        ('request.headers["x-real-ip"] = [{ value: "x" }]; return request;', BLACKLISTED),
        ('request.headers["x-edge-any"] = [{ value: "x" }]; return request;', BLACKLISTED),
        ('return { status: "200", headers: { connection: [{ value: "close" }] } };', BLACKLISTED),
        # opennextjs/opennextjs-aws#427.
        ('return { status: "200", headers: { "content-length": [{ value: "0" }] } };', READ_ONLY),
        # aws-ia/cloudformation-aws-marketplace-saas#54: "invalid character : '%0D' in header value".
        ('return { status: "302", headers: { location: [{ value: "/\\r\\nx: y" }] } };', "invalid character"),
        ('return { status: "302", headers: { Location: [{ value: "/" }] } };', "header name"),
        # "Provide the status code as a string." "If the status value isn't between 200 and 599, CloudFront returns an
        # error to the viewer."
        ("return { status: 200 };", "status"),
        ('return { status: "600" };', "status"),
        # "CloudFront returns an HTTP 502 status code when … The value of status is 204 … The response includes a body".
        ('return { status: "204", body: "x" };', "204"),
        # "Viewer request events: 40 KB".
        ('return { status: "200", body: "x".repeat(41000) };', "larger"),
        # "If you specify bodyEncoding as base64 but the body is not valid base64, CloudFront returns an error."
        ('return { status: "200", body: "%", bodyEncoding: "base64" };', "base64"),
        ('return { status: "200", body: "x", bodyEncoding: "hex" };', "encodings"),
        ('request.method = "POST"; return request;', "method"),
        ('request.uri = "other"; return request;', "URI"),
        ('request.uri = "/other#top"; return request;', "invalid character"),
        # "The total size of the URI, including the query string, must be less than 8,192 characters."
        ('request.uri = "/" + "x".repeat(8191); return request;', "URI"),
        ("return null;", "neither"),
        ("return {};", "neither"),
        ('return "text";', "neither"),
    ],
)
def test_a_wrong_result_is_502(acting: Edge, act: str, reason: str) -> None:
    status, text, x_cache = answer_to(acting, act)
    assert (status, x_cache) == (502, "LambdaValidationError from cloudfront"), text
    assert "The Lambda function result failed validation: " in text
    assert reason in text


def test_a_function_that_fails_is_503(cloud: Cloud, acting: Edge) -> None:
    # The words are those of jinty/prerender-cloudfront#22.
    status, text, x_cache = answer_to(acting, 'throw new Error("secret");')
    assert (status, x_cache) == (503, "LambdaExecutionError from cloudfront")
    assert "invalid or doesn't have the required permissions" in text
    assert "secret" not in text
    slow = Edge(
        cloud, associated(edge_function(cloud, "export const handler = () => new Promise(() => {});", Timeout=1))
    )
    assert slow.get("/object").status_code == 503


def test_an_origin_request_function_sees_the_origin_and_its_response_is_cached(cloud: Cloud) -> None:
    code = """
    export const handler = async (event) => {
      const { origin, headers } = event.Records[0].cf.request;
      if (headers.move) return { ...event.Records[0].cf.request, origin: { s3: { ...origin.s3, path: "/other" } } };
      return { status: "200", body: JSON.stringify([origin, Math.random()]) };
    };
    """
    policy = {"CachePolicyId": cache_policy(cloud), "OriginRequestPolicyId": all_viewer_headers(cloud)}
    edge = Edge(cloud, associated(edge_function(cloud, code), "origin-request") | policy)
    answer = edge.get("/object")
    assert answer.json()[0]["s3"]["domainName"] == f"{edge.bucket}.s3.us-east-1.amazonaws.com"
    # lambda-generating-http-responses-in-requests: "If the response isn't in the cache, the function is executed,
    # CloudFront returns the response to the viewer, and also caches it."
    assert edge.get("/object").text == answer.text
    # The local cloud doesn't move a request to another origin.
    assert edge.get("/moved", headers={"Move": "yes"}).status_code == 502


def test_a_function_gets_the_body_when_it_is_included(cloud: Cloud) -> None:
    code = """
    export const handler = async (event) => {
      const { data, inputTruncated, encoding, action } = event.Records[0].cf.request.body;
      return { status: "200", body: JSON.stringify([data.length, inputTruncated, encoding, action]) };
    };
    """
    methods = {"Quantity": 7, "Items": ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE"]}
    edge = Edge(cloud, associated(edge_function(cloud, code), IncludeBody=True) | {"AllowedMethods": methods})
    assert edge.get("/", method="POST", data=b"abc").json() == [4, False, "base64", "read-only"]
    # "For viewer request events, the body is truncated at 40 KB."
    assert edge.get("/", method="POST", data=b"x" * 50_000).json() == [54616, True, "base64", "read-only"]


def test_a_function_has_the_clock_of_the_cloud_and_its_own_log(cloud: Cloud, acting: Edge) -> None:
    show = 'return { status: "200", body: JSON.stringify([Date.now(), +new Date(), +new Date(5)]) };'
    _, text, _ = answer_to(acting, show)
    before = json.loads(text)[0]
    with clock_ahead(cloud, 3600):
        _, text, _ = answer_to(acting, show)
        now, new, fixed = json.loads(text)
    assert 3_600_000 <= now - before < 7_200_000
    assert abs(new - now) < 1000
    assert fixed == 5
    # lambda-edge-testing-debugging: the log group is /aws/lambda/us-east-1.function-name.
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/us-east-1.edge")["logGroups"]
    assert groups


def refusal(cloud: Cloud, function: str, event: str = "viewer-request", **behavior: Any) -> str:
    with pytest.raises(ClientError) as error:
        Edge(cloud, associated(function, event) | behavior)
    assert error.value.response["Error"]["Code"] == "InvalidLambdaFunctionAssociation"
    return error.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        # anomalyco/ion#1194.
        ({"Environment": {"Variables": {"A": "b"}}}, "The function cannot have environment variables. Function: {arn}"),
        # serverless-operations/serverless-lambda-edge-pre-existing-cloudfront#11.
        (
            {"MemorySize": 256},
            "The function memory size is larger than the maximum allowed size for functions that are triggered by a "
            "CloudFront event: 256 Max allowed: 128 Function: {arn}",
        ),
        # awslabs/aws-cloudfront-extensions#112.
        (
            {"Timeout": 30},
            "The function timeout is larger than the maximum allowed for functions that are triggered by a CloudFront "
            "event: 30 Max allowed: 5 Function: {arn}",
        ),
        # "Configuration of your Lambda function to access resources inside your VPC", "Using AWS X-Ray", "Lambda
        # functions that use the arm64 architecture", "more than 512 MB of ephemeral storage".
        ({"TracingConfig": {"Mode": "Active"}}, "The function cannot have active tracing. Function: {arn}"),
        ({"Architectures": ["arm64"]}, "The function cannot have the arm64 architecture. Function: {arn}"),
        (
            {"EphemeralStorage": {"Size": 1024}},
            "The function cannot have more than 512 MB of ephemeral storage. Function: {arn}",
        ),
        ({"Runtime": "provided.al2023"}, "The function runtime provided.al2023 is not supported. Function: {arn}"),
    ],
)
def test_a_function_that_lambda_at_edge_does_not_take_is_refused(
    cloud: Cloud, settings: dict[str, Any], message: str
) -> None:
    function = edge_function(cloud, PASS, **settings)
    assert refusal(cloud, function) == message.format(arn=function)


def test_a_function_with_a_layer_is_refused(cloud: Cloud) -> None:
    empty_archive = b"PK\x05\x06" + bytes(18)
    layers = cloud.client("lambda")
    layer = layers.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": empty_archive})
    function = edge_function(cloud, PASS, Layers=[layer["LayerVersionArn"]])
    # serverless-nextjs/serverless-next.js#982.
    assert refusal(cloud, function) == f"The function cannot have a layer. Function: {function}"


def test_a_big_function_is_refused_at_viewer_request(cloud: Cloud) -> None:
    # Widen/cloudfront-auth#43.
    function = edge_function(cloud, PASS + "//" + "x" * 1024**2)
    assert "The function code size is larger than the maximum allowed size" in refusal(cloud, function)
    Edge(cloud, associated(function, "origin-request"))


def test_a_function_is_named_by_a_version_in_us_east_1(cloud: Cloud) -> None:
    function = edge_function(cloud, PASS)
    # hashicorp/terraform-provider-aws#21238, grahamgilbert/terraform-aws-munki-repo#3.
    for unversioned in (function.rpartition(":")[0], function.rpartition(":")[0] + ":$LATEST"):
        assert refusal(cloud, unversioned) == (
            "The function ARN must reference a specific function version. "
            f"(The ARN must end with the version number.) ARN: {unversioned}"
        )
    elsewhere = edge_function(cloud, PASS, "eu-west-1")
    assert refusal(cloud, elsewhere) == f"The function must be in region 'us-east-1'. ARN: {elsewhere}"
    # aws/aws-cdk#1474.
    missing = function.rpartition(":")[0] + ":99"
    assert "Lambda@Edge cannot retrieve the specified Lambda function." in refusal(cloud, missing)


@pytest.mark.parametrize("services", [["lambda.amazonaws.com"], ["edgelambda.amazonaws.com"]])
def test_the_role_trusts_both_services(cloud: Cloud, services: list[str]) -> None:
    role = edge_role(cloud, services)
    # aws/aws-cdk#5180.
    assert refusal(cloud, edge_function(cloud, PASS, Role=role)) == (
        "The function execution role must be assumable with edgelambda.amazonaws.com as well as lambda.amazonaws.com "
        f"principals. Update the IAM role and try again. Role: {role}"
    )


def test_a_stack_is_refused_the_same(cloud: Cloud) -> None:
    function = edge_function(cloud, PASS).rpartition(":")[0]
    config = {
        "Enabled": True,
        "Origins": [{"Id": "one", "DomainName": "example.com", "CustomOriginConfig": {}}],
        "DefaultCacheBehavior": {
            "TargetOriginId": "one",
            "ViewerProtocolPolicy": "redirect-to-https",
            "LambdaFunctionAssociations": [{"EventType": "viewer-request", "LambdaFunctionARN": function}],
        },
    }
    resource = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
    [reason] = cloud.deploy(unique("stack"), TemplateBody=json.dumps({"Resources": {"Distribution": resource}}))
    # aws-samples/lambdaedge-openidconnect-samples#60.
    assert "Invalid request provided: AWS::CloudFront::Distribution: The function ARN must reference" in reason


def test_a_replicated_function_is_deleted_hours_after_its_distribution(cloud: Cloud) -> None:
    # lambda-edge-delete-replicas: "You can delete a Lambda@Edge function only when the replicas of the function have
    # been deleted by CloudFront. … Replicas are typically deleted within a few hours."
    function = edge_function(cloud, PASS)
    edge = Edge(cloud, associated(function))
    name = function.split(":")[6]

    def delete() -> str:
        try:
            cloud.client("lambda").delete_function(FunctionName=name)
        except ClientError as error:
            return error.response["Error"]["Message"]
        return "deleted"

    # aws-samples/cloudfront-authorization-at-edge#246.
    refused = (
        f"Lambda was unable to delete {function} because it is a replicated function. "
        "Please see our documentation for Deleting Lambda@Edge Functions and Replicas."
    )
    assert delete() == refused
    cloudfront = cloud.client("cloudfront")
    current = cloudfront.get_distribution_config(Id=edge.id)
    disabled = current["DistributionConfig"] | {"Enabled": False}
    updated = cloudfront.update_distribution(Id=edge.id, DistributionConfig=disabled, IfMatch=current["ETag"])
    cloudfront.delete_distribution(Id=edge.id, IfMatch=updated["ETag"])
    assert delete() == refused
    with clock_ahead(cloud, 4 * 3600):
        assert delete() == "deleted"


def test_a_stack_with_a_replicated_function_is_not_deleted(cloud: Cloud) -> None:
    config = {
        "Enabled": True,
        "Origins": [{"Id": "one", "DomainName": "example.com", "CustomOriginConfig": {}}],
        "DefaultCacheBehavior": {
            "TargetOriginId": "one",
            "ViewerProtocolPolicy": "redirect-to-https",
            "LambdaFunctionAssociations": [{"EventType": "viewer-request", "LambdaFunctionARN": {"Ref": "Version"}}],
        },
    }
    resources = {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "nodejs24.x",
                "Handler": "index.handler",
                "Role": edge_role(cloud, ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]),
                "Code": {"ZipFile": "exports.handler = async (event) => event.Records[0].cf.request;"},
            },
        },
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
        "Distribution": {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}},
    }
    stack, stacks = unique("stack"), cloud.client("cloudformation")
    assert cloud.deploy(stack, TemplateBody=json.dumps({"Resources": resources})) == []
    stacks.delete_stack(StackName=stack)

    def failures() -> list[str]:
        events = stacks.describe_stack_events(StackName=stack)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "DELETE_FAILED"]

    cloud.wait_for(lambda: bool(failures()))
    # silvermine/serverless-plugin-cloudfront-lambda-edge#6.
    assert "because it is a replicated function" in failures()[-1]
