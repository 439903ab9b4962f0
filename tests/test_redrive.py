"""`make redrive` for all rooms."""

import room_modules
from deployed import physical_ids
from failures import Queue
from rooms import DEPLOYED, PROJECT, ROOMS
from stack import Stack


def test_no_dead_letter_queue_is_forgotten(stack: Stack) -> None:
    modules = room_modules.load(PROJECT / "scripts", "redrive").values()
    sources = [source for module in modules for source in module.sources(stack)]
    sent = {source.stack.outputs[source.output] for source in sources if isinstance(source, Queue)}
    # A stack beside the root may not be deployed.
    rooms = [room for room in ROOMS if room in DEPLOYED or stack.beside(room.name)]
    queues = [(room, name) for room in rooms for name in room.of_type("AWS::SQS::Queue") if name.startswith("Failed")]
    assert sent == {physical_ids(stack, room.name)[name] for room, name in queues}
