"""Whether the policy of a resource lets a service of AWS use it on behalf of another resource."""

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_region
from ministack.services import lambda_svc


def permits(policy: str | None, service: str, action: str, resource_arn: str, source_arn: str) -> bool:
    """``source_arn`` is what the service acts for, such as a rule or a distribution."""
    *_, region, account, _ = source_arn.split(":", 5)
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action=action,
        resource_arn=resource_arn,
        # A distribution is in no region.
        region=region or get_region(),
        secure_transport=True,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": account},
    )
    return evaluate_resource_policy(policy or "{}", context, service).decision == "Allow"


def permits_invocation(function_arn: str, service: str, source_arn: str) -> bool:
    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    policy = function and function.get("policy")
    return permits(policy, service, "lambda:InvokeFunction", function_arn, source_arn)
