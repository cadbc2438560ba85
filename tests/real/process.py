"""Starting a server of somebody else's and stopping it again, by its process id."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 20
STOP_SECONDS = 10


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def running(command: Sequence[str | Path], *, port: int, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run `command` until the block ends; the block starts when 127.0.0.1:`port` answers. What it prints goes to `log`.

    Its environment is that of the tests where none is given.

    Raises RuntimeError, with the path of the log and its last lines, when the process ends early or never listens.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environ)
    try:
        _wait_until_it_listens(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise RuntimeError(f"Nothing listens on 127.0.0.1:{port}. The log is {log} and ends in:\n{last_lines}")
