"""Signed URLs and signed cookies of CloudFront: who is refused, in CloudFront's words.

The rules are those of the CloudFront Developer Guide, "Serve private content with signed URLs and signed cookies".
"""

import base64
import ipaddress
import json
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

COOKIE_PREFIX = "CloudFront-"
NAMES = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
# CloudFront takes a URL with one of these for a signed URL, and does not look at the cookies.
URL_NAMES = NAMES[:-1]
COOKIES = {COOKIE_PREFIX + name for name in NAMES}
HASHES = {"SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
CONDITIONS = {"DateLessThan", "DateGreaterThan", "IpAddress"}


class Refused(Exception):
    """CloudFront answers 403 with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Request(NamedTuple):
    """What the viewer sent; the path and the query are percent-encoded."""

    scheme: str
    domain: str
    path: str
    query: str
    cookies: dict[str, str]
    source_ip: str


def public_key(encoded: str) -> PublicKey:
    """Raises ``ValueError`` for a key that CloudFront doesn't take."""
    key = serialization.load_pem_public_key(encoded.encode())
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("neither an RSA key of 2048 bits nor a key on the curve P-256")


def without_signature(query: str) -> str:
    """The query without what signs the URL: it is no part of the signed URL, and the origin doesn't get it."""
    return "&".join(part for part in query.split("&") if part.partition("=")[0] not in NAMES)


def check(request: Request, keys: dict[str, PublicKey], now: float) -> None:
    """Raises ``Refused`` unless a policy that one of the keys signed admits the request."""
    fields = {name: value for name, value in parse_qsl(request.query) if name in NAMES}
    if fields.keys().isdisjoint(URL_NAMES):
        cookies = request.cookies.items()
        fields = {name.removeprefix(COOKIE_PREFIX): value for name, value in cookies if name in COOKIES and value}
    else:
        request = request._replace(query=without_signature(request.query))
    if "Key-Pair-Id" not in fields:
        raise Refused("MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
    if fields["Key-Pair-Id"] not in keys:
        raise Refused("InvalidKey", "Unknown Key")
    try:
        is_custom = "Policy" in fields
        policy = _decoded(fields["Policy"]) if is_custom else _canned(request, int(fields.get("Expires", "")))
    except ValueError:
        raise _malformed() from None
    try:
        signature = _decoded(fields.get("Signature", ""))
    except ValueError:
        raise Refused("MalformedSignature", "Could not unencode Signature") from None
    is_signed = _is_signed(policy, signature, keys[fields["Key-Pair-Id"]], fields.get("Hash-Algorithm", "SHA1"))
    if not is_signed or not (_admits(policy, request, now) if is_custom else now < int(fields["Expires"])):
        raise Refused("AccessDenied", "Access denied")


def _decoded(value: str) -> bytes:
    if not value or re.search("[+/=]", value):
        raise ValueError("not in CloudFront's alphabet")
    return base64.b64decode(value.translate(str.maketrans("-_~", "+=/")), validate=True)


def _canned(request: Request, expires: int) -> bytes:
    query = f"?{request.query}" if request.query else ""
    resource = f"{request.scheme}://{request.domain}{request.path}{query}"
    statement = {"Resource": resource, "Condition": {"DateLessThan": {"AWS:EpochTime": expires}}}
    return json.dumps({"Statement": [statement]}, separators=(",", ":"), ensure_ascii=False).encode()


def _malformed() -> Refused:
    return Refused("MalformedPolicy", "Malformed Policy")


def _is_signed(policy: bytes, signature: bytes, key: PublicKey, algorithm: str) -> bool:
    if algorithm not in HASHES:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, policy, padding.PKCS1v15(), HASHES[algorithm]())
        else:
            key.verify(signature, policy, ec.ECDSA(HASHES[algorithm]()))
    except InvalidSignature:
        return False
    return True


def _admits(policy: bytes, request: Request, now: float) -> bool:
    try:
        [statement] = json.loads(policy)["Statement"]
        resource, condition = statement.get("Resource", "*"), statement["Condition"]
        before = _epoch(condition["DateLessThan"])
        after = _epoch(condition["DateGreaterThan"]) if "DateGreaterThan" in condition else None
        source = condition["IpAddress"]["AWS:SourceIp"] if "IpAddress" in condition else "0.0.0.0/0"
        network = ipaddress.IPv4Network(source, strict=False)
        if condition.keys() - CONDITIONS or statement.keys() - {"Resource", "Condition"}:
            raise ValueError("names of which CloudFront knows nothing")
        is_named = _matches(resource, request)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _malformed() from None
    is_in_time = now < before and (after is None or now > after)
    return is_named and is_in_time and ipaddress.ip_address(request.source_ip) in network


def _epoch(condition: dict[str, Any]) -> int:
    value = condition["AWS:EpochTime"]
    if type(value) is not int:
        raise ValueError("a time is a number, without quotation marks")
    return value


def _matches(resource: str, request: Request) -> bool:
    """A wildcard matches within its section of the URL only: the protocol, the domain, the path, the query.

    An asterisk at the end of the domain or the path goes on to the end of the URL.
    """
    if resource == "*":
        return True
    protocol, separator, rest = resource.partition("://")
    if not separator:
        protocol, rest = "*", resource
        if not rest.startswith("*"):
            raise ValueError("a resource begins with its protocol or an asterisk")
    if protocol not in ("http", "https", "*"):
        raise ValueError("a protocol is http, https or an asterisk")
    location, has_query, query = rest.partition("\\?")
    domain, has_path, path = location.partition("/")
    if not has_path and domain.endswith("*"):
        path, query = "*", "*"
    elif not has_query and path.endswith("*"):
        query = "*"
    pairs = [
        (protocol, request.scheme),
        (domain, request.domain),
        (f"/{path}", request.path),
        (query, request.query),
    ]
    return all(re.fullmatch(_expression(pattern), text, re.DOTALL) for pattern, text in pairs)


def _expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
