"""Signed URLs and signed cookies.

The quotations are from the CloudFront Developer Guide, at https://docs.aws.amazon.com/AmazonCloudFront/latest/
DeveloperGuide/. The codes and messages are those of https://repost.aws/knowledge-center/
cloudfront-troubleshoot-signed-url-cookies, aws/aws-sdk-js#2236, commitdev/zero#287 and
aws-samples/amazon-cloudfront-signed-urls-using-lambda-secretsmanager#8.
"""

import time
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from distribution import (
    OPTIMIZED,
    Edge,
    Signer,
    cache_policy,
    clock_ahead,
    cookies,
    encoded,
    policy,
    public_key_config,
    unique,
)
from running_cloud import Cloud

SOON = int(time.time()) + 300


@pytest.fixture(scope="module")
def signer(cloud: Cloud) -> Signer:
    return Signer(cloud)


@pytest.fixture(scope="module")
def edge(cloud: Cloud, signer: Signer) -> Edge:
    edge = Edge(cloud, signer.behavior)
    edge.put("members/other", b"other")
    edge.put("free", b"free")
    return edge


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    code, message = answer.text.partition("<Code>")[2], answer.text.partition("<Message>")[2]
    return answer.status_code, code.partition("<")[0], message.partition("<")[0]


DENIED = (403, "AccessDenied", "Access denied")
MALFORMED = (403, "MalformedPolicy", "Malformed Policy")


def test_a_canned_policy_opens_its_url_until_it_expires(cloud: Cloud, edge: Edge, signer: Signer) -> None:
    signed = signer.canned(f"https://{edge.domain}/object", SOON)
    assert edge.get(f"/object?{urlencode(signed)}").text == "0123456789"
    assert edge.get("/object", headers=cookies(signed)).text == "0123456789"
    # private-content-signed-cookies: "A canned policy … You can reuse the policy statement for multiple files: No".
    assert refusal(edge.get("/members/other", headers=cookies(signed))) == DENIED
    # "CloudFront checks the expiration date and time in the cookie at the time of the HTTP request."
    with clock_ahead(cloud, 301):
        assert refusal(edge.get("/object", headers=cookies(signed))) == DENIED
        assert refusal(edge.get("/object", headers=cookies(signed) | {"Range": "bytes=5-"})) == DENIED


def test_a_custom_policy_expires(cloud: Cloud, edge: Edge, signer: Signer) -> None:
    sent = cookies(signer.custom(policy(f"https://{edge.domain}/*", SOON)))
    assert edge.get("/object", headers=sent).status_code == 200
    with clock_ahead(cloud, 301):
        assert refusal(edge.get("/object", headers=sent)) == DENIED


@pytest.mark.parametrize("algorithm", [None, "SHA1", "SHA256"])
@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_the_signer_chooses_the_key_and_the_hash(cloud: Cloud, kind: str, algorithm: str | None) -> None:
    # API_PublicKey: "CloudFront supports signed URLs and signed cookies with RSA 2048 or ECDSA 256 key signatures."
    # private-content-setting-signed-cookie-custom-policy: "You can optionally include a fourth name-value pair,
    # CloudFront-Hash-Algorithm, to specify the hash algorithm used for the signature."
    signer = Signer(cloud, ec.generate_private_key(ec.SECP256R1()) if kind == "P-256" else None)
    edge = Edge(cloud, signer.behavior)
    signed = signer.custom(policy(f"https://{edge.domain}/*", SOON), algorithm)
    assert edge.get("/object", headers=cookies(signed)).status_code == 200
    assert edge.get(f"/object?{urlencode(signed)}").status_code == 200
    other = {None: "SHA256", "SHA1": "SHA256", "SHA256": "SHA1"}[algorithm]
    assert refusal(edge.get("/object", headers=cookies(signed | {"Hash-Algorithm": other}))) == DENIED


@pytest.mark.parametrize(
    ("resource", "path", "is_open"),
    [
        ("https://{domain}/members/*", "/members/other", True),
        # "A trailing asterisk in the path section implies an asterisk in the query string section."
        ("https://{domain}/members/*", "/members/other?size=large", True),
        ("https://{domain}/members/*", "/object", False),
        ("http://{domain}/members/*", "/members/other", False),
        ("*://{domain}/members/*", "/members/other", True),
        ("https://{domain}/members/othe?", "/members/other", True),
        ("https://{domain}/members/othe?", "/members/othe", False),
        # "The wildcard matching applies only within the boundaries of the section that contains the wildcard."
        ("https://{domain}/members/*r", "/members/other?r", False),
        ("https://{domain}/*\\?size=large", "/object?size=large", True),
        ("https://{domain}/*\\?size=large", "/object?size=small", False),
        ("https://*/object", "/object", True),
        # "A trailing asterisk in the domain section implies an asterisk in both the path and query string sections."
        ("https://*", "/object?size=large", True),
        # "An asterisk by itself matches any URL."
        ("*", "/object", True),
        ("https://d111111abcdef8.cloudfront.net/*", "/object", False),
        # "If you omit the Resource parameter, users can access all of the files associated with any distribution that
        # is associated with the key pair".
        (None, "/object", True),
    ],
)
def test_a_custom_policy_opens_what_its_resource_matches(
    edge: Edge, signer: Signer, resource: str | None, path: str, is_open: bool
) -> None:
    named = resource and resource.format(domain=edge.domain)
    answer = edge.get(path, headers=cookies(signer.custom(policy(named, SOON))))
    assert answer.status_code == (200 if is_open else 403)


