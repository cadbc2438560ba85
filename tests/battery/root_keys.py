"""A start with a wrong root key is refused, says which one is wanted, and changes not a byte.

`python -m tests.battery.root_keys --count 35` is the long form; a short one is in the suite. Each is tried with `serve` and with another
command, on a store that was closed in order and on one whose machine lost its power.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from tests.battery.furnished import furnished, in_a_loop
from tests.battery.kept_open import loop, template
from tests.battery.wrong_keys import WRONG, Place
from tests.real.process import free_port
from webapp.vault import create_root_key, read_root_key

COMMANDS = (("check",), ("audit", "verify"), ("rotate-key",), ("create-admin", "--email", "eve@example.com", "--password-stdin"))
SECONDS = 30
REFUSED = os.EX_CONFIG


@dataclass
class Findings:
    """How many starts there were, and sentences about those that did not end as they should."""

    starts: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Store:
    """A store to be copied: its folder, its root key, the key's fingerprint, and a key of another installation."""

    folder: Path
    another: Path
    closed_in_order: bool

    @property
    def name(self) -> str:
        """What it is."""
        return "closed in order" if self.closed_in_order else "after a power cut"


def run(count: int, seed: int) -> Findings:
    """Try so many wrong root keys, and at the end the right one."""
    chance, findings = random.Random(seed), Findings()  # noqa: S311  not a secret
    with tempfile.TemporaryDirectory(prefix="battery-") as name:
        stores = _stores(Path(name))
        commands = cycle(COMMANDS)
        for number, wrong in enumerate(islice(cycle(WRONG), count)):
            for command in (("serve",), next(commands)):
                _try(stores[(number + (command == ("serve",))) % 2], wrong, command, chance, findings)
        for store in stores:
            _try_the_right_one(store, findings)
    return findings


def _stores(folder: Path) -> tuple[Store, Store]:
    """One that was closed, and one as it is on the disk while it is open: with its log, which is not in the database yet."""
    another = folder / "another.key"
    create_root_key(another)
    house = furnished()
    try:
        in_a_loop(house, 20, 1)
        shutil.copytree(house.opened.folder, folder / "cut", ignore=shutil.ignore_patterns("*-shm"))
        house.opened.reopen()
        loop().run(house.store.database.fetch_all("SELECT 1"))
    finally:
        house.opened.end()
    shutil.copytree(template().folder, folder / "closed")
    return Store(folder / "closed", another, closed_in_order=True), Store(folder / "cut", another, closed_in_order=False)


def _try(store: Store, wrong: str, command: tuple[str, ...], chance: random.Random, findings: Findings) -> None:
    with tempfile.TemporaryDirectory(prefix="battery-") as name:
        folder = Path(name) / "store"
        shutil.copytree(store.folder, folder)
        key = folder / "data-key" / "root.key"
        whole, wanted = key.read_bytes(), read_root_key(key).fingerprint
        place = Place(key, store.another, key, chance)
        found = WRONG[wrong](place)
        before = _all_of(folder)
        exit_status, said = _start(folder, command, place.named)
        after = _all_of(folder)
        findings.starts += 1
        why = [
            f"the exit status is {exit_status}" if exit_status != REFUSED else "",
            "" if wanted in said else "it does not name the fingerprint that is wanted",
            "" if found is None or found.fingerprint in said else "it does not name the fingerprint that it found",
            "" if str(place.named) in said else "it does not say where it looked",
            "it tells of the key" if _tells(said, whole) else "",
            f"changed: {', '.join(_changes(before, after))}" if before != after else "",
        ]
        findings.wrong += [f"{wrong}, {' '.join(command)}, {store.name}: {sentence}" for sentence in why if sentence]


def _try_the_right_one(store: Store, findings: Findings) -> None:
    exit_status, _ = _start(store.folder, ("check",), store.folder / "data-key" / "root.key")
    findings.starts += 1
    if exit_status != 0:
        findings.wrong.append(f"the right key, {store.name}: the exit status is {exit_status}")


def _start(folder: Path, command: tuple[str, ...], key: Path) -> tuple[int, str]:
    """The exit status, and all that was said; -1 when it goes on."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WEBAPP_")}
    environ |= {"WEBAPP_DATA_DIR": str(folder / "data"), "WEBAPP_ROOT_KEY_FILE": str(key)}
    environ |= {"WEBAPP_PORT": str(free_port()), "WEBAPP_LOG_LEVEL": "debug"}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "webapp", *command],
            input="correct horse battery staple\n",
            capture_output=True,
            text=True,
            env=environ,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, ""
    return ended.returncode, ended.stdout + ended.stderr


def _all_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file there is, its mode and its bytes, but for the lock and the index of SQLite's log, in which nothing is stored.

    The index is made when somebody reads a database that has a log; there is none without the log.
    """
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        for path in folder.rglob("*")
        if path.name != "lock" and not (path.name.endswith("-shm") and path.with_name(path.name.removesuffix("-shm") + "-wal").exists())
    }


def _changes(before: dict[str, tuple[int, bytes]], after: dict[str, tuple[int, bytes]]) -> list[str]:
    return sorted(name for name in before | after if before.get(name) != after.get(name))


def _tells(said: str, whole: bytes) -> bool:
    body = whole.strip().decode()[6:-9]
    return any(body[at : at + 8] in said for at in range(len(body) - 8))


def main() -> int:
    """Run the long form; 1 when a start went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.root_keys", description=__doc__)
    parser.add_argument("--count", type=int, default=len(WRONG))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    found = run(options.count, options.seed)
    kinds = min(options.count, len(WRONG))
    print(
        f"{kinds} kinds of wrong root keys, {found.starts} starts (seed {options.seed}): {len(found.wrong)} did not end as they should",
        *found.wrong[:20],
        sep="\n",
    )
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
