"""The public parameters of Systems Manager that name the layer of the Parameters and Secrets Extension.

A function with this layer has no extension here; MiniStack takes the layer of another account and ignores it.
"""

from typing import Any

from ministack.core.responses import get_region
from ministack.services import ssm

_PREFIX = "/aws/service/aws-parameters-and-secrets-lambda-extension"
# "AWS Parameters and Secrets Lambda Extension ARNs" (Systems Manager User Guide), in us-east-1.
_LAYERS = {
    f"{_PREFIX}/x86/latest": "AWS-Parameters-and-Secrets-Lambda-Extension:12",
    f"{_PREFIX}/arm64/latest": "AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:12",
}


def install() -> None:
    other_parameter = ssm._public_parameter

    def parameter(name: str) -> dict[str, Any] | None:
        if name not in _LAYERS:
            return other_parameter(name)
        region = get_region()
        return {
            "Name": name,
            "Type": "String",
            "Value": f"arn:aws:lambda:{region}:177933569100:layer:{_LAYERS[name]}",
            "Version": 1,
            "LastModifiedDate": 1728518400,
            "ARN": f"arn:aws:ssm:{region}::parameter{name}",
        }

    ssm._public_parameter = parameter
