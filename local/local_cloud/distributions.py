"""CloudFront serves viewers as on AWS: signed requests, Lambda@Edge, a cache, and origins in API Gateway.

MiniStack fetches each object from its origin, for anyone. It keeps its part: behaviors, policies, CloudFront
Functions, error pages, origin access control.
"""

import asyncio
import contextvars
import http.client
import logging
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree.ElementTree import Element, fromstring

from ministack import app
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import new_uuid
from ministack.services import cloudfront
from ministack.services.cloudformation import provisioners

from local_cloud import clock, edge_cache, edge_functions, signed_requests
from local_cloud.edge_cache import Answer

logger = logging.getLogger("distributions")

ERROR = "Error from cloudfront"
GENERATED = "LambdaGeneratedResponse from cloudfront"
EXECUTE_API = re.compile(r"([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com")
GROUPS = {"Origin", "OriginGroup"}
POLICIES = {
    "cache_policy_id": lambda name: (
        cloudfront._cache_policies.get(name) or cloudfront._MANAGED_CACHE_POLICIES.get(name)
    ),
    "origin_request_policy_id": cloudfront.origin_request_policy_config,
    "response_headers_policy_id": cloudfront.response_headers_policy_config,
}
VIEWER_EVENTS = {"viewer-request", "viewer-response"}

Behavior = dict[str, Any]


@dataclass
class Exchange:
    """A viewer's request while it is served; ``answer`` is what the edge answers in the origin's place."""

    distribution: dict[str, Any]
    parsed: dict[str, Any]
    behavior: Behavior
    request_id: str = field(default_factory=new_uuid)
    answer: Answer | None = None
    has_fetched: bool = False
    x_cache: str | None = None
    age: int | None = None


_exchange: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("exchange", default=None)

_parse = cloudfront.parse_distribution_dataplane_config
_parse_behavior = cloudfront._dataplane_behavior
_serve_viewer = cloudfront.handle_viewer_request
_fetch_from_origin = cloudfront._fetch_from_origin
_origin_problem = cloudfront._distribution_vpc_origin_error
_template_config = provisioners._cf_distribution_config
_create_invalidation = cloudfront._create_invalidation


def _behavior(element: Element, pattern: str | None = None) -> Behavior:
    signers = [cloudfront._find(element, name) for name in ("TrustedKeyGroups", "TrustedSigners")]
    seconds = [cloudfront._text(element, name) for name in ("MinTTL", "DefaultTTL", "MaxTTL")]
    return _parse_behavior(element, pattern) | {
        "edge_functions": edge_functions.associations(element),
        "key_groups": _items(signers[0]),
        # Accounts as signers have no keys here, so that nobody has access.
        "is_restricted": any(one is not None and cloudfront._xbool(one, "Enabled", False) for one in signers),
        "seconds": [int(value) if value else None for value in seconds],
    }


def _items(element: Element | None) -> list[str]:
    items = cloudfront._find(element, "Items") if element is not None else None
    return [item.text or "" for item in items] if items is not None else []


def _parsed(distribution: dict[str, Any]) -> dict[str, Any]:
    """What MiniStack reads of a distribution, as this layer has read and changed it for the request."""
    exchange = _exchange.get()
    return exchange.parsed if exchange else _parse(distribution)


def _normalized(uri: str) -> str:
    """The path that is compared with path patterns, by RFC 3986, section 6.2.2. The origin gets the raw path."""

    def decoded(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        return character if re.fullmatch("[A-Za-z0-9._~-]", character) else escape[0].upper()

    kept: list[str] = []
    segments = re.sub("%([0-9A-Fa-f]{2})", decoded, uri).split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    is_directory = segments[-1:] in (["."], [".."])
    return "/" + "/".join([*kept, ""] if is_directory else kept)


def _keys(behavior: Behavior) -> dict[str, signed_requests.PublicKey]:
    groups = [cloudfront._key_groups[group] for group in behavior["key_groups"] if group in cloudfront._key_groups]
    identifiers = {identifier for group in groups for identifier in group["Config"]["Items"]}
    return {
        identifier: signed_requests.public_key(cloudfront._public_keys[identifier]["Config"]["EncodedKey"])
        for identifier in identifiers
    }


def _refusal(error: signed_requests.Refused) -> Answer:
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{error.code}</Code><Message>{error}</Message></Error>'
    )
    return Answer(403, "Forbidden", {"content-type": "text/xml", "server": "CloudFront"}, document.encode())


def _generated(response: edge_functions.Response) -> Answer:
    return Answer(response.status, http.client.responses.get(response.status, ""), response.headers, response.body)


