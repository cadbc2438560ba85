"""A crash of a server that is many processes: all of them end at once, and none is told."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

_PROC = Path("/proc")


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process and its children; returns when none of them runs any more, so that what they shared is free."""
    if process.poll() is not None:
        return
    # Stopped, it starts no more of them and reaps none: a number that is listed is nobody else's until the end.
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    started = children(process.pid)
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    while started & _alive().keys():
        time.sleep(0.005)
    process.kill()
    process.wait()


def children(parent: int) -> set[int]:
    """The processes that it has started and that run."""
    return {child for child, its_parent in _alive().items() if its_parent == parent}


def _alive() -> dict[int, int]:
    """All processes that are not dead already, with the parent of each."""
    if (_PROC / "self/stat").exists():
        lines = []
        for stat in _PROC.glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # The name, in brackets, may have anything in it. What follows is the state and the parent (proc(5)).
                state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
                lines.append((stat.parent.name, parent, state))
    else:
        said = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout  # noqa: S607
        lines = [(pid, parent, state) for pid, parent, state in map(str.split, said.splitlines())]
    return {int(pid): int(parent) for pid, parent, state in lines if not state.startswith(("Z", "X"))}
