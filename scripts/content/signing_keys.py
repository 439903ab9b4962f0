"""The keys that sign cookies: two places, A and B, of which one signs.

Their stack knows which; `make rotate-key` changes it.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import boto3
from beside import sam_deploy
from botocore.exceptions import ClientError
from stack import stack_name

PART = "content-keys"
RSA, ELLIPTIC = "RSA_2048", "ECC_NIST_P256"
ALGORITHMS = {RSA: "RSASSA_PKCS1_V1_5_SHA_256", ELLIPTIC: "ECDSA_SHA_256"}


@dataclass
class Keys:
    """Which keys there are, and which one signs."""

    specs: dict[str, str]
    """The kinds of the keys that are trusted, by place."""
    signing: str = "A"


def _stack(root: str) -> dict[str, Any] | None:
    try:
        [stack] = boto3.client("cloudformation").describe_stacks(StackName=stack_name(root, PART))["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None
    return stack


def current(root: str) -> Keys | None:
    """The keys of a deployment; ``None`` before the first one."""
    if not (stack := _stack(root)):
        return None
    values = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}
    places = "AB" if values["TrustsBothKeys"] == "true" else values["Signer"]
    return Keys({place: values[f"KeySpec{place}"] for place in places}, values["Signer"])


def changed(root: str) -> datetime:
    """When the keys were last changed."""
    stack = _stack(root)
    return stack.get("LastUpdatedTime", stack["CreationTime"])


def described(root: str) -> dict[str, Any]:
    """What KMS says of the keys, by place."""
    outputs = {output["OutputKey"]: output["OutputValue"] for output in _stack(root)["Outputs"]}
    return {
        place: boto3.client("kms").describe_key(KeyId=outputs[f"SigningKeyArn{place}"])["KeyMetadata"]
        for place in current(root).specs
    }


def _trust(keys: Keys) -> dict[str, str]:
    """The parameters that both stacks have."""
    return {"TrustsBothKeys": "true" if len(keys.specs) > 1 else "false", "Signer": keys.signing}


def deploy(root: str, environment: str, keys: Keys) -> None:
    """Makes the keys that are trusted; a key that no longer is, can be restored for thirty days."""
    parameters = _trust(keys) | {f"KeySpec{place}": spec for place, spec in keys.specs.items()}
    sam_deploy("stacks/content/keys-template.yaml", root, PART, environment, parameters)


def _lines_of_pem(der: bytes) -> str:
    """The lines of the key in PEM, with | between them: `sam deploy` takes no value with a space or a line's end."""
    text = base64.b64encode(der).decode()
    return "|".join(text[start : start + 64] for start in range(0, len(text), 64))


def parameters(root: str) -> dict[str, str]:
    """What the content's stack needs to know of the keys."""
    keys, known, kms = current(root), described(root), boto3.client("kms")
    signing = known[keys.signing]
    keys_of = {place: kms.get_public_key(KeyId=key["Arn"])["PublicKey"] for place, key in known.items()}
    public = {f"PublicKey{place}": _lines_of_pem(key) for place, key in keys_of.items()}
    return (
        public
        | _trust(keys)
        | {
            "TrustedKeyArns": ",".join(key["Arn"] for key in known.values()),
            "SignerArn": signing["Arn"],
            "SignerAlgorithm": ALGORITHMS[signing["KeySpec"]],
            "SignerCreatedAt": signing["CreationDate"].astimezone(timezone.utc).isoformat(timespec="seconds"),
        }
    )
