"""A stack can create an alarm on metric math. It has no data: MiniStack evaluates alarms on single metrics."""

from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]

_put_other_alarm = provisioners._cw_metric_alarm_put


def _put(name: str, properties: Properties) -> Any:
    if "Metrics" not in properties:
        return _put_other_alarm(name, properties)
    # "Exactly one … should return data" (API_PutMetricAlarm, Metrics).
    returned = [metric for metric in properties["Metrics"] if metric.get("ReturnData", True) in (True, "true")]
    if len(returned) != 1:
        raise ValueError("Exactly one element of the metrics list should return data")
    others = {key: value for key, value in properties.items() if key != "Metrics"}
    # No metric has this namespace.
    single = {"Namespace": "Metrics", "MetricName": returned[0]["Id"], "Statistic": "Average", "Period": 60}
    created = _put_other_alarm(name, others | single)
    cloudwatch._alarms[name]["Metrics"] = properties["Metrics"]
    return created


def install() -> None:
    provisioners._cw_metric_alarm_put = _put