@pytest.mark.parametrize(
    ("conditions", "is_open"),
    [
        ({"DateGreaterThan": {"AWS:EpochTime": 1}}, True),
        ({"DateGreaterThan": {"AWS:EpochTime": SOON - 10}}, False),
        ({"IpAddress": {"AWS:SourceIp": "127.0.0.1/32"}}, True),
        ({"IpAddress": {"AWS:SourceIp": "192.0.2.0/24"}}, False),
    ],
)
def test_a_custom_policy_has_conditions(edge: Edge, signer: Signer, conditions: dict[str, Any], is_open: bool) -> None:
    signed = signer.custom(policy(f"https://{edge.domain}/*", SOON, **conditions))
    assert edge.get("/object", headers=cookies(signed)).status_code == (200 if is_open else 403)


def test_the_name_under_localhost_counts_as_the_distributions(edge: Edge, signer: Signer) -> None:
    sent = cookies(signer.custom(policy(f"https://{edge.domain}/*", SOON)))
    local = {"Host": edge.domain.replace(".net", ".localhost:4566")}
    assert edge.get("/object", headers=sent | local).status_code == 200
    assert edge.get("/object", headers=local).status_code == 403


@pytest.mark.parametrize(
    ("spec", "algorithm"), [("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"), ("ECC_NIST_P256", "ECDSA_SHA_256")]
)
def test_a_key_in_kms_signs(cloud: Cloud, spec: str, algorithm: str) -> None:
    kms, cloudfront = cloud.client("kms"), cloud.client("cloudfront")
    key = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    identifier = cloudfront.create_public_key(PublicKeyConfig=public_key_config(public))["PublicKey"]["Id"]
    group = cloudfront.create_key_group(KeyGroupConfig={"Name": unique("group"), "Items": [identifier]})["KeyGroup"]
    edge = Edge(cloud, {"TrustedKeyGroups": {"Enabled": True, "Quantity": 1, "Items": [group["Id"]]}})
    document = policy(f"https://{edge.domain}/*", SOON)
    signature = kms.sign(KeyId=key, Message=document, MessageType="RAW", SigningAlgorithm=algorithm)["Signature"]
    signed = {"Policy": encoded(document), "Signature": encoded(signature), "Key-Pair-Id": identifier}
    assert edge.get("/object", headers=cookies(signed | {"Hash-Algorithm": "SHA256"})).status_code == 200
    assert refusal(edge.get("/object", headers=cookies(signed))) == DENIED


