"""A local cloud as a test speaks to it."""

import time
from collections.abc import Callable
from typing import Any

import boto3
from cloud import server

ACCESS_KEY_ID = server.CREDENTIALS["AWS_ACCESS_KEY_ID"]
SECRET_ACCESS_KEY = server.CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
REGION = server.CREDENTIALS["AWS_DEFAULT_REGION"]


class Cloud:
    """A running local cloud."""

    def __init__(self, port: int) -> None:
        self.endpoint_url = f"http://{server.HOST}:{port}"
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client of the account's root user."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=REGION,
                aws_access_key_id=ACCESS_KEY_ID,
                aws_secret_access_key=SECRET_ACCESS_KEY,
            )
        return self._clients[service]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.05)
