"""Starting and stopping the control plane as people do: the command `serve`, in a process of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.process import free_port

START_SECONDS = 20
STOP_SECONDS = 10

PROGRAM = ("-m", "webapp")

SETUP_LINK = re.compile(r"http://\S+/setup\?token=\S+")


@dataclass
class Served:
    """A running control plane. `output` is what it printed, `log` what it logged."""

    url: str
    folder: Path
    environ: dict[str, str]

    @property
    def data_dir(self) -> Path:
        """Where its database is."""
        return self.folder / "data"

    @property
    def output(self) -> str:
        """What it printed for people."""
        return (self.folder / "output").read_text()

    @property
    def log(self) -> Path:
        """Its log, at DEBUG."""
        return self.folder / "log"

    @property
    def setup_link(self) -> str:
        """The one-time link that it printed."""
        found = SETUP_LINK.search(self.output)
        assert found is not None, f"no set-up link in: {self.output}"
        return found[0]

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line on the same store, as an operator would."""
        return run(self.environ, *arguments, text=text)


@dataclass
class Server(Served):
    """One in a process of its own, as people run it."""

    process: subprocess.Popen[bytes]


def run(environ: dict[str, str], *arguments: str, text: str = "", timeout: int = 60) -> subprocess.CompletedProcess[str]:
    """Run `registry-credentials ARGUMENTS` and return what became of it."""
    command = [sys.executable, "-m", "webapp", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environ, timeout=timeout, check=False)


@contextmanager
def serve(folder: Path, *, program: Sequence[str] = PROGRAM, host: str = "127.0.0.1", **more: str) -> Iterator[Server]:
    """Serve a fresh store in this folder, or in the database that is named, on a free port of 127.0.0.1, until the block ends.

    `program` is what Python runs: this tree's, or another one's, which begins nothing. `host` is what browsers call 127.0.0.1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBAPP_")}
    environ |= {
        "WEBAPP_DATA_DIR": str(folder / "data"),
        "WEBAPP_PORT": str(port),
        "WEBAPP_LOG_LEVEL": "debug",
        "PYTHONUNBUFFERED": "1",
        "WEBAPP_PUBLIC_URL": f"http://{host}:{port}",
        **more,
    }
    if "WEBAPP_DATABASE_URL" in more and program is PROGRAM:
        made = run(environ, "init")
        assert made.returncode == 0, made.stderr
    with (folder / "output").open("wb") as output, (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *program, "serve"], stdin=subprocess.DEVNULL, stdout=output, stderr=log, env=environ)
    server = Server(f"http://{host}:{port}", folder, environ, process)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if server.url in server.output:
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {server.output}{server.log.read_text()[-2000:]}")
