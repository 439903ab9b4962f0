"""The public parameters that name the layer of an extension."""

import pytest
from running_cloud import REGION, Cloud


@pytest.mark.parametrize("processor", ["x86", "arm64"])
def test_a_stack_finds_the_layer_of_the_parameters_and_secrets_extension(cloud: Cloud, processor: str) -> None:
    name = f"/aws/service/aws-parameters-and-secrets-lambda-extension/{processor}/latest"
    parameter = cloud.client("ssm").get_parameter(Name=name)["Parameter"]
    # Using Parameter Store parameters in AWS Lambda functions, "AWS Parameters and Secrets Lambda Extension ARNs".
    layer = f"arn:aws:lambda:{REGION}:177933569100:layer:AWS-Parameters-and-Secrets-Lambda-Extension"
    assert parameter["Value"].startswith(layer)
