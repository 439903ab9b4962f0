"""The keys that sign cookies: two places, A and B, of which one signs. `make rotate-key` changes them."""

import base64
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import boto3
from beside import sam_deploy
from botocore.exceptions import ClientError
from stack import Stack, stack_name

PART = "content-keys"
RSA, ELLIPTIC = "RSA_2048", "ECC_NIST_P256"
ALGORITHMS = {RSA: "RSASSA_PKCS1_V1_5_SHA_256", ELLIPTIC: "ECDSA_SHA_256"}


@dataclass
class Keys:
    """Which keys there are, and which one signs."""

    specs: dict[str, str]
    """The kinds of the keys, by place."""
    signer: str


def _stack(name: str) -> dict[str, Any] | None:
    try:
        [stack] = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None
    return stack


def _parameters_of(stack: dict[str, Any]) -> dict[str, str]:
    return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}


def current(root: str) -> Keys | None:
    """The keys of a deployment; ``None`` before the first one."""
    if not (stack := _stack(stack_name(root, PART))):
        return None
    given, content = _parameters_of(stack), _stack(stack_name(root, "content"))
    # The content's stack may have been deleted since, or not deployed yet.
    signer = _parameters_of(content)["Signer"] if content else given["Keys"][0]
    return Keys({place: given[f"KeySpec{place}"] for place in given["Keys"]}, signer)


def changed(root: str) -> datetime:
    """When the content's stack, which trusts the keys, was last changed."""
    stack = _stack(stack_name(root, "content"))
    return stack.get("LastUpdatedTime", stack["CreationTime"])


def described(root: str) -> dict[str, Any]:
    """What KMS says of the keys, by place."""
    kms, prefix = boto3.client("kms"), "SigningKeyArn"
    return {
        name.removeprefix(prefix): kms.describe_key(KeyId=arn)["KeyMetadata"]
        for name, arn in Stack(stack_name(root, PART)).outputs.items()
        if name.startswith(prefix)
    }


def deploy(root: str, environment: str, keys: Keys) -> None:
    """Makes these keys, and deletes others: KMS can restore them for thirty days."""
    parameters = {"Keys": "".join(sorted(keys.specs))} | {f"KeySpec{place}": spec for place, spec in keys.specs.items()}
    sam_deploy("stacks/content/keys-template.yaml", root, PART, environment, parameters)


def _lines_of_pem(der: bytes) -> str:
    """The lines of the key in PEM, with | between them: `sam deploy` takes no value with a space or a line's end."""
    text = base64.b64encode(der).decode()
    return "|".join(text[start : start + 64] for start in range(0, len(text), 64))


def parameters(root: str, signer: str) -> dict[str, str]:
    """What the content's stack needs to know of the keys, if this one signs."""
    known, kms = described(root), boto3.client("kms")
    public = {place: kms.get_public_key(KeyId=key["Arn"])["PublicKey"] for place, key in known.items()}
    signing = known[signer]
    return {f"PublicKey{place}": _lines_of_pem(key) for place, key in public.items()} | {
        "TrustsBothKeys": "true" if len(known) > 1 else "false",
        "TrustedKeyArns": ",".join(key["Arn"] for key in known.values()),
        "Signer": signer,
        "SignerArn": signing["Arn"],
        "SignerAlgorithm": ALGORITHMS[signing["KeySpec"]],
        "SignerCreatedAt": signing["CreationDate"].astimezone(timezone.utc).isoformat(timespec="seconds"),
    }
