"""Follows the logs of an environment's functions."""

import contextlib
import os
import subprocess
import sys

environment = sys.argv[1]
if environment == "local":
    from cloud import server
    from up import running_port

    os.environ.update(server.client_environment(running_port()))
with contextlib.suppress(KeyboardInterrupt):
    subprocess.run(["sam", "logs", "--stack-name", f"registrar-{environment}", "--tail"], check=False)
