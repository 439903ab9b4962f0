"""The schedules that could not start the workflow."""

from failures import Message, Queue, Source
from stack import Stack


def sources(root: Stack) -> list[Source]:
    if not (stack := root.beside("insights")):
        return []
    workflows = stack.client("stepfunctions")

    def start(message: Message) -> None:
        # By its own name, a message that is sent twice starts one execution.
        workflows.start_execution(
            stateMachineArn=stack.outputs["MakeInsightsArn"], name=message["MessageId"], input="{}"
        )

    return [Queue("failed schedules of insights", stack, "FailedSchedulesQueueUrl", start)]
