"""The programs of the operating system that tests run for real: where each one is, and how to get one that is missing.

`chromium()`, `docker_registry()` and `skopeo()` return a program's path, `postgresql()` the folder of its programs. Where it is missing the
test that asked is skipped, with the line that installs it; where `CI` is set it fails, so that a green run there has run everything.
`tools/system_packages.py` has the same list.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

ASK_SECONDS = 30
OLDEST_POSTGRESQL = 15

_MAC_BROWSERS = ("/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_GOOGLE_CHROME = (
    "Google Chrome's .deb from https://www.google.com/chrome/ (Ubuntu's own chromium is a snap, which cannot see the profile that a test"
    " makes in /tmp); any other Chromium: CHROMIUM=/path/to/it"
)
_HOMEBREW = ("/opt/homebrew/opt", "/usr/local/opt")
_POSTGRESQL_PROGRAMS = ("initdb", "postgres", "pg_basebackup", "pg_ctl", "pg_dump", "psql")
_HEADLESS = "chromium-headless-shell"
"""Chromium without what shows windows: the journeys take little more than half as long."""
_REGISTRY_BY_GO = "go install github.com/distribution/distribution/v3/cmd/registry@latest  (and its folder on PATH)"


@dataclass(frozen=True)
class Part:
    """One thing that the system has to have. `look` finds it; `found(part)` remembers what it found."""

    name: str
    used_for: str
    look: Callable[[], Path | None]
    debian: str
    """The package's name on Debian, and on Ubuntu where `ubuntu_instead` is empty."""
    mac: str
    ubuntu_instead: str = ""
    lighter: str = ""
    """A package that does the same for less, where this system's apt has it."""


@cache
def found(part: Part) -> Path | None:
    """Where the part is, or None. `found.cache_clear()` after installing."""
    return part.look()


def apt_packages(parts: Iterable[Part]) -> list[str]:
    """The packages with which this system's apt brings these parts, as far as it does."""
    return [
        part.lighter if part.lighter and _apt_has(part.lighter) else part.debian
        for part in parts
        if system() == "debian" or (system() == "ubuntu" and not part.ubuntu_instead)
    ]


def how_to_install(parts: Iterable[Part]) -> list[str]:
    """The lines to show or type for these parts, on the system that this is."""
    parts = list(parts)
    if system() == "mac":
        return [part.mac for part in parts]
    if system() == "other":
        return [f"{part.name}: with this system's package manager (on Debian it is {part.debian})" for part in parts]
    by_apt = apt_packages(parts)
    lines = [f"sudo apt-get install -y --no-install-recommends {' '.join(by_apt)}"] if by_apt else []
    return lines + [f"{part.name}: {part.ubuntu_instead}" for part in parts if not apt_packages([part])]


def chromium() -> Path:
    """Chromium, or a Chrome; `CHROMIUM` names another one."""
    return _wanted(CHROMIUM)


def docker_registry() -> Path:
    """The registry server of the Distribution project: `docker-registry` where Debian named it, `registry` elsewhere."""
    return _wanted(DOCKER_REGISTRY)


def skopeo() -> Path:
    """`skopeo`, which pulls an image without a daemon."""
    return _wanted(SKOPEO)


def postgresql() -> Path:
    """The folder with `initdb`, `postgres`, `pg_basebackup`, `pg_ctl`, `pg_dump` and `psql`, of version `OLDEST_POSTGRESQL` or newer."""
    return _wanted(POSTGRESQL)


@cache
def system() -> str:
    """`debian`, `ubuntu` (and what is made of it), `mac` or `other`; from os-release(5)."""
    if sys.platform == "darwin":
        return "mac"
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "other"
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    family = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return "ubuntu" if "ubuntu" in family else "debian" if "debian" in family else "other"


def _program(*names: str) -> Path | None:
    """The first of these that is on PATH and runs: a stub that only says what to install is not it."""
    for name in names:
        path = shutil.which(name)
        if path is not None and _runs(path):
            return Path(path)
    return None


