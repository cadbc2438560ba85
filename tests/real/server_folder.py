"""A folder for a PostgreSQL of the tests' own, and whom its programs run as, since they refuse to be root."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from tests import system

ROOM = 1 << 30
"""What has to be free in memory, in bytes; a fresh cluster has some 60 MB, and a database some 8."""

_USER = "postgres"
_MEMORY = Path("/dev/shm")  # noqa: S108  a directory of one's own is made in it
_GUARD = 'read -r _; [ -f "$1/data/postmaster.pid" ] && "$2" stop -s -m immediate -D "$1/data" 2>/dev/null; rm -rf -- "$1"'
"""Waits until the pipe is closed by whoever made it, or by the end of that process."""


class User(TypedDict, total=False):
    """What `subprocess` takes to run a program as another user; nothing where that is not needed."""

    user: str
    group: str
    extra_groups: list[str]


def as_postgres() -> User:
    """As the user that Debian's package makes, where the tests are root."""
    return {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}


def give(path: Path) -> None:
    """Give it to whom the server runs as."""
    if os.geteuid() == 0:
        shutil.chown(path, _USER, _USER)


@contextlib.contextmanager
def server_folder(*, on_disk: bool) -> Iterator[Path]:
    """A folder that the server owns, gone at the end, in memory if there is room and it need not be `on_disk`.

    A guard leaves neither it nor a server whose data is in its `data` behind, even where the tests were killed.
    """
    memory = None if on_disk or not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < ROOM else _MEMORY
    stop = system.postgresql() / "pg_ctl"
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir=memory))
    give(folder)
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", folder, stop],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # an interrupt of the tests is not for it
        **as_postgres(),
    )
    try:
        yield folder
    finally:
        guard.communicate()


def is_in_memory(folder: Path) -> bool:
    """Whether `server_folder` has put it there."""
    return folder.parent == _MEMORY
