"""The local cloud renders mapping templates as Apache Velocity does, the engine behind API Gateway."""

import json
from pathlib import Path

import apache_velocity
import mapping_cases
import pytest

engine = pytest.importorskip("local_cloud.mapping_template", reason="needs local/")

RECORDED = Path(__file__).parent.parent / "local/tests/velocity.json"


def test_the_project_s_templates_are_rendered_as_velocity_renders_them() -> None:
    for case, velocity in mapping_cases.rendered():
        rendered = engine.render(case.template, case.body, engine.Parameters(**case.parameters), case.context, {})
        assert (rendered.status, rendered.headers) == (velocity["status"], velocity["headers"])
        assert case.read(rendered.text) == case.read(velocity["text"]), case.template


def test_the_recorded_answers_are_velocity_s() -> None:
    recorded = json.loads(RECORDED.read_text())
    given = {"body": "", "parameters": {}, "context": {"requestId": "r-1"}, "stage_variables": {}, "missing": ""}
    answers = apache_velocity.render([given | {"template": case["template"]} for case in recorded])
    assert [None if "error" in answer else answer for answer in answers] == [case["rendered"] for case in recorded]
