"""Processes that end with the one that started them, also when that is killed."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

# A shell starts the command and tells its process id. When its standard input ends, which it does with the process that
# started the shell, it sends the command a signal. It ends with the command's status.
_GUARD = """
signal=$1; shift
exec 3<&0
"$@" >&2 </dev/null 3<&- &
child=$!
trap '' TERM INT HUP
(read -r _; kill -$signal $child; kill -CONT $child) <&3 >&2 &
watch=$!
echo $child
exec >&2
wait $child; status=$?
kill -KILL $watch
exit $status
"""


class Process:
    """A running command."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        environment: dict[str, str] | None = None,
        ends_with: str = "TERM",
        user: int | None = None,
    ) -> None:
        """Starts the command; its output is appended to the log.

        ``ends_with`` is the signal that asks it to end. With ``user``, it runs as that user and group.
        """
        others: dict[str, object] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", ends_with, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                **others,
            )
        self.log = log
        self.id = int(self._guard.stdout.readline())

    @property
    def status(self) -> int | None:
        """The exit status, with 128 added to the number of a signal; ``None`` while the command runs."""
        return self._guard.poll()

    def _send(self, number: signal.Signals) -> None:
        """Sends the command and its children a signal."""
        if self.status is not None:
            return
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listed.splitlines()]
        for process in (self.id, *(int(child) for child, parent in pairs if int(parent) == self.id)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def freeze(self) -> None:
        """Stops its execution until ``thaw``; connections to it stay open and get no answer."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        self._guard.wait()

    def stop(self, seconds: float = 10) -> None:
        """Asks the command to end, and kills it if it has not ended in time."""
        self._guard.stdin.close()
        try:
            self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
