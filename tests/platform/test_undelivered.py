"""If a rule can't deliver an event, the event is in the queue of failed deliveries, complete."""

import json
import uuid

import queues
from stack import Stack


def test_an_event_that_its_target_refuses_is_in_the_queue_of_failed_deliveries(stack: Stack, local_cloud: None) -> None:
    events, sqs, name = stack.client("events"), stack.client("sqs"), f"refused-{uuid.uuid4()}"
    arns = [
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        # The first queue has no policy, so no rule may send to it.
        for url in (sqs.create_queue(QueueName=name)["QueueUrl"], stack.outputs["FailedDeliveriesQueueUrl"])
    ]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    target = {"Id": "queue", "Arn": arns[0], "DeadLetterConfig": {"Arn": arns[1]}}
    events.put_targets(Rule=name, Targets=[target])
    events.put_events(Entries=[{"Source": name, "DetailType": "Refused", "Detail": '{"number": 1}'}])
    event = queues.wait_for(
        stack,
        "FailedDeliveriesQueueUrl",
        lambda event, attributes: event.get("source") == name,
        "the event is in the queue of failed deliveries",
    )
    assert event["detail"] == {"number": 1}
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])
