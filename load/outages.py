"""What fails on purpose under load, beside what tests/faults.py has."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from faults import environment, intercepted, kill_function
from stack import Stack

# By its name in the report: a context inside which something fails.
Outages = dict[str, Callable[[], AbstractContextManager[Any]]]

SEED = 8
# The operations that another function has to find either done or not done.
WRITES = ("TransactWriteItems", "PutItem", "UpdateItem", "AdminCreateUser", "AdminSetUserPassword", "outbound-emails")

chance = random.Random(SEED)


def throttled_functions(stack: Stack, functions: list[str]) -> Outages:
    return {
        f"`{function}` is throttled": lambda function=function: throttled(stack, function) for function in functions
    }


def dying_at_writes(stack: Stack, functions: dict[str, tuple[str, ...]], hit: list[str]) -> Outages:
    """For functions with the services that they write to, as the SDKs name them in ``AWS_ENDPOINT_URL_<service>``."""
    return {
        f"`{function}` dies at writes": lambda function=function, services=services: killed_at_writes(
            stack, function, hit, *services
        )
        for function, services in functions.items()
    }


@contextmanager
def throttled(stack: Stack, function: str) -> Iterator[None]:
    """A function may not be executed inside this context."""
    functions, name = stack.client("lambda"), f"{stack.name}-{function}"
    before = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        if before is None:
            functions.delete_function_concurrency(FunctionName=name)
        else:
            functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)


@contextmanager
def killed_at_writes(stack: Stack, function: str, hit: list[str], *services: str) -> Iterator[None]:
    """Kills a function right before or right after some of its writes to these services, inside this context."""

    def survives(operation: str) -> bool:
        met = operation.rpartition("/")[2] in WRITES and chance.random() < 0.1
        if met:
            hit.extend([f"{function}, at a write"] * kill_function(f"{stack.name}-{function}"))
        return not met

    with (
        intercepted(survives, survives) as url,
        environment(stack, function, **{f"AWS_ENDPOINT_URL_{service}": url for service in services}),
    ):
        yield