async def _serve(
    distribution: dict[str, Any],
    method: str,
    path: str,
    uri: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    parameters: dict[str, list[str]],
    client_ip: str = "127.0.0.1",
) -> Any:
    if not distribution["enabled"]:
        return cloudfront._cf_error_response(403, "Bad request.", ERROR)
    parsed, path = _parse(distribution), _normalized(uri)
    behavior = cloudfront._match_behavior(parsed, path)
    is_secure = headers.get("x-forwarded-proto") == "https"
    if (
        behavior is None
        or cloudfront._check_viewer_protocol_policy(behavior, method, is_secure, uri, query, headers)
        or cloudfront._check_allowed_methods(behavior, method)
    ):
        return await _serve_viewer(distribution, method, path, uri, query, headers, body, parameters, client_ip)
    exchange = Exchange(distribution, parsed, behavior)
    token = _exchange.set(exchange)
    try:
        if behavior["is_restricted"]:
            cookies = cloudfront._event_cookies_from_header(headers.get("cookie", ""))
            request = signed_requests.Request(
                "https" if is_secure else "http",
                # Also for who uses the distribution's name under localhost.
                distribution["DomainName"],
                uri,
                query,
                {name: cookie["value"] for name, cookie in cookies.items()},
                client_ip,
            )
            query = signed_requests.without_signature(query)
            parameters = parse_qs(query, keep_blank_values=True)
            try:
                signed_requests.check(request, _keys(behavior), clock.now())
            except signed_requests.Refused as error:
                exchange.answer = _refusal(error)
                # No function sees the request.
                behavior["functions"], behavior["edge_functions"] = {}, {}
        if association := behavior["edge_functions"].get("viewer-request"):
            uri = cloudfront._apply_default_root_object(parsed["default_root_object"], uri)
            request = edge_functions.Request(method, uri, query, headers, body, client_ip)
            result = await run_reentrant(
                edge_functions.run, "viewer-request", association, distribution, exchange.request_id, request
            )
            if isinstance(result, edge_functions.Request):
                uri, query, headers, body = result.uri, result.query, result.headers, result.body
                parameters = parse_qs(query, keep_blank_values=True)
            elif result.status in parsed["custom_error_responses"]:
                exchange.answer, exchange.x_cache = _generated(result), GENERATED
            else:
                added = cloudfront._add_cloudfront_headers(result.headers, GENERATED)
                return result.status, cloudfront._render_headers(added, title_case=True), result.body
        status, shown, content = await _serve_viewer(
            distribution, method, path, uri, query, headers, body, parameters, client_ip
        )
    except edge_functions.Failed as error:
        logger.warning("distribution %s: %s", distribution["Id"], error.explanation.partition("\n")[0])
        return cloudfront._cf_error_response(error.status, error.explanation, error.x_cache)
    finally:
        _exchange.reset(token)
    if exchange.x_cache:
        shown["X-Cache"] = exchange.x_cache
    if exchange.age is not None:
        shown["Age"] = str(exchange.age)
    return status, shown, content


async def _fetch(
    origin: dict[str, Any], method: str, uri: str, query: str, headers: dict[str, Any], body: bytes, *more: Any
) -> Answer:
    """MiniStack asks for the object, and then for the page of an error."""
    exchange = _exchange.get()
    behavior = exchange.behavior
    if exchange.has_fetched:
        behavior = cloudfront._match_behavior(exchange.parsed, _normalized(uri))
    exchange.has_fetched = True
    if exchange.answer:
        answer, exchange.answer = exchange.answer, None
    elif method in ("GET", "HEAD") and edge_cache.PRECONDITIONS.isdisjoint(headers):
        answer = await _from_cache(exchange, behavior, origin, method, uri, query, headers, body, *more)
    else:
        answer = await _forward(exchange, behavior, origin, method, uri, query, headers, body, *more)
    if answer.status >= 400 and exchange.x_cache is None:
        exchange.x_cache = ERROR
    return answer


async def _from_cache(
    exchange: Exchange,
    behavior: Behavior,
    origin: dict[str, Any],
    method: str,
    uri: str,
    query: str,
    headers: dict[str, Any],
    body: bytes,
    *more: Any,
) -> Answer:
    """A cached answer, or else one from the origin, which may go into the cache."""
    limits = edge_cache.lifetime(behavior)
    key = edge_cache.key(exchange.distribution["Id"], behavior, method, uri, query, headers)
    entry = edge_cache.find(key)
    if entry and clock.now() < entry.expires:
        return _cached(exchange, entry, method, headers)
    # For an object that it may keep, CloudFront can ask for more than a part.
    asked = headers
    if limits.maximum > 0:
        asked = {name: value for name, value in headers.items() if name not in edge_cache.PARTIAL_HEADERS}
    has_stale_object = entry is not None and entry.answer.status < 400
    try:
        answer = await _forward(exchange, behavior, origin, method, uri, query, asked, body, *more)
    except (cloudfront.OriginTimeout, cloudfront.OriginUnreachable):
        if has_stale_object:
            return _cached(exchange, entry, method, headers)
        raise
    if answer.status >= 500 and has_stale_object:
        return _cached(exchange, entry, method, headers)
    if seconds := edge_cache.seconds_to_keep(answer, limits, _error_seconds(exchange, answer.status), clock.now()):
        edge_cache.store(key, answer, seconds, clock.now())
    return edge_cache.part(answer, method, headers) if asked is not headers else answer