def test_other_requests_are_refused_in_cloudfronts_words(cloud: Cloud, edge: Edge, signer: Signer) -> None:
    good = signer.custom(policy(f"https://{edge.domain}/*", SOON))

    def refused(fields: dict[str, str]) -> tuple[int, str, str]:
        return refusal(edge.get("/object", headers=cookies(fields)))

    missing = (403, "MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
    assert refusal(edge.get("/object")) == missing
    assert refused(good | {"Key-Pair-Id": ""}) == missing
    assert refused(good | {"Key-Pair-Id": "K111111111111"}) == (403, "InvalidKey", "Unknown Key")
    other = Signer(cloud)
    assert refused(other.custom(policy(None, SOON))) == (403, "InvalidKey", "Unknown Key")
    assert refused(other.custom(policy(None, SOON)) | {"Key-Pair-Id": signer.id}) == DENIED
    assert refused(good | {"Policy": encoded(policy("*", SOON))}) == DENIED
    assert refused(good | {"Hash-Algorithm": "MD5"}) == DENIED
    assert refused(good | {"Signature": ""})[1] == "MalformedSignature"
    assert refused(good | {"Signature": "a+b/c="})[1] == "MalformedSignature"
    # aws/aws-sdk-js-v3#4516.
    assert refused(good | {"Policy": "undefined"}) == MALFORMED
    assert refused({"Key-Pair-Id": signer.id, "Signature": good["Signature"]}) == MALFORMED
    # "Do not enclose the value in quotation marks." "You can include only one statement."
    for document in (
        b"{}",
        b"[]",
        b"no JSON",
        policy("*", SOON).replace(str(SOON).encode(), b'"%d"' % SOON),
        policy("*", SOON)[:-2] + b"," + policy("*", SOON)[14:],
        policy("*", SOON).replace(b"DateLessThan", b"DateGreaterThan"),
        policy("*", SOON, IpAddress={"AWS:SourceIp": "::1/128"}),
        policy("*", SOON, UserAgent="any"),
        policy("ftp://*", SOON),
        policy("object", SOON),
    ):
        assert refused(signer.custom(document)) == MALFORMED, document
    # "CloudFront assumes that URLs that contain any of those query string parameters are signed URLs, and therefore
    # won't look at signed cookies."
    assert edge.get("/object", headers=cookies(good)).status_code == 200
    assert refusal(edge.get("/object?Expires=1", headers=cookies(good))) == missing


def test_a_query_added_to_a_signed_url_is_refused(edge: Edge, signer: Signer) -> None:
    # private-content-signed-urls: "If you add a query string to a signed URL after signing it, the URL returns an HTTP
    # 403 status."
    signed = urlencode(signer.canned(f"https://{edge.domain}/object?size=large", SOON))
    assert edge.get(f"/object?size=large&{signed}").status_code == 200
    assert refusal(edge.get(f"/object?size=small&{signed}")) == DENIED
    assert refusal(edge.get(f"/object?{signed}")) == DENIED


def test_a_key_that_is_removed_from_its_group_opens_nothing(cloud: Cloud) -> None:
    signer, cloudfront = Signer(cloud), cloud.client("cloudfront")
    edge = Edge(cloud, signer.behavior)
    sent = cookies(signer.custom(policy(None, SOON)))
    assert edge.get("/object", headers=sent).status_code == 200
    group = cloudfront.get_key_group(Id=signer.group)
    config = group["KeyGroup"]["KeyGroupConfig"] | {"Items": [Signer(cloud).id]}
    cloudfront.update_key_group(Id=signer.group, KeyGroupConfig=config, IfMatch=group["ETag"])
    assert refusal(edge.get("/object", headers=sent)) == (403, "InvalidKey", "Unknown Key")


def test_what_one_reader_left_in_the_cache_is_refused_to_others(cloud: Cloud, signer: Signer) -> None:
    all_cookies = cache_policy(cloud, CookiesConfig={"CookieBehavior": "all"})
    edge = Edge(cloud, signer.behavior | {"CachePolicyId": all_cookies})
    edge.get("/object", headers=cookies(signer.custom(policy(None, SOON))))
    # private-content-signed-cookies: "If you configure your distribution to cache files based on cookies, CloudFront
    # doesn't cache separate files based on the attributes in signed cookies."
    other_reader = cookies(signer.custom(policy(None, SOON + 1)))
    assert edge.cache_result("/object", headers=other_reader) == "Hit from cloudfront"
    for settings in ({}, {"method": "HEAD"}, {"headers": {"Range": "bytes=0-1"}}):
        answer = edge.get("/object", **settings)
        assert answer.status_code == 403
        assert answer.headers["X-Cache"] == "Error from cloudfront"


def test_the_path_is_normalized_before_it_chooses_the_behavior(cloud: Cloud, signer: Signer) -> None:
    # DownloadDistValuesCacheBehavior: "CloudFront normalizes URI paths consistent with RFC 3986 and then matches the
    # path with the correct cache behavior. Once the correct cache behavior is matched, CloudFront sends the raw URI
    # path to the origin."
    open_behavior = {
        "ViewerProtocolPolicy": "redirect-to-https",
        "CachePolicyId": OPTIMIZED,
        "TargetOriginId": "bucket",
    }
    members = {"PathPattern": "/members/*"} | open_behavior | signer.behavior
    edge = Edge(cloud, {}, CacheBehaviors={"Quantity": 1, "Items": [members]})
    edge.put("members/other", b"other")
    for path in ("/members/other", "/%6d%65mbers/other", "/free/%2e%2e/members/other", "/./members/other"):
        assert edge.get_raw(path)[0] == 403, path
    # An escaped slash is another character for CloudFront, and a slash for S3: paid objects need a bucket that no open
    # behavior has.
    assert edge.get_raw("/members%2Fother") == (200, b"other")


@pytest.mark.parametrize("is_custom", [False, True])
def test_botocores_signer_is_understood(cloud: Cloud, edge: Edge, signer: Signer, is_custom: bool) -> None:
    def sign(document: bytes) -> bytes:
        return signer.key.sign(document, padding.PKCS1v15(), hashes.SHA1())

    others, url = CloudFrontSigner(signer.id, sign), f"https://{edge.domain}/object?size=large"
    expires = datetime.fromtimestamp(SOON, timezone.utc)
    if is_custom:
        signed = others.generate_presigned_url(url, policy=others.build_policy("https://*/object*", expires))
    else:
        signed = others.generate_presigned_url(url, date_less_than=expires)
    assert edge.get(signed.removeprefix(f"https://{edge.domain}")).status_code == 200


def test_the_error_page_of_the_distribution_is_shown_to_who_is_refused(cloud: Cloud, signer: Signer) -> None:
    # private-content-signed-cookies: "The error page for the secure portion of the site includes a redirector or a
    # link to a login page."
    page = {"ErrorCode": 403, "ResponsePagePath": "/sign-in", "ResponseCode": "403", "ErrorCachingMinTTL": 0}
    edge = Edge(cloud, signer.behavior, CustomErrorResponses={"Quantity": 1, "Items": [page]})
    edge.put("sign-in", b"Sign in")
    answer = edge.get("/object")
    assert (answer.status_code, answer.text) == (403, "Sign in")
    assert edge.get("/object", headers=cookies(signer.custom(policy(None, SOON)))).text == "0123456789"
