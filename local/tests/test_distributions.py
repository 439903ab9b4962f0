"""The cache of a distribution, its origins in API Gateway, and cookies.

The quotations are from the CloudFront Developer Guide, at https://docs.aws.amazon.com/AmazonCloudFront/latest/
DeveloperGuide/.
"""

import json
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from distribution import ALL_VIEWER_EXCEPT_HOST, DISABLED, Edge, cache_policy, clock_ahead
from running_cloud import Cloud

HIT, MISS, ERROR = "Hit from cloudfront", "Miss from cloudfront", "Error from cloudfront"


class Origin:
    """A server that counts its requests and answers what a test sets."""

    def __init__(self) -> None:
        origin = self
        self.status, self.headers, self.requests = 200, {}, []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                origin.requests.append((self.command, self.path, dict(self.headers)))
                self.send_response(origin.status)
                for name, value in origin.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"%02d" % len(origin.requests))

            do_HEAD = do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def edge(self, cloud: Cloud, behavior: dict[str, Any], **config: Any) -> Edge:
        custom = {
            "HTTPPort": self.server.server_port,
            "HTTPSPort": 443,
            "OriginProtocolPolicy": "http-only",
        }
        origins = {"Quantity": 1, "Items": [{"Id": "bucket", "DomainName": "127.0.0.1", "CustomOriginConfig": custom}]}
        methods = {"Quantity": 7, "Items": ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE"]}
        return Edge(cloud, {"AllowedMethods": methods} | behavior, Origins=origins, **config)


@pytest.fixture
def origin() -> Origin:
    return Origin()


def test_an_object_is_served_from_the_cache_until_it_is_invalidated(cloud: Cloud) -> None:
    edge = Edge(cloud, {})
    assert edge.cache_result("/object") == MISS
    edge.put("object", b"new")
    answer = edge.get("/object")
    assert (answer.text, answer.headers["X-Cache"], answer.headers["Age"]) == ("0123456789", HIT, "0")
    invalidate(cloud, edge, "/obj*")
    assert edge.get("/object").text == "new"


def invalidate(cloud: Cloud, edge: Edge, *paths: str) -> None:
    batch = {"CallerReference": str(uuid.uuid4()), "Paths": {"Quantity": len(paths), "Items": list(paths)}}
    cloud.client("cloudfront").create_invalidation(DistributionId=edge.id, InvalidationBatch=batch)


def test_an_invalidation_names_the_query_of_the_key(cloud: Cloud, origin: Origin) -> None:
    strings = {"QueryStringsConfig": {"QueryStringBehavior": "all"}}
    edge = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud, **strings)})
    edge.get("/page?n=1")
    # Invalidation: "If you configured CloudFront to forward query strings to your origin, you must include the query
    # strings when invalidating files".
    invalidate(cloud, edge, "/page", "/page?n=2", "/Page*")
    assert edge.cache_result("/page?n=1") == HIT
    invalidate(cloud, edge, "/page?n=1")
    assert edge.cache_result("/page?n=1") == MISS
    # "When you use the CloudFront API directly, invalidation paths must begin with a leading slash." "You can't use a
    # wildcard within the path; only at the end".
    for path in ("page", "/*/page"):
        with pytest.raises(cloud.client("cloudfront").exceptions.InvalidArgument):
            invalidate(cloud, edge, path)


