"""Tokens that RDS, RDS Proxy and ElastiCache take as passwords: a signed URL without its scheme, valid for 15 minutes.

A token says who signed it. Whether that one may connect, its policies say.
"""

import hashlib
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

from botocore.credentials import Credentials
from ministack.core.iam_evaluator import CredentialResolutionError, resolve_credential
from ministack.core.sigv4 import build_canonical_request, build_string_to_sign, calculate_signature, signatures_match

from local_cloud.role import is_allowed

LONGEST = timedelta(minutes=15)


class TokenRefused(Exception):
    """The token is no token, is not for this user and endpoint, has expired, or its signer may not connect."""


def check(
    token: str, service: str, host: str, user: dict[str, str], region: str, action: str, resources: list[str]
) -> None:
    """Checks a token for the service (``rds-db`` or ``elasticache``) and the host that it was signed for.

    ``user`` is the parameter that names the user, and its value. The signer needs the action on each of the resources.
    Raises ``TokenRefused``.
    """
    url = urlsplit(f"//{token}")
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    wanted = {"Action": "connect", "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-SignedHeaders": "host"} | user
    if url.netloc.lower() != host.lower() or wanted.items() - parameters.items():
        raise TokenRefused(f"the token is not one for {', '.join(user.values())} at {host}")
    try:
        key, *scope = parameters["X-Amz-Credential"].split("/")
        date, lifetime = parameters["X-Amz-Date"], timedelta(seconds=int(parameters["X-Amz-Expires"]))
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        signature = parameters["X-Amz-Signature"]
    except (KeyError, ValueError):
        raise TokenRefused("the token has no signature") from None
    if scope != [date[:8], region, service, "aws4_request"]:
        raise TokenRefused(f"the token is signed for {'/'.join(scope)}")
    if not timedelta() < lifetime <= LONGEST or datetime.now(timezone.utc) >= signed_at + lifetime:
        raise TokenRefused("the token has expired")
    credential = resolve_credential(key, None, parameters.get("X-Amz-Security-Token", ""))
    if isinstance(credential, CredentialResolutionError):
        raise TokenRefused(credential.message)
    request = build_canonical_request(
        "GET", "/", {"host": url.netloc}, parameters, "host", payload_hash=hashlib.sha256(b"").hexdigest()
    )
    text = build_string_to_sign(date, date[:8], region, service, request)
    if not signatures_match(
        calculate_signature(credential.secret_access_key, date[:8], region, service, text), signature
    ):
        raise TokenRefused("the token's signature does not match")
    for resource in resources:
        if not is_allowed(Credentials(key, credential.secret_access_key), action, resource, region):
            raise TokenRefused(f"{credential.principal_arn} is not authorized to perform: {action} on {resource}")
