"""Imports that did not start."""

from failures import Message, Queue, Source
from stack import Stack


def sources(stack: Stack) -> list[Source]:
    states = stack.client("stepfunctions")

    def start_import(message: Message) -> None:
        states.start_execution(stateMachineArn=stack.outputs["ImportAccountsArn"], input=message["Body"])

    return [Queue("failed imports", stack, "FailedImportsQueueUrl", start_import)]
