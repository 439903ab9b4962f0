"""A trace goes through the services of the local cloud as through those of AWS."""

import json
from typing import Any

from running_cloud import Cloud
from trace_collector import Collector

TRACE_ID = "5759e988bd862e3fe1be46a994272793"
PARENT_ID = "53995c3f42cd8ad8"
HEADER = f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]};Parent={PARENT_ID};Sampled=1"
TELL_HEADER = "import os\n\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"


def test_a_function_of_a_workflow_continues_the_trace_of_its_caller(cloud: Cloud, collector: Collector) -> None:
    """X-Ray "uses trace headers": each service sends on the header with its own segment as the parent."""
    role = cloud.create_role("traced", "states.amazonaws.com")
    function = cloud.create_function(
        "tell-header", cloud.create_role("tell-header", "lambda.amazonaws.com"), TELL_HEADER
    )
    cloud.allow("traced", "lambda:InvokeFunction", function)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function},
        "Output": "{% $states.result.Payload %}",
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Tell", "States": {"Tell": task}}
    client = cloud.client("stepfunctions")
    arn = client.create_state_machine(name="traced", type="EXPRESS", roleArn=role, definition=json.dumps(definition))[
        "stateMachineArn"
    ]

    def add_header(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["X-Amzn-Trace-Id"] = HEADER

    client.meta.events.register("before-call.stepfunctions.StartSyncExecution", add_header, unique_id="trace")
    try:
        answer = client.start_sync_execution(stateMachineArn=arn)
    finally:
        client.meta.events.unregister("before-call.stepfunctions.StartSyncExecution", unique_id="trace")
    assert answer["status"] == "SUCCEEDED", answer
    execution, state = collector.named("traced"), collector.named("Tell")
    assert (execution.trace_id.hex(), execution.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert state.parent_span_id == execution.span_id
    assert json.loads(answer["output"]) == HEADER.replace(PARENT_ID, state.span_id.hex())
