"""A distribution in front of a bucket, as a viewer and a signer use it."""

import base64
import http.client
import io
import itertools
import json
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from running_cloud import Cloud

OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
POLICY = {
    "MinTTL": 0,
    "DefaultTTL": 60,
    "MaxTTL": 3600,
    "ParametersInCacheKeyAndForwardedToOrigin": {
        "EnableAcceptEncodingGzip": False,
        "HeadersConfig": {"HeaderBehavior": "none"},
        "CookiesConfig": {"CookieBehavior": "none"},
        "QueryStringsConfig": {"QueryStringBehavior": "none"},
    },
}
_numbers = itertools.count()


def unique(name: str) -> str:
    return f"{name}-{next(_numbers)}-{uuid.uuid4().hex[:6]}"


class Edge:
    """A distribution whose default origin is a bucket that only it reads."""

    def __init__(self, cloud: Cloud, behavior: dict[str, Any], **config: Any) -> None:
        self.cloud = cloud
        self.bucket = unique("bucket")
        cloud.client("s3").create_bucket(Bucket=self.bucket)
        self.put("object", b"0123456789")
        cloudfront = cloud.client("cloudfront")
        control = {
            "Name": self.bucket,
            "OriginAccessControlOriginType": "s3",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4",
        }
        access = cloudfront.create_origin_access_control(OriginAccessControlConfig=control)["OriginAccessControl"]
        self.configuration = configuration(self.bucket, access["Id"], behavior, **config)
        created = cloudfront.create_distribution(DistributionConfig=self.configuration)["Distribution"]
        self.id, self.domain = created["Id"], created["DomainName"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self.bucket}/*",
            "Condition": {"StringEquals": {"AWS:SourceArn": created["ARN"]}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        cloud.client("s3").put_bucket_policy(Bucket=self.bucket, Policy=document)

    def put(self, key: str, body: bytes, **settings: str) -> None:
        self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body, **settings)

    def get(self, path: str, method: str = "GET", **settings: Any) -> requests.Response:
        headers = {"Host": self.domain} | settings.pop("headers", {})
        return requests.request(
            method,
            f"{self.cloud.endpoint_url}{path}",
            headers=headers,
            allow_redirects=False,
            timeout=30,
            **settings,
        )

    def get_raw(self, path: str) -> tuple[int, bytes]:
        """The status and the body for a path that ``requests`` would normalize."""
        url = urlsplit(self.cloud.endpoint_url)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        connection.request("GET", path, headers={"Host": self.domain})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def cache_result(self, path: str, **settings: Any) -> str:
        return self.get(path, **settings).headers["X-Cache"]


def configuration(bucket: str, access_control: str, behavior: dict[str, Any], **config: Any) -> dict[str, Any]:
    origin = {
        "Id": "bucket",
        "DomainName": f"{bucket}.s3.us-east-1.amazonaws.com",
        "OriginAccessControlId": access_control,
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    return {
        "CallerReference": unique("reference"),
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "bucket",
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": OPTIMIZED,
        }
        | behavior,
    } | config


def cache_policy(cloud: Cloud, **changes: Any) -> str:
    """The id of a policy that keeps objects for a minute; ``changes`` are fields, or parameters of the cache key."""
    parameters = POLICY["ParametersInCacheKeyAndForwardedToOrigin"]
    keyed = {name: value for name, value in changes.items() if name in parameters}
    other = {name: value for name, value in changes.items() if name not in parameters}
    config = POLICY | {"Name": unique("policy")} | other
    config["ParametersInCacheKeyAndForwardedToOrigin"] = parameters | keyed
    return cloud.client("cloudfront").create_cache_policy(CachePolicyConfig=config)["CachePolicy"]["Id"]


@contextmanager
def clock_ahead(cloud: Cloud, seconds: float) -> Iterator[None]:
    def move(ahead: float) -> None:
        requests.get(f"{cloud.endpoint_url}/_local/clock", params={"ahead": ahead}, timeout=30).raise_for_status()

    move(seconds)
    try:
        yield
    finally:
        move(0)


class Signer:
    """A key pair, whose public key is in a key group."""

    def __init__(self, cloud: Cloud, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None) -> None:
        self.key = key or rsa.generate_private_key(65537, 2048)
        cloudfront = cloud.client("cloudfront")
        self.id = cloudfront.create_public_key(PublicKeyConfig=public_key_config(self.key.public_key()))["PublicKey"][
            "Id"
        ]
        config = {"Name": unique("group"), "Items": [self.id]}
        self.group = cloudfront.create_key_group(KeyGroupConfig=config)["KeyGroup"]["Id"]

    @property
    def behavior(self) -> dict[str, Any]:
        return {"TrustedKeyGroups": {"Enabled": True, "Quantity": 1, "Items": [self.group]}}

    def canned(self, url: str, expires: int) -> dict[str, str]:
        """The parameters of a signed URL; with the prefix ``CloudFront-``, they are cookies."""
        return {"Expires": str(expires)} | self.signature(policy(url, expires))

    def custom(self, document: bytes, algorithm: str | None = None) -> dict[str, str]:
        return {"Policy": encoded(document)} | self.signature(document, algorithm)

    def signature(self, document: bytes, algorithm: str | None = None) -> dict[str, str]:
        hashing = {None: hashes.SHA1, "SHA1": hashes.SHA1, "SHA256": hashes.SHA256}[algorithm]()
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(document, padding.PKCS1v15(), hashing)
        else:
            signature = self.key.sign(document, ec.ECDSA(hashing))
        named = {"Hash-Algorithm": algorithm} if algorithm else {}
        return {"Signature": encoded(signature), "Key-Pair-Id": self.id} | named


def public_key_config(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"CallerReference": unique("key"), "Name": unique("key"), "EncodedKey": pem.decode()}


def policy(resource: str | None, expires: int, **conditions: Any) -> bytes:
    condition = {"DateLessThan": {"AWS:EpochTime": expires}} | conditions
    statement = ({"Resource": resource} if resource else {}) | {"Condition": condition}
    return json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode().translate(str.maketrans("+=/", "-_~"))


def cookies(fields: dict[str, str]) -> dict[str, str]:
    """The header that sends signed cookies."""
    return {"Cookie": "; ".join(f"CloudFront-{name}={value}" for name, value in fields.items())}


def edge_function(cloud: Cloud, source: str, region: str = "us-east-1", **settings: Any) -> str:
    """The ARN of a version of a function in Node, whose handler is ``handler``."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("index.mjs", source)
    settings = {"Runtime": "nodejs24.x", "MemorySize": 128, "Timeout": 5} | settings
    if "Role" not in settings:
        settings["Role"] = edge_role(cloud, ["lambda.amazonaws.com", "edgelambda.amazonaws.com"])
    functions, name = cloud.client("lambda", region), unique("edge")
    code = {"ZipFile": archive.getvalue()}
    functions.create_function(FunctionName=name, Handler="index.handler", Code=code, **settings)
    return functions.publish_version(FunctionName=name)["FunctionArn"]


def edge_role(cloud: Cloud, services: list[str]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = cloud.client("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=document)
    return role["Role"]["Arn"]


def associated(function: str, event: str = "viewer-request", **settings: Any) -> dict[str, Any]:
    association = {"EventType": event, "LambdaFunctionARN": function} | settings
    return {"LambdaFunctionAssociations": {"Quantity": 1, "Items": [association]}}
