"""The failed batches of the entitlements' stream, its quarantined records, and payments that could not be recorded."""

from failures import Message, Queue, Source
from stack import Stack
from stream_failures import Functions, Objects, dismissal, event_of, failed_batch, quarantined_run

BATCHES = "failed batches of entitlements"
FUNCTION = "ArchiveEntitlementsFunctionName"
FAILED = "FailedEntitlementBatchesBucketName"


def sources(root: Stack) -> list[Source]:
    if not (stack := root.beside("content")):
        return []
    functions = Functions(stack)

    def record(message: Message) -> None:
        functions.invoke(stack.outputs["RecordEntitlementFunctionName"], event_of(message))

    return [
        Objects(BATCHES, stack, functions, FUNCTION, FAILED, "", failed_batch),
        Objects(
            "quarantined entitlements",
            stack,
            functions,
            FUNCTION,
            "EntitlementsArchiveBucketName",
            "quarantine/",
            quarantined_run,
            waits_for=BATCHES,
        ),
        Queue(
            "notices of failed batches of entitlements",
            stack,
            "FailedEntitlementBatchesQueueUrl",
            dismissal(stack, FAILED),
        ),
        Queue("failed payments", stack, "FailedPaymentsQueueUrl", record),
    ]
