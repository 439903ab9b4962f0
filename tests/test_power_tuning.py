"""Power tuning, with answers of Step Functions in the form of AWS Lambda Power Tuning 4.4.0."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import power_tune
import pytest
from botocore.stub import ANY, Stubber
from cfnlint.decode import cfn_yaml

PROJECT = Path(__file__).parent.parent
ARN = "arn:aws:states:us-east-1:123456789012"
TUNER = f"{ARN}:stateMachine:powerTuningStateMachine-1"
EXECUTION = f"{ARN}:execution:powerTuningStateMachine-1:2"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:registrar-dev-some-function"
STATS = [
    {"value": 128, "averagePrice": 2.1e-8, "averageDuration": 9.5},
    {"value": 1769, "averagePrice": 9.4e-8, "averageDuration": 3.1},
    {"value": 256, "averagePrice": 2.0e-8, "averageDuration": 4.2},
]
OUTPUT = {"power": 256, "cost": 2.0e-8, "duration": 4.2, "stateMachine": {"executionCost": 0.0004}, "stats": STATS}


class Tuner:
    """The workflow of Power Tuning, which ends with this output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, output: dict[str, Any]) -> None:
        monkeypatch.setattr(power_tune, "POLL_SECONDS", 0)
        self.client = boto3.client("stepfunctions", region_name="us-east-1")
        self.stub = Stubber(self.client)
        started = {"executionArn": EXECUTION, "startDate": "2026-11-20T10:00:00Z"}
        self.stub.add_response("start_execution", started, {"stateMachineArn": TUNER, "input": ANY})
        execution = {"executionArn": EXECUTION, "stateMachineArn": TUNER, "startDate": "2026-11-20T10:00:00Z"}
        for answer in ({"status": "RUNNING"}, {"status": "SUCCEEDED", "output": json.dumps(output)}):
            self.stub.add_response("describe_execution", execution | answer, {"executionArn": EXECUTION})

    def tune(self) -> dict[str, Any]:
        with self.stub:
            output = power_tune.tune(self.client, TUNER, FUNCTION, {"some": "event"}, "balanced")
        self.stub.assert_no_pending_responses()
        return output


def test_the_figures_and_the_chart_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = Tuner(monkeypatch, OUTPUT).tune()
    results = power_tune.keep(tmp_path / "new", "some-function", "balanced", output)
    assert results == OUTPUT | {"title": "some-function: balanced recommends 256 MB"}
    assert json.loads((tmp_path / "new" / "some-function.json").read_text()) == results
    chart = ElementTree.parse(tmp_path / "new" / "some-function.svg")
    texts = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert results["title"] in texts
    assert [text for text in texts if text in ("128", "256", "1769")] == ["128", "256", "1769"]


def test_a_failure_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error it cleans up and succeeds."""
    tuner = Tuner(monkeypatch, {})
    events = [
        {"id": 9, "timestamp": "2026-11-20T10:01:00Z", "type": "ExecutionSucceeded"},
        {
            "id": 8,
            "timestamp": "2026-11-20T10:00:59Z",
            "type": "LambdaFunctionFailed",
            "lambdaFunctionFailedEventDetails": {"error": "Error", "cause": "Invocation error: Unavailable"},
        },
    ]
    asked = {"executionArn": EXECUTION, "reverseOrder": True}
    tuner.stub.add_response("get_execution_history", {"events": events}, asked)
    with pytest.raises(SystemExit, match="Invocation error: Unavailable"):
        tuner.tune()


def test_the_tuner_may_touch_the_functions_of_one_stack_only() -> None:
    template = cfn_yaml.load(str(PROJECT / "stacks" / "power-tuning" / "template.yaml"))
    assert "Default" not in template["Parameters"]["RootStackName"]
    assert template["Resources"]["PowerTuning"]["Properties"]["Parameters"] == {
        "lambdaResource": {
            "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${RootStackName}-*"
        }
    }
