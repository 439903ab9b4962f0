"""Makes calls with the official Python client through DAX_ENDPOINT.

Reads one JSON array of operation and parameters a line, and writes one outcome a line, in the form of clients.js. With
DAX_ADDRESS, the endpoint's name has this address.
"""

import base64
import json
import os
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError


def received(value: Any) -> Any:
    if isinstance(value, list):
        return [received(one) for one in value]
    if isinstance(value, dict):
        if "__bytes" in value:
            return base64.b64decode(value["__bytes"])
        return {name: received(one) for name, one in value.items()}
    return value


def sent(value: Any) -> str:
    return base64.b64encode(value).decode()


def name_endpoint(address: str) -> None:
    resolve, name = socket.getaddrinfo, urlsplit(os.environ["DAX_ENDPOINT"]).hostname
    socket.getaddrinfo = lambda host, *more: resolve(address if host == name else host, *more)


def main() -> None:
    if address := os.environ.get("DAX_ADDRESS"):
        name_endpoint(address)
    client = None
    for line in sys.stdin:
        name, parameters = received(json.loads(line))
        try:
            client = client or AmazonDaxClient(endpoint_url=os.environ["DAX_ENDPOINT"])
            outcome = getattr(client, name)(**parameters)
        except ClientError as error:
            outcome = {"error": error.response["Error"].get("Code"), "message": error.response["Error"].get("Message")}
        except Exception as error:
            outcome = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(outcome, default=sent), flush=True)
    # Its threads go on otherwise.
    os._exit(0)


if __name__ == "__main__":
    main()
