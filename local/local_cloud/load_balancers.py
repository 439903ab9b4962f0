"""A load balancer sends requests to healthy targets, in turn.

MiniStack sends each request to any target, and says that all are healthy. Here the health checks of the target group
decide, as Elastic Load Balancing documents them, but many times as often as on AWS. If no target is healthy, each one
gets requests. A target in use by ECS is registered while its container runs.
"""

import http.client
import itertools
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import alb

Target = dict[str, Any]

# How many times as often as on AWS, so that deployments and tests are quick.
FASTER = 50

addresses: dict[str, int] = {}
"""The ports of this machine to which the addresses of tasks lead."""


class _Health:
    """The health of a target: the answers that agree, and what they have led to."""

    def __init__(self) -> None:
        self.state = "initial"
        self._was_good = True
        self._same = 0

    def note(self, is_good: bool, group: Target) -> None:
        self._same = self._same + 1 if is_good == self._was_good else 1
        self._was_good = is_good
        threshold = "HealthyThresholdCount" if is_good else "UnhealthyThresholdCount"
        if self._same >= int(group[threshold]):
            self.state = "healthy" if is_good else "unhealthy"


_health: dict[str, dict[str, _Health]] = {}
_turns = itertools.count()


def _reachable(target: Target, group: Target) -> Target:
    """The target as this machine reaches it."""
    if target["Id"] in addresses:
        return target | {"Id": "127.0.0.1", "Port": addresses[target["Id"]]}
    return target | {"Port": target.get("Port") or group["Port"]}


def _answers(target: Target, group: Target) -> bool:
    there = _reachable(target, group)
    connection = http.client.HTTPConnection(there["Id"], there["Port"], timeout=int(group["HealthCheckTimeoutSeconds"]))
    try:
        connection.request("GET", group["HealthCheckPath"], headers={"User-Agent": "ELB-HealthChecker/2.0"})
        status = connection.getresponse().status
    except OSError:
        return False
    finally:
        connection.close()
    return _matches(str(status), group.get("Matcher", {}).get("HttpCode", "200"))


def _matches(status: str, wanted: str) -> bool:
    """``wanted`` is as in ``200,202`` or ``200-299``."""
    return any(
        first <= status <= (last or first) for first, _, last in (one.partition("-") for one in wanted.split(","))
    )


def _watch(arn: str, account: str, region: str) -> None:
    """Checks the targets of a group as long as it exists."""
    with request_scope(account, region):
        while group := alb._tgs.get(arn):
            targets = list(alb._targets.get(arn, []))
            known = _health[arn]
            for gone in known.keys() - {target["Id"] for target in targets}:
                del known[gone]
            for target in targets:
                known.setdefault(target["Id"], _Health()).note(_answers(target, group), group)
            time.sleep(int(group["HealthCheckIntervalSeconds"]) / FASTER)
    _health.pop(arn, None)


def _ensure_watched(arn: str) -> None:
    if arn not in _health and alb._tgs[arn].get("TargetType") in ("ip", "instance"):
        _health[arn] = {}
        threading.Thread(
            target=_watch, args=(arn, get_account_id(), get_region()), name="health-checks", daemon=True
        ).start()


def _state(arn: str, target: Target) -> str:
    health = _health.get(arn, {}).get(target["Id"])
    return health.state if health else "initial"


def is_healthy(arn: str) -> bool:
    """Whether all targets of a group are healthy."""
    return all(_state(arn, target) == "healthy" for target in alb._targets.get(arn, []))


def _chosen(arn: str) -> Target | None:
    targets = list(alb._targets.get(arn, []))
    healthy = [target for target in targets if _state(arn, target) == "healthy"]
    # "If a target group contains only unhealthy registered targets, the load balancer routes requests to all those
    # targets, regardless of their health status" (Health checks for Application Load Balancer target groups).
    unhealthy = [target for target in targets if _state(arn, target) == "unhealthy"]
    candidates = healthy or unhealthy
    return candidates[next(_turns) % len(candidates)] if candidates else None


def _describe_health(parameters: Any) -> Any:
    arn = alb._p(parameters, "TargetGroupArn")
    if arn not in alb._tgs:
        return alb._error("TargetGroupNotFound", f"Target group '{arn}' not found.")
    wanted = {target["Id"] for target in alb._parse_targets_param(parameters)}
    described = [
        f"<member><Target><Id>{target['Id']}</Id><Port>{target.get('Port') or alb._tgs[arn]['Port']}</Port></Target>"
        f"<TargetHealth><State>{_state(arn, target)}</State></TargetHealth></member>"
        for target in alb._targets.get(arn, [])
        if not wanted or target["Id"] in wanted
    ]
    answer = f"<TargetHealthDescriptions>{''.join(described)}</TargetHealthDescriptions>"
    return alb._xml(200, "DescribeTargetHealth", answer)


def install() -> None:
    forward, set_targets, register = alb._forward_to_tg, alb.set_targets_for_group, alb._register_targets

    async def forward_to_healthy(
        arn: str, method: str, path: str, headers: Any, body: Any, query: Any, *more: Any
    ) -> Any:
        group = alb._tgs.get(arn)
        if not group or group.get("TargetType") not in ("ip", "instance"):
            return await forward(arn, method, path, headers, body, query, *more)
        target = _chosen(arn)
        if target is None:
            return (
                503,
                {"Content-Type": "text/html"},
                b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
            )
        raw_query, raw_path = more
        return await alb._proxy_http_target(
            _reachable(target, group), group, method, raw_path or path, headers, body, query, raw_query
        )

    def set_watched_targets(arn: str, *more: Any) -> bool:
        is_set = set_targets(arn, *more)
        if is_set:
            _ensure_watched(arn)
        return is_set

    def register_watched(parameters: Any) -> Any:
        answer = register(parameters)
        arn = alb._p(parameters, "TargetGroupArn")
        if arn in alb._tgs:
            _ensure_watched(arn)
        return answer

    full_name = alb._target_group_full_name_from_arn
    # targetgroup/<name>/<id> (AWS::ElasticLoadBalancingV2::TargetGroup, Return values).
    alb._target_group_full_name_from_arn = lambda arn: f"targetgroup/{full_name(arn)}"
    alb._forward_to_tg = forward_to_healthy
    alb.set_targets_for_group = set_watched_targets
    alb._ACTION_MAP |= {"RegisterTargets": register_watched, "DescribeTargetHealth": _describe_health}