def _cached(exchange: Exchange, entry: edge_cache.Entry, method: str, headers: dict[str, Any]) -> Answer:
    if exchange.x_cache is None:
        exchange.x_cache = "Hit from cloudfront" if entry.answer.status < 400 else ERROR
        exchange.age = int(clock.now() - entry.stored)
    return edge_cache.part(entry.answer, method, headers)


def _error_seconds(exchange: Exchange, status: int) -> int:
    """The error caching minimum TTL of a status."""
    pages = cloudfront._find(cloudfront._dist_config_el(exchange.distribution), "CustomErrorResponses")
    for element in pages.iter() if pages is not None else []:
        if cloudfront._text(element, "ErrorCode") == str(status):
            return int(cloudfront._text(element, "ErrorCachingMinTTL") or edge_cache.DEFAULT_ERROR_SECONDS)
    return edge_cache.DEFAULT_ERROR_SECONDS


async def _forward(
    exchange: Exchange,
    behavior: Behavior,
    origin: dict[str, Any],
    method: str,
    uri: str,
    query: str,
    headers: dict[str, Any],
    body: bytes,
    *more: Any,
) -> Answer:
    if association := behavior["edge_functions"].get("origin-request"):
        _, client_ip, *_ = more
        request = edge_functions.Request(method, uri, query, headers, body, client_ip)
        result = await run_reentrant(
            edge_functions.run,
            "origin-request",
            association,
            exchange.distribution,
            exchange.request_id,
            request,
            _described(origin),
        )
        if isinstance(result, edge_functions.Response):
            return _generated(result)
        uri, query, headers, body = result.uri, result.query, result.headers, result.body
    host = cloudfront._normalize_origin_host(origin["domain_name"])
    if api := EXECUTE_API.fullmatch(host):
        answer = await _fetch_from_api(api[1], origin, method, uri, query, headers, body, *more)
    else:
        answer = Answer(*await _fetch_from_origin(origin, method, uri, query, headers, body, *more))
    if not _forwards_cookies(behavior):
        answer.headers.pop("set-cookie", None)
    return answer


def _forwards_cookies(behavior: Behavior) -> bool:
    """Without cookies for the origin, there are none from it."""
    if not behavior["cache_policy_id"]:
        return (behavior["forwarded_values"] or {}).get("cookies_forward", "none") != "none"
    policies = [
        cloudfront.cache_policy_params(behavior["cache_policy_id"]),
        cloudfront.origin_request_policy_config(behavior["origin_request_policy_id"]),
    ]
    return any(policy and policy.get("CookieBehavior", "none") != "none" for policy in policies)


def _described(origin: dict[str, Any]) -> dict[str, Any]:
    """The origin in the event of an origin-request function."""
    custom_headers = {
        name.lower(): [{"key": name, "value": value}] for name, value in origin.get("custom_headers") or []
    }
    common = {
        "customHeaders": custom_headers,
        "domainName": origin["domain_name"],
        "path": origin["origin_path"],
    }
    if origin["s3_bucket"]:
        return {"s3": common | {"authMethod": "none", "region": ""}}
    _, port, is_secure = cloudfront._origin_connect_target(origin, True)
    protocol = "https" if is_secure else "http"
    return {"custom": common | {"port": port, "protocol": protocol, "readTimeout": origin["read_timeout"]}}


