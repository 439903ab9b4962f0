"""Resources whose creation waits for something: a stack creates them on a worker thread."""

from ministack.services.cloudformation import stacks


def provision(*kinds: str) -> None:
    """Makes stacks create, update and delete resources of these kinds on a worker thread."""
    others = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda kind: kind in kinds or others(kind)