def _runs(program: str) -> bool:
    return _version(program) is not None


def _version(program: str) -> str | None:
    """What it says of its version, or None where it does not run."""
    try:
        asked = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.decode(errors="replace") if asked.returncode == 0 else None


def _apt_has(package: str) -> bool:
    """Whether apt knows this package, by the lists that it has."""
    asks = shutil.which("apt-cache")
    if asks is None:
        return False
    try:
        asked = subprocess.run([asks, "show", package], stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _is_snap(program: Path) -> bool:
    """Whether this is a snap: a program of it cannot see the /tmp that a test made its files in."""
    return "/snap/" in f"{program.resolve()}" or program.resolve().name == "snap"


def _look_for_chromium() -> Path | None:
    named = os.environ.get("CHROMIUM")
    if named:
        return _program(named)
    for name in (_HEADLESS, "chromium", "google-chrome", "google-chrome-stable", *_MAC_BROWSERS):
        program = _program(name)
        if program is not None and not _is_snap(program):
            return program
    return None


def _look_for_docker_registry() -> Path | None:
    return _program("docker-registry", "registry")


def _look_for_skopeo() -> Path | None:
    return _program("skopeo")


def _look_for_postgresql() -> Path | None:
    """The one on PATH, else the newest; Debian's is on PATH only where somebody has put it there."""
    on_path = [Path(program).resolve().parent for name in ("postgres", "initdb") if (program := shutil.which(name))]
    installed = [*Path("/usr/lib/postgresql").glob("*/bin"), *(bin_ for opt in _HOMEBREW for bin_ in Path(opt).glob("postgresql@*/bin"))]
    installed.sort(key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.parent.name)], reverse=True)
    for folder in (*on_path, *_bindir(), *installed):
        if all((folder / name).is_file() for name in _POSTGRESQL_PROGRAMS):
            said = re.search(r"PostgreSQL\)? (\d+)", _version(str(folder / "postgres")) or "")
            if said is not None and int(said[1]) >= OLDEST_POSTGRESQL:
                return folder
    return None


def _bindir() -> list[Path]:
    """Where the `pg_config` on PATH says that the programs are."""
    asks = shutil.which("pg_config")
    if asks is None:
        return []
    asked = subprocess.run([asks, "--bindir"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    return [Path(asked.stdout.strip())] if asked.returncode == 0 else []


def _look_for_fonts() -> Path | None:
    """Any TrueType font; a Mac has its own."""
    if sys.platform == "darwin":
        return Path("/System/Library/Fonts")
    return next((font for place in ("/usr/share/fonts", "/usr/local/share/fonts") for font in Path(place).rglob("*.[to]tf")), None)


def _wanted(part: Part) -> Path:
    place = found(part)
    return _without(part) if place is None else place


def _without(part: Part) -> NoReturn:
    import pytest  # noqa: PLC0415  tools/system_packages.py uses this file too, and runs where nothing is installed yet.

    reason = f"{part.name} is missing. To install it: {'; '.join(how_to_install([part]))}"
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI is set, so a missing part is a failure)", pytrace=False)
    pytest.skip(reason)


CHROMIUM = Part(
    "Chromium", "the tests in a browser", _look_for_chromium, "chromium", "brew install --cask google-chrome", _GOOGLE_CHROME, _HEADLESS
)
DOCKER_REGISTRY = Part("docker-registry", "a private registry to pull from", _look_for_docker_registry, "docker-registry", _REGISTRY_BY_GO)
SKOPEO = Part("skopeo", "the reference agent's pulls", _look_for_skopeo, "skopeo", "brew install skopeo")
POSTGRESQL = Part("PostgreSQL", "the store of more than one process", _look_for_postgresql, "postgresql", "brew install postgresql@16")
FONTS = Part("fonts", "readable screenshots", _look_for_fonts, "fonts-dejavu-core", "(a Mac has its own)")
PARTS = (CHROMIUM, DOCKER_REGISTRY, SKOPEO, POSTGRESQL, FONTS)
