"""CloudFront refuses cache policies and origin request policies that contradict themselves; MiniStack takes them."""

from typing import Any
from xml.etree.ElementTree import Element

from ministack.services import cloudfront

from local_cloud import edge_cache

# Only a cache policy can send them to the origin.
HEADERS_OF_CACHE_POLICIES = {"authorization", "accept-encoding"}
# What has no use where nothing is cached, and the value that says so.
UNUSED = {
    "EnableAcceptEncodingGzip": False,
    "EnableAcceptEncodingBrotli": False,
    "HeaderBehavior": "none",
    "CookieBehavior": "none",
    "QueryStringBehavior": "none",
}

Parsed = tuple[dict[str, Any] | None, Any]

_parse_cache_policy = cloudfront._parse_cache_policy_config
_parse_request_policy = cloudfront._parse_orp_config


def _refused(message: str) -> Parsed:
    return None, cloudfront._error("InvalidArgument", message, 400)


def _cache_policy(element: Element) -> Parsed:
    config, error = _parse_cache_policy(element)
    if error:
        return config, error
    limits = edge_cache.limits_of(config)
    if list(limits) != sorted(limits):
        return _refused("The minimum TTL is greater than the default TTL, or that than the maximum TTL.")
    if limits.maximum == 0:
        for name, value in UNUSED.items():
            if config.get("Parameters", UNUSED)[name] != value:
                return _refused(f"The parameter {name} is invalid for policy with caching disabled.")
    return config, None


def _request_policy(element: Element) -> Parsed:
    config, error = _parse_request_policy(element)
    if error or config["HeaderBehavior"] == "allExcept":
        return config, error
    for name in config["Headers"]:
        if name.lower() in HEADERS_OF_CACHE_POLICIES:
            return _refused(f"The parameter Headers contains {name} that is not allowed.")
    return config, None


def install() -> None:
    cloudfront._parse_cache_policy_config = _cache_policy
    cloudfront._ORP_SPEC["parse"] = _request_policy