@pytest.mark.parametrize(
    ("keyed", "request_settings"),
    [
        ({"QueryStringsConfig": {"QueryStringBehavior": "all"}}, {"params": {"language": "fr"}}),
        (
            {"HeadersConfig": {"HeaderBehavior": "whitelist", "Headers": {"Quantity": 1, "Items": ["Language"]}}},
            {"headers": {"Language": "fr"}},
        ),
        (
            {"CookiesConfig": {"CookieBehavior": "whitelist", "Cookies": {"Quantity": 1, "Items": ["language"]}}},
            {"headers": {"Cookie": "language=fr"}},
        ),
    ],
    ids=["query strings", "headers", "cookies"],
)
def test_the_cache_key_is_that_of_the_policy(
    cloud: Cloud, origin: Origin, keyed: dict[str, Any], request_settings: dict[str, Any]
) -> None:
    # understanding-the-cache-key: "Other values from the viewer request are not included in the cache key, by default."
    plain = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud)})
    assert [plain.cache_result("/"), plain.cache_result("/", **request_settings)] == [MISS, HIT]
    edge = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud, **keyed)})
    assert [edge.cache_result("/"), edge.cache_result("/", **request_settings)] == [MISS, MISS]
    assert [edge.cache_result("/"), edge.cache_result("/", **request_settings)] == [HIT, HIT]


def test_what_only_the_origin_request_policy_names_is_not_in_the_key(cloud: Cloud, origin: Origin) -> None:
    # API_CachePolicyConfig: "If you want to send values to the origin but not include them in the cache key, use
    # OriginRequestPolicy." So one reader gets what the origin made for another.
    behavior = {"CachePolicyId": cache_policy(cloud), "OriginRequestPolicyId": ALL_VIEWER_EXCEPT_HOST}
    edge = origin.edge(cloud, behavior)
    origin.headers = {"Set-Cookie": "reader=1"}
    first = edge.get("/", headers={"Cookie": "reader=1"})
    second = edge.get("/", headers={"Cookie": "reader=2"})
    assert "reader=1" in str(origin.requests[0])
    # Cookies: "CloudFront also caches the Set-Cookie headers … and sends those Set-Cookie headers to viewers on all
    # cache hits."
    assert (second.text, second.headers["Set-Cookie"]) == (first.text, "reader=1")
    # "Cache-Control: no-cache="Set-Cookie"".
    origin.headers |= {"Cache-Control": 'no-cache="Set-Cookie"'}
    assert "Set-Cookie" in edge.get("/other").headers
    again = edge.get("/other")
    assert "Set-Cookie" not in again.headers
    assert again.headers["X-Cache"] == HIT


# Expiration, "Specify the amount of time that CloudFront caches objects".
@pytest.mark.parametrize(
    ("minimum", "headers", "seconds"),
    [
        (0, {}, 60),
        (0, {"Cache-Control": "max-age=100"}, 100),
        (0, {"Cache-Control": "max-age=100, s-maxage=200"}, 200),
        (0, {"Cache-Control": "max-age=99999"}, 3600),
        (30, {"Cache-Control": "max-age=10"}, 30),
        (0, {"Cache-Control": "max-age=0"}, 0),
        (0, {"Cache-Control": "no-store"}, 0),
        (0, {"Cache-Control": "no-cache"}, 0),
        (0, {"Cache-Control": "private, max-age=100"}, 0),
        # API_CachePolicyConfig: "If your minimum TTL is greater than 0, CloudFront will cache content for at least the
        # duration specified in the cache policy's minimum TTL, even if the Cache-Control: no-cache, no-store, or
        # private directives are present".
        (30, {"Cache-Control": "private, no-store"}, 30),
        (0, {"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        (0, {"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}, 3600),
        (0, {"Vary": "*"}, 0),
    ],
)
def test_the_lifetime_is_the_origins_within_the_policys_limits(
    cloud: Cloud, origin: Origin, minimum: int, headers: dict[str, str], seconds: int
) -> None:
    origin.headers = headers
    edge = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud, MinTTL=minimum)})
    edge.get("/")
    assert edge.cache_result("/") == (HIT if seconds else MISS)
    if seconds:
        with clock_ahead(cloud, seconds - 5):
            assert edge.cache_result("/") == HIT
        with clock_ahead(cloud, seconds + 1):
            assert edge.cache_result("/") == MISS


