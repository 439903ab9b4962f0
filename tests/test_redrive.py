"""`make redrive` for all rooms."""

import room_modules
from failures import Queue
from rooms import DEPLOYED, PROJECT
from stack import Stack


def test_no_dead_letter_queue_is_forgotten(stack: Stack) -> None:
    rooms = room_modules.load(PROJECT / "scripts", "redrive").values()
    sources = [source for room in rooms for source in room.sources(stack)]
    outputs = {source.output for source in sources if isinstance(source, Queue)}
    queues = [name for room in DEPLOYED for name in room.of_type("AWS::SQS::Queue") if name.startswith("Failed")]
    assert outputs == {f"{queue}Url" for queue in queues}
