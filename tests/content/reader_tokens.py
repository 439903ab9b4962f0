"""Tokens of a user pool that the tests have made, and of others who pretend to be it."""

import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from tokens import encoded, unsigned

POOL = "eu-central-1_Reader123"
ISSUER = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL}"
CLIENT = "1example23456789"
HOUR = 3600


@dataclass(frozen=True)
class Key:
    """A key pair with a key id."""

    kid: str

    @cached_property
    def private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public(self) -> dict[str, Any]:
        """As in the user pool's key set."""
        numbers = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"alg": "RS256", "e": numbers["e"], "kid": self.kid, "kty": "RSA", "n": numbers["n"], "use": "sig"}

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# A pool has two keys: for ID tokens, and for access tokens.
ID_KEY, ACCESS_KEY = Key("id-key="), Key("access-key=")
NEXT_KEY = Key("next-key=")
# Its owner says that it is the pool's.
FALSE_KEY = Key(ID_KEY.kid)
UNKNOWN_KEY = Key("unknown-key=")


def key_set(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.public for key in keys]}


def baked() -> dict[str, Any]:
    """The key set that the function's package has."""
    return key_set(ID_KEY, ACCESS_KEY)


def configuration() -> dict[str, Any]:
    return {
        "issuer": ISSUER,
        "audience": CLIENT,
        "jwksUri": f"{ISSUER}/.well-known/jwks.json",
        "page": "/",
        **baked(),
    }


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a student who has paid; with ``None``, a claim is left out."""
    now = int(time.time())
    usual = {
        "sub": str(uuid.uuid4()),
        "iss": ISSUER,
        "aud": CLIENT,
        "token_use": "id",
        "auth_time": now,
        "iat": now,
        "exp": now + HOUR,
        "jti": str(uuid.uuid4()),
        "custom:student_id": str(uuid.uuid4()),
        "email": "ida@school.example",
        "paid_until": str(now + 30 * 24 * HOUR),
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}


def signed(key: Key = ID_KEY, algorithm: str = "RS256", kid: str | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key.private, algorithm, headers={"kid": kid or key.kid})


def signed_with_public_key(key: Key = ID_KEY, **changes: Any) -> str:
    """HS256, with the public key as the shared secret. PyJWT refuses to make such a token."""
    text = unsigned({"alg": "HS256", "kid": key.kid}, claims(**changes))
    return f"{text}.{encoded(hmac.digest(key.pem, text.encode(), hashlib.sha256))}"


def signed_with_header(key: Key = ID_KEY, **header: Any) -> str:
    """RS256, whatever the header says."""
    text = unsigned(header, claims())
    return f"{text}.{encoded(key.private.sign(text.encode(), PKCS1v15(), SHA256()))}"


def with_header(token: str, **changes: Any) -> str:
    """The token with another header, and its old signature."""
    header = jwt.get_unverified_header(token) | changes
    return ".".join([encoded(json.dumps(header).encode()), *token.split(".")[1:]])


def with_claims(token: str, **changes: Any) -> str:
    """The token with other claims, and its old signature."""
    header, _, signature = token.split(".")
    return ".".join([header, encoded(json.dumps(claims(**changes)).encode()), signature])