def test_a_policy_without_lifetime_keeps_nothing(cloud: Cloud, origin: Origin) -> None:
    edge = origin.edge(cloud, {"CachePolicyId": DISABLED})
    assert [edge.get("/").text, edge.get("/").text] == ["01", "02"]


def test_only_get_and_head_are_cached(cloud: Cloud, origin: Origin) -> None:
    # HTTPStatusCodes: "CloudFront always caches responses to GET and HEAD requests. … CloudFront does not cache
    # responses to requests that use the other methods."
    edge = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud)})
    assert [edge.cache_result("/", method="HEAD"), edge.cache_result("/", method="HEAD")] == [MISS, HIT]
    assert [edge.cache_result("/"), edge.cache_result("/")] == [MISS, HIT]
    assert edge.get("/", method="HEAD").headers["Content-Length"] == "2"
    assert [edge.cache_result("/", method="POST") for _ in range(2)] == [MISS, MISS]
    assert [method for method, _, _ in origin.requests] == ["HEAD", "GET", "POST", "POST"]


@pytest.mark.parametrize("is_warm", [False, True])
def test_parts_of_an_object_come_from_the_cache(cloud: Cloud, is_warm: bool) -> None:
    # RangeGETs: "If the cache in that edge location already contains the entire object or the requested part of the
    # object, CloudFront immediately serves the requested range from the cache."
    edge = Edge(cloud, {})
    tag = edge.get("/object").headers["ETag"] if is_warm else '"781e5e245d69b566979b86e28d23f2c7"'

    def part(**headers: str) -> tuple[int, str, str | None]:
        answer = edge.get("/object", headers=headers)
        return answer.status_code, answer.text, answer.headers.get("Content-Range")

    assert part(Range="bytes=2-4") == (206, "234", "bytes 2-4/10")
    assert part(Range="bytes=7-") == (206, "789", "bytes 7-9/10")
    assert part(Range="bytes=-2") == (206, "89", "bytes 8-9/10")
    assert part(Range="bytes=20-") == (416, "", "bytes */10")
    # "If your Range headers don't adhere to the following requirements, CloudFront returns HTTP status code 200 with
    # the full object".
    assert part(Range="bytes=4-2") == (200, "0123456789", None)
    assert part(**{"Range": "bytes=7-", "If-Range": tag}) == (206, "789", "bytes 7-9/10")
    assert part(**{"Range": "bytes=7-", "If-Range": '"other"'}) == (200, "0123456789", None)
    assert part(**{"If-None-Match": tag}) == (304, "", None)
    assert edge.cache_result("/object", headers={"Range": "bytes=2-4"}) == HIT


def test_errors_stay_in_the_cache_for_the_error_caching_minimum_ttl(cloud: Cloud, origin: Origin) -> None:
    # GeneratingCustomErrorResponses: "CloudFront caches error responses for a default duration of 10 seconds."
    errors = {"Quantity": 1, "Items": [{"ErrorCode": 503, "ErrorCachingMinTTL": 0}]}
    edge = origin.edge(cloud, {"CachePolicyId": DISABLED}, CustomErrorResponses=errors)
    origin.status = 404
    assert [edge.get("/missing").text, edge.get("/missing").text] == ["01", "01"]
    assert edge.cache_result("/missing") == ERROR
    with clock_ahead(cloud, 11):
        assert edge.get("/missing").text == "02"
    # HTTPStatusCodes: "CloudFront only caches the following HTTP 4xx status codes returned by your origin if your
    # origin returns a Cache-Control max-age or Cache-Control s-maxage header."
    origin.status = 403
    assert [edge.get("/secret").text, edge.get("/secret").text] == ["03", "04"]
    origin.status = 503
    assert [edge.get("/busy").text, edge.get("/busy").text] == ["05", "06"]


