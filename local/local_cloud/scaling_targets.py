"""Application Auto Scaling of ECS services: a stack's targets and policies are checked.

MiniStack has no Application Auto Scaling. Here a service gets as many tasks as its target says at least, and no more
than it says at most. Its metrics change nothing.
"""

from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid
from ministack.services import alb, ecs
from ministack.services.cloudformation import provisioners

from local_cloud import worker_thread

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]

_DIMENSION = "ecs:service:DesiredCount"
_targets = AccountRegionScopedDict()
_policies = AccountRegionScopedDict()


def _put_target(properties: Properties) -> Created:
    resource, dimension, namespace = (
        properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace")
    )
    if (namespace, dimension) != ("ecs", _DIMENSION):
        raise ValueError(f"The local cloud scales the dimension {_DIMENSION} only")
    least, most = int(properties["MinCapacity"]), int(properties["MaxCapacity"])
    if least > most:
        raise ValueError("Maximum capacity cannot be less than minimum capacity")
    kind, _, key = resource.partition("/")
    if kind != "service" or ecs._services.get(key, {}).get("status") != "ACTIVE":
        raise ValueError(f"ECS service doesn't exist: {resource}")
    # API_RegisterScalableTarget, MinCapacity and MaxCapacity.
    service = ecs._services[key]
    wanted = min(max(service["desiredCount"], least), most)
    if wanted != service["desiredCount"]:
        cluster, name = key.split("/")
        ecs._update_service({"cluster": cluster, "service": name, "desiredCount": wanted})
    identifier = f"{resource}|{dimension}|{namespace}"
    _targets[identifier] = properties
    return identifier, {"Id": identifier}


def _create_target(logical_id: str, properties: Properties, stack_name: str) -> Created:
    return _put_target(properties)


def _update_target(identifier: str, old: Properties, new: Properties, stack_name: str) -> Created:
    return _put_target(new)


def _delete_target(identifier: str, properties: Properties) -> None:
    _targets.pop(identifier, None)


def _put_policy(arn: str, properties: Properties) -> Created:
    if properties["ScalingTargetId"] not in _targets:
        raise ValueError(f"No scalable target found for {properties['ScalingTargetId']}")
    if properties["PolicyType"] != "TargetTrackingScaling":
        raise ValueError("The local cloud has policies of the type TargetTrackingScaling only")
    configuration = properties["TargetTrackingScalingPolicyConfiguration"]
    if float(configuration["TargetValue"]) <= 0:
        raise ValueError("TargetValue must be greater than 0")
    metric = configuration.get("PredefinedMetricSpecification", {})
    if metric.get("PredefinedMetricType") == "ALBRequestCountPerTarget":
        # app/<load balancer>/<id>/targetgroup/<target group>/<id> (API_PredefinedMetricSpecification).
        balancers = {alb._elbv2_resource_tail(known, "loadbalancer/") for known in alb._lbs}
        groups = {alb._target_group_full_name_from_arn(known) for known in alb._tgs}
        if metric.get("ResourceLabel") not in {f"{balancer}/{group}" for balancer in balancers for group in groups}:
            raise ValueError(f"Invalid resource label: {metric.get('ResourceLabel')}")
    _policies[arn] = properties
    return arn, {"Arn": arn}


def _create_policy(logical_id: str, properties: Properties, stack_name: str) -> Created:
    region, account = get_region(), get_account_id()
    resource = properties["ScalingTargetId"].partition("|")[0]
    return _put_policy(
        f"arn:aws:autoscaling:{region}:{account}:scalingPolicy:{new_uuid()}:resource/ecs/{resource}:"
        f"policyName/{properties['PolicyName']}",
        properties,
    )


def _update_policy(arn: str, old: Properties, new: Properties, stack_name: str) -> Created:
    return _put_policy(arn, new)


def _delete_policy(arn: str, properties: Properties) -> None:
    _policies.pop(arn, None)


def install() -> None:
    worker_thread.provision("AWS::ApplicationAutoScaling::ScalableTarget")
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::ApplicationAutoScaling::ScalableTarget"] = {
        "create": _create_target,
        "update": _update_target,
        "delete": _delete_target,
    }
    handlers["AWS::ApplicationAutoScaling::ScalingPolicy"] = {
        "create": _create_policy,
        "update": _update_policy,
        "delete": _delete_policy,
    }
