"""Where a secret must not be: the places that are searched, and how one is planted there to prove that the search would find it.

A place is a folder in which everything is looked at. A new kind of backup or log is one more line in PLACES.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from e2e.server import Server
from tests.real.canary import forms_of

DATABASE = "registry-credentials.sqlite3"


@dataclass(frozen=True)
class Place:
    """A folder below the scene's. `fill` puts things there while the server runs; `plant` puts bytes there as if they had leaked."""

    name: str
    folder: str
    plant: Callable[[Path, bytes], None]
    fill: Callable[[Server, Path], None] = lambda server, folder: None

    def contents(self, scene: Path) -> Iterator[tuple[str, bytes]]:
        """Every file, and what is in it."""
        for path in sorted((scene / self.folder).rglob("*")):
            if path.is_file():
                yield f"{self.name}: {path.name}", path.read_bytes()


@dataclass(frozen=True)
class Find:
    """A secret that was found: what was planted, and where."""

    what: str
    where: str


def search(scene: Path, secrets: dict[str, str]) -> list[Find]:
    """Where any of these secrets (by what they are) is, in any form. The secrets themselves are in no answer."""
    forms = {what: forms_of(secret) for what, secret in secrets.items()}
    return [
        Find(what, where)
        for place in PLACES
        for where, content in place.contents(scene)
        for what, many in forms.items()
        if any(form in content for form in many)
    ]


def _in_a_file(folder: Path, content: bytes) -> None:
    (folder / "planted").write_bytes(b"before " + content + b" after")


def _in_the_database(folder: Path, content: bytes, *, journal: str = "DELETE") -> None:
    """In a table, checkpointed."""
    for path in folder.rglob("*.sqlite3"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA journal_mode={journal}").close()
            connection.execute("CREATE TABLE IF NOT EXISTS planted (content BLOB)")
            connection.execute("INSERT INTO planted VALUES (?)", (content,))


def _in_the_log_of_the_database(folder: Path, content: bytes) -> None:
    """In a table, but not checkpointed: in a copy that was made while the database was open."""
    for path in list(folder.rglob("*.sqlite3")):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0"):
                connection.execute(f"PRAGMA {pragma}").close()
            connection.execute("CREATE TABLE IF NOT EXISTS planted (content BLOB)")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
            connection.execute("INSERT INTO planted VALUES (?)", (content,))
            log = path.with_name(f"{path.name}-wal").read_bytes()
            before = path.read_bytes()
        path.write_bytes(before)
        path.with_name(f"{path.name}-wal").write_bytes(log)


def _in_a_vacuumed_copy(folder: Path, content: bytes) -> None:
    """In the database that was copied, before it was."""
    for path in list(folder.rglob("*.sqlite3")):
        old = path.rename(path.with_suffix(".old"))
        with closing(sqlite3.connect(old, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS planted (content BLOB)")
            connection.execute("INSERT INTO planted VALUES (?)", (content,))
            connection.execute("VACUUM INTO ?", (str(path),))
        old.unlink()


def _in_a_core(folder: Path, content: bytes) -> None:
    """In the memory of a process that dies and leaves a core, where this system makes one (else in a file that looks like it)."""
    if not leave_a_core(folder, content):
        _in_a_file(folder, content)


def leave_a_core(folder: Path, content: bytes) -> bool:
    """Have a process with this in its memory die as the server does, but with nothing that prevents a core; whether one is there."""
    script = "import os, sys; held = sys.stdin.buffer.read(); os.kill(os.getpid(), 11)"
    limit = f"ulimit -c unlimited; exec {sys.executable} -c '{script}'"
    subprocess.run(["/bin/sh", "-c", limit], cwd=folder, input=content, capture_output=True, check=False)
    return any(folder.glob("core*"))


def _copy(server: Server, folder: Path) -> None:
    """The database and its log, as a careless backup copies them."""
    for number, path in enumerate(sorted(server.data_dir.glob(f"{DATABASE}*"))):
        (folder / path.name).write_bytes(path.read_bytes())
        assert number or path.name == DATABASE


def _vacuum(server: Server, folder: Path) -> None:
    path = folder / "vacuumed.sqlite3"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(server.data_dir / DATABASE, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))


def _back_up(server: Server, folder: Path) -> None:
    path = folder / "backup.sqlite3"
    path.unlink(missing_ok=True)
    made = server.run("backup", str(path))
    assert made.returncode == 0, made.stderr


def _heads(server: Server, folder: Path) -> None:
    for path in server.data_dir.with_name("data-heads").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


PLACES: Sequence[Place] = (
    Place("database", "data", _in_the_database),
    Place("write-ahead log", "kept", _in_the_log_of_the_database, _copy),
    Place("copy", "copy", _in_the_database, _copy),
    Place("vacuumed copy", "vacuumed", _in_a_vacuumed_copy, _vacuum),
    Place("backup", "backups", _in_a_vacuumed_copy, _back_up),
    Place("signed heads", "heads", _in_a_file, _heads),
    Place("log", "logs", _in_a_file),
    Place("page or answer", "answers", _in_a_file),
    Place("output of a command", "outputs", _in_a_file),
    Place("temporary file", "temporary", _in_a_file),
    Place("core", "cores", _in_a_core),
)
