"""Prints the settings with which the AWS command line and the SDKs speak to the local cloud."""

from local_cloud import server
from up import running_port

for name, value in server.client_environment(running_port()).items():
    if name.startswith("AWS_"):
        print(f"export {name}={value}")
