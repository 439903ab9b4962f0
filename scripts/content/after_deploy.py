"""Deploys the distribution's alarms, where CloudFront writes its metrics."""

from beside import sam_deploy
from stack import Stack, stack_name

REGION = "us-east-1"


def after_deploy(root: str, environment: str, parameters: dict[str, str]) -> None:
    distribution = Stack(stack_name(root, "content")).outputs["ContentDistributionId"]
    given = parameters | {"DistributionId": distribution}
    sam_deploy("stacks/content/alarms-template.yaml", root, "content-alarms", environment, given, REGION)
