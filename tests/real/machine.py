"""A machine that is being provisioned: the reference agent as a process of its own, with a home and a PATH of its own."""

import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import system

ROOT = Path(__file__).resolve().parents[2]
AGENT = [sys.executable, "-c", "import sys; from webapp.reference_agent import main; sys.exit(main(sys.argv[1:]))"]

RECORDER = """#!{python}
import json, os, stat, sys
arguments = sys.argv[1:]
auth_file = arguments[arguments.index("--authfile") + 1]
seen = {{
    "arguments": arguments,
    "auth_file": auth_file,
    "file_mode": stat.S_IMODE(os.stat(auth_file).st_mode),
    "directory_mode": stat.S_IMODE(os.stat(os.path.dirname(auth_file)).st_mode),
    "auths": json.load(open(auth_file))["auths"],
}}
with open({seen!r} + ".new", "w") as file:
    json.dump(seen, file)
os.rename({seen!r} + ".new", {seen!r})
command = {command!r}
os.execv(command[0], command + (arguments if command[0] == {skopeo!r} else []))
"""


class Machine:
    """`home`, `temporary` (TMPDIR), `state` and `layout` are its directories; `environment` is what the agent runs with."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.state, self.layout = (folder / name for name in ("home", "tmp", "state", "images/layout"))
        self._programs, self._seen = folder / "bin", folder / "seen.json"
        for made in (self.home, self.temporary, self._programs):
            made.mkdir()
        self.environment = {
            "PATH": f"{self._programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "REGISTRY_CREDENTIALS_AGENT_STATE": str(self.state),
        }
        self.replace_skopeo()

    def replace_skopeo(self, *command: str) -> None:
        """What `skopeo` is on this machine: a script that writes down what it was given and becomes `command`, or the real one."""
        skopeo = str(system.skopeo())
        program = self._programs / "skopeo"
        program.write_text(RECORDER.format(python=sys.executable, seen=str(self._seen), command=list(command) or [skopeo], skopeo=skopeo))
        program.chmod(0o755)

    def seen(self) -> dict[str, Any] | None:
        """What skopeo was given, or None when it has not run: `arguments`, `auths`, `auth_file`, `file_mode`, `directory_mode`."""
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self._seen.read_text())
            return found
        return None

    def agent(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the agent to its end."""
        return subprocess.run(
            [*AGENT, *arguments], input=stdin, capture_output=True, text=True, env=self.environment, timeout=90, check=False
        )

    def enroll(self, server: str, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Enrol as `rack1-node07`, with the token on standard input."""
        return self.agent("enroll", "--server", server, "--name", "rack1-node07", *arguments, stdin=token + "\n")

    def pull(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Pull into `layout`."""
        return self.agent("pull", "--to", str(self.layout), *arguments)

    @contextlib.contextmanager
    def pulling(self) -> Iterator[subprocess.Popen[str]]:
        """A pull that goes on while the block runs."""
        command = [*AGENT, "pull", "--to", str(self.layout)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment) as process:
            try:
                yield process
            finally:
                process.kill()

    def pulled_digests(self) -> dict[str, str]:
        """The layout's images: name to digest."""
        index = json.loads((self.layout / "index.json").read_text())
        return {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in index["manifests"]}

    def left_behind(self) -> list[str]:
        """What is still in the temporary directory."""
        return sorted(path.name for path in self.temporary.iterdir())


def mode(path: Path) -> int:
    """The permission bits of `path`."""
    return stat.S_IMODE(path.stat().st_mode)