async def _fetch_from_api(
    api: str,
    origin: dict[str, Any],
    method: str,
    uri: str,
    query: str,
    headers: dict[str, Any],
    body: bytes,
    is_secure: bool,
    client_ip: str,
    forwarded_for: str,
    *_: Any,
) -> Answer:
    _, _, uses_tls = cloudfront._origin_connect_target(origin, is_secure)
    if not uses_tls:
        raise cloudfront.OriginUnreachable(f"{origin['domain_name']} does not answer HTTP")
    sent = cloudfront._origin_request_headers(origin, headers, client_ip, forwarded_for)
    sent = {name.lower(): value for name, value in sent.items()}
    # API Gateway knows its APIs by the host, so that a viewer's host leads nowhere.
    if sent["host"].partition(":")[0].lower() != origin["domain_name"].lower():
        return Answer(403, "Forbidden", {"content-type": "application/json"}, b'{"message":"Forbidden"}')
    raw_path = origin["origin_path"] + uri
    request = app._handle_execute_api_request(
        f"{api}.execute-api.{app._MINISTACK_HOST}",
        unquote(raw_path),
        method,
        sent,
        body,
        parse_qs(query, keep_blank_values=True),
        raw_path=raw_path,
        raw_query_string=query,
    )
    try:
        answer = await asyncio.wait_for(request, origin["read_timeout"])
    except asyncio.TimeoutError as error:
        raise cloudfront.OriginTimeout(f"no response within {origin['read_timeout']} s") from error
    if answer is None:
        raise cloudfront.OriginUnreachable(f"there is no API {api}")
    status, fields, content = answer
    pairs = [(name, one) for name, value in fields.items() for one in (value if isinstance(value, list) else [value])]
    return Answer(status, http.client.responses.get(status, ""), cloudfront._multidict_from_pairs(pairs), content)


def _problem(config: Element) -> Any:
    """Why CloudFront refuses a distribution."""
    edge_functions.remember_replicas()
    origins = [
        cloudfront._text(element, "Id") for element in config.iter() if cloudfront._local_tag_name(element) in GROUPS
    ]
    default, ordered = cloudfront._find(config, "DefaultCacheBehavior"), cloudfront._find(config, "CacheBehaviors")
    items = cloudfront._find(ordered, "Items") if ordered is not None else None
    for element in [default, *(items if items is not None else [])]:
        if element is None:
            continue
        behavior = _behavior(element)
        if behavior["target_origin_id"] not in origins:
            message = "One or more of your cache behavior target origins or origin groups do not exist."
            return cloudfront._error("NoSuchOrigin", message, 404)
        for kind, find in POLICIES.items():
            if (name := behavior[kind]) and not find(name):
                code = "NoSuch" + "".join(word.capitalize() for word in kind.removesuffix("_id").split("_"))
                return cloudfront._error(code, f"The policy {name} does not exist.", 404)
        if any(group not in cloudfront._key_groups for group in behavior["key_groups"]):
            return cloudfront._error("TrustedKeyGroupDoesNotExist", "The specified key group does not exist.", 400)
        functions = behavior["edge_functions"]
        if VIEWER_EVENTS & behavior["functions"].keys() and VIEWER_EVENTS & functions.keys():
            message = "You can't combine CloudFront Functions and Lambda@Edge in viewer events."
            return cloudfront._error("InvalidLambdaFunctionAssociation", message, 400)
        for event, association in functions.items():
            if message := edge_functions.problem(event, association.function):
                return cloudfront._error("InvalidLambdaFunctionAssociation", message, 400)
    return None


def _config_of_template(properties: dict[str, Any], caller_reference: str) -> Element:
    config = _template_config(properties, caller_reference)
    if problem := _problem(config):
        message = fromstring(problem[2]).findtext(f".//{{{cloudfront.NS}}}Message")
        raise ValueError(f"Invalid request provided: AWS::CloudFront::Distribution: {message}")
    return config


def _invalidate(distribution: str, body: bytes) -> Any:
    batch = cloudfront._parse_body(body)
    paths = _items(cloudfront._find(batch, "Paths")) if batch is not None else []
    for path in paths:
        if problem := edge_cache.path_problem(path):
            return cloudfront._error("InvalidArgument", problem, 400)
    before = len(cloudfront._invalidations.get(distribution, []))
    answer = _create_invalidation(distribution, body)
    # A repeated caller reference is no second invalidation.
    if len(cloudfront._invalidations.get(distribution, [])) > before:
        edge_cache.invalidate(distribution, paths)
    return answer


def install() -> None:
    cloudfront._dataplane_behavior = _behavior
    cloudfront.parse_distribution_dataplane_config = _parsed
    cloudfront.handle_viewer_request = _serve
    cloudfront._fetch_from_origin = _fetch
    cloudfront._distribution_vpc_origin_error = lambda config: _origin_problem(config) or _problem(config)
    provisioners._cf_distribution_config = _config_of_template
    delete_distribution = cloudfront._delete_distribution
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFront::Distribution"]
    delete_resource = handlers["delete"]

    def delete(distribution: str, headers: dict[str, str]) -> Any:
        edge_functions.remember_replicas()
        return delete_distribution(distribution, headers)

    def delete_of_stack(distribution: str, properties: dict[str, Any]) -> None:
        edge_functions.remember_replicas()
        delete_resource(distribution, properties)

    cloudfront._delete_distribution = delete
    handlers["delete"] = delete_of_stack
    cloudfront._create_invalidation = _invalidate
