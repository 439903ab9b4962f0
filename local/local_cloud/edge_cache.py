"""CloudFront's cache: what two requests share, how long an answer stays, and what is served of it.

There is one edge location. The rules are those of the CloudFront Developer Guide, "Caching and availability".
"""

import re
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from ministack.services import cloudfront

from local_cloud import signed_requests

# Cached whatever the origin's headers say, and only if they say how long.
CACHED_ERRORS = {404, 414, 500, 501, 502, 503, 504}
ERRORS_CACHED_BY_HEADER = {400, 403, 405, 412, 415}
DEFAULT_ERROR_SECONDS = 10
# Of a distribution without a cache policy.
DEFAULT_SECONDS = (0, 86_400, 31_536_000)
PARTIAL_HEADERS = {"range", "if-range", "if-none-match", "if-modified-since"}
PRECONDITIONS = {"if-match", "if-unmodified-since"}

Headers = dict[str, Any]


class Answer(NamedTuple):
    """What an origin or the cache answers; a header that repeats has a list of values."""

    status: int
    reason: str
    headers: Headers
    body: bytes


class Entry(NamedTuple):
    answer: Answer
    stored: float
    expires: float


class Lifetime(NamedTuple):
    """How long a cache behavior lets CloudFront keep an answer, in seconds."""

    minimum: int
    default: int
    maximum: int


class Key(NamedTuple):
    """The cache key; ``method`` is ``HEAD`` for an answer without its body."""

    distribution: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[tuple[str, str], ...]


_entries: dict[Key, Entry] = {}


def lifetime(behavior: dict[str, Any]) -> Lifetime:
    name = behavior["cache_policy_id"]
    if policy := cloudfront._cache_policies.get(name) or cloudfront._MANAGED_CACHE_POLICIES.get(name):
        return limits_of(policy["Config"])
    if "*" in (behavior["forwarded_values"] or {}).get("headers", []):
        return Lifetime(0, 0, 0)
    chosen = zip(behavior["seconds"], DEFAULT_SECONDS, strict=True)
    return Lifetime(*(default if seconds is None else seconds for seconds, default in chosen))


def limits_of(policy: dict[str, Any]) -> Lifetime:
    minimum = policy["MinTTL"]
    default = policy.get("DefaultTTL", max(minimum, DEFAULT_SECONDS[1]))
    return Lifetime(minimum, default, policy.get("MaxTTL", max(default, DEFAULT_SECONDS[2])))


def key(distribution: str, behavior: dict[str, Any], method: str, path: str, query: str, headers: Headers) -> Key:
    """The key of a request to the origin, which has all that the cache policy names."""
    has_header, has_cookie, has_parameter = cloudfront._forwarding_predicates(
        behavior | {"origin_request_policy_id": None}
    )
    cookies = cloudfront._event_cookies_from_header(headers.get("cookie", ""))
    # The user agent is CloudFront's own unless the policy names it.
    named = {name: str(value) for name, value in headers.items() if name != "cookie" and has_header(name)}
    # Cookies that sign a request make no other object.
    chosen = {
        name: cookie["value"]
        for name, cookie in cookies.items()
        if has_cookie(name) and name not in signed_requests.COOKIES
    }
    parameters = [pair for pair in parse_qsl(query, keep_blank_values=True) if has_parameter(pair[0])]
    return Key(
        distribution, method, path, urlencode(parameters), tuple(sorted(named.items())), tuple(sorted(chosen.items()))
    )


def find(wanted: Key) -> Entry | None:
    """The entry, fresh or not; a HEAD request also finds what a GET request left."""
    return _entries.get(wanted._replace(method="GET")) or _entries.get(wanted)


def store(under: Key, answer: Answer, seconds: float, now: float) -> None:
    headers = dict(answer.headers)
    if re.search(r'no-cache\s*=\s*"[^"]*set-cookie', _control(headers), re.IGNORECASE):
        headers.pop("set-cookie", None)
    _entries[under] = Entry(answer._replace(headers=headers), now, now + seconds)


def invalidate(distribution: str, paths: list[str]) -> None:
    """Removes what the paths name, for any headers and cookies. A path has the query, or ends in an asterisk."""
    for existing in list(_entries):
        url = existing.path + (f"?{existing.query}" if existing.query else "")
        if existing.distribution == distribution and any(_names(path, url) for path in paths):
            del _entries[existing]


