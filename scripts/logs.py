"""Follows the logs of an environment's functions."""

import contextlib
import subprocess
import sys

from stack import of_environment

stack = of_environment(sys.argv[1])
with contextlib.suppress(KeyboardInterrupt):
    sys.exit(subprocess.run(["sam", "logs", "--stack-name", stack.name, "--tail"], check=False).returncode)
