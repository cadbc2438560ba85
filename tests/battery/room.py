"""Disks that are really full: a limit on the size of a process's files, and a file system with a few megabytes."""

import os
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.battery.aftermath import DATABASE

_FRAME, _HEAD = 24 + 4096, 32  # of SQLite's write-ahead log: https://sqlite.org/fileformat2.html#the_write_ahead_log
_BACKFILLED, _LAST_FRAME = 96, 16  # offsets in its index: https://sqlite.org/walformat.html


class Room(Protocol):
    """Room on the disk of a server, to be taken and given."""

    def take(self, left: int) -> None:
        """From now on what is written fails, after so many more bytes."""

    def give(self) -> None:
        """There is room again."""


class FileLimit:
    """RLIMIT_FSIZE of a running process: a write beyond it fails with EFBIG (Python ignores SIGXFSZ), and SQLite calls it an I/O error."""

    def __init__(self, pid: int, data_dir: Path) -> None:
        self._pid, self._index = pid, data_dir / f"{DATABASE}-shm"

    def take(self, left: int) -> None:
        """From where the write-ahead log is written next."""
        index = self._index.read_bytes()
        (last,), (backfilled,) = struct.unpack_from("=I", index, _LAST_FRAME), struct.unpack_from("=I", index, _BACKFILLED)
        position = 0 if last == backfilled else _HEAD + last * _FRAME
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (position + left, resource.RLIM_INFINITY))

    def give(self) -> None:
        """No limit."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Ballast:
    """A file that fills the rest of a small file system: a write fails with ENOSPC, and SQLite says that the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._path, self._folder = folder / "ballast", folder

    def take(self, left: int) -> None:
        """All of it but so many bytes, as far as pages go."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while (free := shutil.disk_usage(self._folder).free) > left:
                with suppress(OSError):  # the server has taken some of it meanwhile
                    os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size + free - left)
        finally:
            os.close(descriptor)

    def give(self) -> None:
        """No ballast."""
        self._path.unlink(missing_ok=True)


def on_a_small_file_system(folder: Path, megabytes: int, arguments: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run this Python with these arguments where `folder` is a file system of that size; None where nobody may mount one."""
    enter = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*enter, *mount], capture_output=True, check=False).returncode != 0:
        return None
    script = '"$1" -t tmpfs -o "size=$2m" tmpfs "$3" && shift 3 && exec "$@"'
    command = [*enter, "sh", "-c", script, "sh", "mount", str(megabytes), str(folder), sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
