"""The failed batches of the stream, the quarantined records, and the failed audits."""

from failures import Message, Queue, Source
from stack import Stack
from stream_failures import Functions, Objects, dismissal, event_of, failed_batch, quarantined_run

BATCHES = "failed batches"
FUNCTION = "ArchiveAppointmentsFunctionName"


def sources(stack: Stack) -> list[Source]:
    functions = Functions(stack)

    def audit(message: Message) -> None:
        functions.invoke(stack.outputs["AuditArchiveFunctionName"], event_of(message))

    return [
        Objects(BATCHES, stack, functions, FUNCTION, "FailedBatchesBucketName", "", failed_batch),
        Objects(
            "quarantined records",
            stack,
            functions,
            FUNCTION,
            "ArchiveBucketName",
            "quarantine/",
            quarantined_run,
            waits_for=BATCHES,
        ),
        Queue("notices of failed batches", stack, "FailedBatchesQueueUrl", dismissal(stack, "FailedBatchesBucketName")),
        Queue("failed audits", stack, "FailedAuditsQueueUrl", audit),
    ]
