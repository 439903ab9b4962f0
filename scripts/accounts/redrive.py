"""Requests for accounts that failed."""

from failures import Message, Queue, Source
from stack import Stack


def sources(stack: Stack) -> list[Source]:
    sqs = stack.client("sqs")

    def request_account(message: Message) -> None:
        sqs.send_message(QueueUrl=stack.outputs["AccountRequestsQueueUrl"], MessageBody=message["Body"])

    return [Queue("failed account requests", stack, "FailedAccountRequestsQueueUrl", request_account)]
