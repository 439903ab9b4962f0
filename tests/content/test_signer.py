"""The cookies of `open-session` are those that AWS's own library signs with the same key."""

import base64
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from deployed_content import Content
from rooms import PROJECT, Room
from verifiers import HERE, Driven

EVENT = json.loads((PROJECT / "events/content/open-session.json").read_text())
STUDENT = EVENT["requestContext"]["authorizer"]["jwt"]["claims"]["custom:student_id"]
ALGORITHMS = {"RSA_2048": "RSASSA_PKCS1_V1_5_SHA_256", "ECC_NIST_P256": "ECDSA_SHA_256"}
PUBLIC_KEY_ID = "K2JCJMDEHXQW5F"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

pytestmark = pytest.mark.usefixtures("local_cloud")


@pytest.fixture(scope="module")
def library(peers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """The library @aws-sdk/cloudfront-signer."""
    driven = Driven(tmp_path_factory.mktemp("signer") / "log", HERE / "cloudfront-signer.mjs")
    yield driven
    driven.stop()


def encoded(key: PrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def imported(kms: Any, key: PrivateKey, spec: str) -> str:
    """The ARN of a key in KMS that is this one."""
    made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")["KeyMetadata"]
    wrapping = "RSA_AES_KEY_WRAP_SHA_256"
    given = kms.get_parameters_for_import(KeyId=made["KeyId"], WrappingAlgorithm=wrapping, WrappingKeySpec="RSA_4096")
    wrapper = serialization.load_der_public_key(given["PublicKey"])
    ephemeral = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    material = keywrap.aes_key_wrap_with_padding(ephemeral, encoded(key, serialization.Encoding.DER))
    kms.import_key_material(
        KeyId=made["KeyId"],
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrapper.encrypt(ephemeral, oaep) + material,
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    return made["Arn"]


@contextmanager
def signing_with(content: Content, key: str, spec: str) -> Iterator[str]:
    """The name of a function like `open-session`, which signs with this key."""
    functions, iam, ssm = (content.stack.client(name) for name in ("lambda", "iam", "ssm"))
    original = functions.get_function_configuration(FunctionName=f"{content.root.name}-open-session")
    settings = json.loads(
        ssm.get_parameter(Name=original["Environment"]["Variables"]["SETTINGS_PARAMETER"])["Parameter"]["Value"]
    ) | {"signing_key": key, "signing_algorithm": ALGORITHMS[spec], "public_key_id": PUBLIC_KEY_ID}
    name = f"{content.root.name}-signer"
    ssm.put_parameter(Name=f"/{name}", Value=json.dumps(settings), Type="String", Overwrite=True)
    policy = {"RoleName": original["Role"].rpartition("/")[2], "PolicyName": name}
    statement = {"Effect": "Allow", "Action": ["kms:Sign", "ssm:GetParameter"], "Resource": "*"}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as package:
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        package.writestr(bootstrap, Room("content").bootstrap("OpenSession").read_bytes())
    functions.create_function(
        FunctionName=name,
        Runtime=original["Runtime"],
        Handler="bootstrap",
        Role=original["Role"],
        Code={"ZipFile": code.getvalue()},
        Layers=[layer["Arn"] for layer in original.get("Layers", [])],
        Environment={"Variables": original["Environment"]["Variables"] | {"SETTINGS_PARAMETER": f"/{name}"}},
        Timeout=10,
    )
    try:
        yield name
    finally:
        functions.delete_function(FunctionName=name)
        iam.delete_role_policy(**policy)
        ssm.delete_parameter(Name=f"/{name}")


@pytest.mark.parametrize("spec", ALGORITHMS)
def test_the_cookies_are_those_of_the_library(content: Content, library: Driven, spec: str) -> None:
    key = rsa.generate_private_key(65537, 2048) if spec == "RSA_2048" else ec.generate_private_key(ec.SECP256R1())
    content.pay(STUDENT)
    with signing_with(content, imported(content.stack.client("kms"), key, spec), spec) as function:
        answer = json.load(
            content.stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(EVENT))["Payload"]
        )
    assert answer["statusCode"] == 200, answer
    ours = dict(cookie.partition(";")[0].split("=", 1) for cookie in answer["cookies"])
    options = {
        "url": content.url,
        "policy": decoded(ours["CloudFront-Policy"]).decode(),
        "keyPairId": PUBLIC_KEY_ID,
        "privateKey": encoded(key, serialization.Encoding.PEM).decode(),
        "algorithm": "SHA256",
    }
    theirs, _ = library(options)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        # Each signature of such a key is another one.
        for cookies in (ours, theirs):
            signature = decoded(cookies.pop("CloudFront-Signature"))
            key.public_key().verify(signature, options["policy"].encode(), ec.ECDSA(hashes.SHA256()))
    assert ours == theirs
    # The policy is also spelled as the library spells one.
    resource, ends = json.loads(options["policy"])["Statement"][0].values()
    seconds = ends["DateLessThan"]["AWS:EpochTime"]
    spelled = json.dumps(
        {"Statement": [{"Resource": resource, "Condition": {"DateLessThan": {"AWS:EpochTime": seconds}}}]},
        separators=(",", ":"),
    )
    assert options["policy"] == spelled


def decoded(value: str) -> bytes:
    return base64.b64decode(value.translate(str.maketrans("-_~", "+=/")))
