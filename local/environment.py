"""Prints the settings with which the AWS command line and the SDKs speak to the local cloud."""

import sys

from cloud import server
from up import DIRECTORY

port = server.find(DIRECTORY)
if port is None:
    sys.exit("The local cloud is not running: make up")
for name, value in server.client_environment(port).items():
    if name.startswith("AWS_"):
        print(f"export {name}={value}")