def _names(path: str, url: str) -> bool:
    return url.startswith(path[:-1]) if path.endswith("*") else url == path


def path_problem(path: str) -> str | None:
    """Why CloudFront refuses an invalidation path."""
    is_wrong = not path.startswith("/") or "*" in path[:-1] or len(path) > 4000
    return "Your request contains one or more invalid invalidation paths." if is_wrong else None


def seconds_to_keep(answer: Answer, limits: Lifetime, error_seconds: int, now: float) -> float:
    """How long CloudFront keeps an answer to GET or HEAD; 0 if it doesn't."""
    asked = _asked_seconds(answer.headers, now)
    if answer.status >= 400:
        is_timed = not _directives(answer.headers).keys().isdisjoint({"max-age", "s-maxage"})
        if answer.status in CACHED_ERRORS or (answer.status in ERRORS_CACHED_BY_HEADER and is_timed):
            return max(error_seconds, min(asked or 0, limits.maximum))
        return 0
    if answer.status in (206, 304):
        return 0
    directives = _directives(answer.headers)
    if not directives.keys().isdisjoint({"no-cache", "no-store", "private"}) or answer.headers.get("vary") == "*":
        return limits.minimum
    if asked is None:
        return min(max(limits.minimum, limits.default), limits.maximum)
    return max(limits.minimum, min(asked, limits.maximum))


def _control(headers: Headers) -> str:
    value = headers.get("cache-control", "")
    return ", ".join(value) if isinstance(value, list) else value


def _directives(headers: Headers) -> dict[str, str]:
    """The directives of Cache-Control. One that names headers is about these only, and is left out."""
    parts = re.findall(r'([\w-]+)\s*(?:=\s*("[^"]*"|[^\s,]+))?', _control(headers))
    return {name.lower(): value for name, value in parts if not value.startswith('"')}


def _asked_seconds(headers: Headers, now: float) -> float | None:
    """What the origin asks for: s-maxage goes before max-age, and that before Expires."""
    directives = _directives(headers)
    for name in ("s-maxage", "max-age"):
        if directives.get(name, "").isdigit():
            return int(directives[name])
    if "expires" in headers:
        try:
            return max(0, parsedate_to_datetime(headers["expires"]).timestamp() - now)
        except ValueError:
            return 0
    return None


def part(answer: Answer, method: str, headers: Headers) -> Answer:
    """What a GET or HEAD request gets of a whole object: all, a range, or that it has not changed."""
    if answer.status != 200:
        return answer if method == "GET" else answer._replace(body=b"")
    tag = answer.headers.get("etag", "")
    if _is_unchanged(answer.headers, tag, headers):
        kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
        return Answer(304, "Not Modified", kept, b"")
    whole, size = answer.headers | {"accept-ranges": "bytes"}, len(answer.body)
    if method == "HEAD":
        return answer._replace(body=b"")
    if_range = headers.get("if-range")
    asked = headers.get("range") if if_range in (None, tag, answer.headers.get("last-modified")) else None
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if not span or span.groups() == ("", ""):
        return answer._replace(headers=whole | {"content-length": str(size)})
    first, last = span.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return answer._replace(headers=whole | {"content-length": str(size)})
    if start >= size or start >= end:
        unsatisfied = {"content-range": f"bytes */{size}", "content-length": "0"}
        return Answer(416, "Range Not Satisfiable", unsatisfied, b"")
    body = answer.body[start:end]
    shown = {"content-range": f"bytes {start}-{end - 1}/{size}", "content-length": str(len(body))}
    return Answer(206, "Partial Content", whole | shown, body)


def _is_unchanged(own: Headers, tag: str, headers: Headers) -> bool:
    if "if-none-match" in headers:
        tags = [one.strip().removeprefix("W/") for one in headers["if-none-match"].split(",")]
        return "*" in tags or tag.removeprefix("W/") in tags
    if "if-modified-since" in headers and "last-modified" in own:
        try:
            since = parsedate_to_datetime(headers["if-modified-since"])
            return parsedate_to_datetime(own["last-modified"]) <= since
        except (ValueError, TypeError):
            return False
    return False
