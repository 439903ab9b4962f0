"""Follows the logs of an environment's functions."""

import contextlib
import os
import subprocess
import sys

environment = sys.argv[1]
if environment == "local":
    from cloud import server
    from up import DIRECTORY

    port = server.find(DIRECTORY)
    if port is None:
        sys.exit("The local cloud is not running: make up")
    os.environ.update(server.client_environment(port))
with contextlib.suppress(KeyboardInterrupt):
    subprocess.run(["sam", "logs", "--stack-name", f"registrar-{environment}", "--tail"], check=False)