def test_an_expired_object_is_served_while_the_origin_fails(cloud: Cloud, origin: Origin) -> None:
    # HTTPStatusCodes: "If your origin returns a 5xx status code, CloudFront serves the object even though it has
    # expired. … If your origin returns a 4xx status code, CloudFront returns the status code, not the requested
    # object, to the viewer."
    edge = origin.edge(cloud, {"CachePolicyId": cache_policy(cloud)})
    edge.get("/")
    with clock_ahead(cloud, 61):
        origin.status = 500
        stale = edge.get("/")
        assert (stale.status_code, stale.text, stale.headers["X-Cache"]) == (200, "01", HIT)
        origin.status = 404
        assert edge.get("/").status_code == 404


def test_set_cookie_is_removed_where_no_cookies_are_forwarded(cloud: Cloud, origin: Origin) -> None:
    # RequestAndResponseBehaviorCustomOrigin: Set-Cookie: "If you configure CloudFront to forward cookies, it will
    # forward the Set-Cookie header field to clients."
    origin.headers = {"Set-Cookie": "reader=1"}
    edge = origin.edge(cloud, {"CachePolicyId": DISABLED})
    assert "Set-Cookie" not in edge.get("/", method="POST").headers
    edge = origin.edge(cloud, {"CachePolicyId": DISABLED, "OriginRequestPolicyId": ALL_VIEWER_EXCEPT_HOST})
    assert edge.get("/", method="POST").headers["Set-Cookie"] == "reader=1"


def test_a_disabled_distribution_serves_nothing(cloud: Cloud) -> None:
    assert Edge(cloud, {}, Enabled=False).get("/object").status_code == 403


def test_an_api_is_an_origin(cloud: Cloud) -> None:
    api = rest_api(cloud)
    edge = api_edge(cloud, api, ALL_VIEWER_EXCEPT_HOST)
    answer = edge.get("/session", method="POST", json={}, headers={"Authorization": "token"})
    assert (answer.status_code, answer.json()) == (200, {"authorization": "token"})
    # It has no resource of that name.
    assert edge.get("/other").status_code == 403
    # Managed-AllViewer sends the viewer's host, of which API Gateway knows nothing:
    # Droplr/serverless-api-cloudfront#37.
    edge = api_edge(cloud, api, "216adef6-5c7f-47e4-b989-5492eafa07d3")
    assert edge.get("/session", method="POST", json={}).json() == {"message": "Forbidden"}


def rest_api(cloud: Cloud) -> str:
    template = {"application/json": '{"statusCode": 200}'}
    shown = {"application/json": '{"authorization": "$util.escapeJavaScript($input.params(\'Authorization\'))"}'}
    integration = {
        "type": "mock",
        "requestTemplates": template,
        "responses": {"default": {"statusCode": "200", "responseTemplates": shown}},
    }
    post = {"responses": {"200": {"description": ""}}, "x-amazon-apigateway-integration": integration}
    document = {
        "openapi": "3.0.3",
        "info": {"title": "sessions", "version": "1"},
        "paths": {"/session": {"post": post}},
    }
    resources = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": document}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "v1",
            },
        },
    }
    template = {"Resources": resources, "Outputs": {"Api": {"Value": {"Ref": "Api"}}}}
    assert cloud.deploy("sessions", TemplateBody=json.dumps(template)) == []
    stack = cloud.client("cloudformation").describe_stacks(StackName="sessions")["Stacks"][0]
    return stack["Outputs"][0]["OutputValue"]


def api_edge(cloud: Cloud, api: str, request_policy: str) -> Edge:
    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}
    domain = f"{api}.execute-api.us-east-1.amazonaws.com"
    origin = {"Id": "bucket", "DomainName": domain, "OriginPath": "/v1", "CustomOriginConfig": custom}
    methods = {"Quantity": 7, "Items": ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE"]}
    behavior = {"CachePolicyId": DISABLED, "OriginRequestPolicyId": request_policy, "AllowedMethods": methods}
    return Edge(cloud, behavior, Origins={"Quantity": 1, "Items": [origin]})
