"""Makes the keys that sign cookies, and deploys the edge function if it decides."""

import lambda_edge
import signing_keys
from signing_keys import Keys


def before_deploy(root: str, environment: str, parameters: dict[str, str]) -> dict[str, str]:
    """The parameters that a deployment of the stack needs besides those that are given: keys, and the edge function."""
    keys = signing_keys.current(root)
    if not keys:
        keys = Keys({"A": parameters.get("KeySpec", signing_keys.RSA)}, signer="A")
        signing_keys.deploy(root, environment, keys)
    made = signing_keys.parameters(root, parameters.get("Signer", keys.signer))
    if parameters.get("Access") == "edge":
        made["AdmitReaderVersionArn"] = lambda_edge.deploy(root, environment)
    return made
