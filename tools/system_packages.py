"""Install the system's packages that the tests run for real, where that takes no question: as root, or with a sudo that asks for nothing.

Elsewhere it says what to install and ends well: the tests that need a missing part are skipped and say so, or fail where `CI` is set
(`tests/system.py`, which also has the list of parts).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.system import PARTS, Part, apt_packages, found, how_to_install

_CLUSTERS = Path("/etc/postgresql")
"""Where Debian has a folder VERSION/NAME for each cluster."""


def main() -> int:
    """Returns 0 whatever is missing at the end."""
    missing = _missing()
    as_root = _as_root()
    if apt_packages(missing) and as_root is not None:
        had_clusters = any(_CLUSTERS.glob("*/*"))
        _apt(as_root, "update")
        packages = apt_packages(missing)  # which there are, apt knows only now
        print("Installing what the tests run for real:", " ".join(packages), flush=True)
        _apt(as_root, "install", "--yes", "--no-install-recommends", *packages)
        if Path("/run/systemd/system").is_dir():
            for service in services_to_stop(packages, had_clusters=had_clusters):
                _run([*as_root, "systemctl", "disable", "--now", service])
        found.cache_clear()
        missing = _missing()
    if missing:
        print("Missing:", "; ".join(f"{part.name} ({part.used_for})" for part in missing))
        for line in how_to_install(missing):
            print(f"  {line}")
    return 0


def services_to_stop(installed: Iterable[str], *, had_clusters: bool) -> list[str]:
    """What these packages started of their own, while the tests start theirs; never a PostgreSQL that was there before.

    docker-registry listens on port 5000, open to all; postgresql makes a cluster `main` and listens on port 5432.
    """
    stopped = {"docker-registry": True, "postgresql": not had_clusters}
    return [package for package in installed if stopped.get(package)]


def _missing() -> list[Part]:
    return [part for part in PARTS if found(part) is None]


def _as_root() -> list[str] | None:
    """What to put before a command so that root runs it without a question; None where there is no such way, or no apt."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        return None
    return [sudo, "-n"]


def _apt(as_root: list[str], *arguments: str) -> None:
    _run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments])


def _run(command: list[str]) -> None:
    """Run it to its end without a question, and show its last words only where it failed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        print(f"{' '.join(command)} failed:", *done.stdout.splitlines()[-5:], sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
