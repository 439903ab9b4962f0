"""Names that are unique in an account, across its regions: a stack can't create a second resource of that name.

MiniStack returns the existing origin access control or policy, and keeps the dashboards of each region apart.
"""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import AccountScopedDict
from ministack.services import cloudfront, cloudwatch
from ministack.services.cloudformation import provisioners

Create = Callable[[str, dict[str, Any], str], tuple[str, dict[str, str]]]


def _access_controls() -> list[str]:
    return [control["Name"] for control in cloudfront._oacs.values()]


def _header_policies() -> list[str]:
    return [policy["Config"]["Name"] for policy in cloudfront._response_headers_policies.values()]


def _dashboards() -> list[str]:
    return list(cloudwatch._dashboards)


def _refusing(kind: str, config: str | None, field: str, taken: Callable[[], list[str]], refusal: str) -> Create:
    create = provisioners._RESOURCE_HANDLERS[kind]["create"]

    def _create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        name = (properties[config] if config else properties).get(field)
        if name in taken():
            raise ValueError(refusal.format(kind=kind, name=name))
        return create(logical_id, properties, stack_name)

    return _create


EXISTS = "Resource of type '{kind}' with identifier '{name}' already exists."
POLICY_EXISTS = (
    "Resource of type '{kind}' with identifier 'Another response headers policy with the same name already exists "
    "within the aws account.' already exists."
)
NAMES = [
    ("AWS::CloudFront::OriginAccessControl", "OriginAccessControlConfig", "Name", _access_controls, EXISTS),
    ("AWS::CloudFront::ResponseHeadersPolicy", "ResponseHeadersPolicyConfig", "Name", _header_policies, POLICY_EXISTS),
    ("AWS::CloudWatch::Dashboard", None, "DashboardName", _dashboards, "Dashboard '{name}' already exists"),
]


def install() -> None:
    cloudwatch._dashboards = AccountScopedDict()
    for kind, *rest in NAMES:
        provisioners._RESOURCE_HANDLERS[kind]["create"] = _refusing(kind, *rest)
