"""A run's temporary files are in memory, where there is a `/dev/shm` with room: a test syncs a dozen times, and each time waits for a disk.

Nothing that is shown depends on it: the program asks for the same syncs, what a killed process has written outlives it there, too, and the
power does not fail here. `TMPDIR=/tmp make test` takes the disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

ROOM = 4 << 30
"""What has to be free, in bytes; a run has some hundred MB there at a time, since what a test that passes leaves behind is removed."""

_MEMORY = Path("/dev/shm")  # noqa: S108  a directory of one's own is made in it


def use_memory() -> None:
    """Have temporary files there, from now on and in what is started; nothing happens where TMPDIR says where they are to be."""
    if "TMPDIR" in os.environ or not _has_room():
        return
    # The same for each run, so that pytest removes what an old one left there; short, since the path of a socket has 107 bytes at the most.
    folder = _MEMORY / f"rc{os.geteuid()}"
    folder.mkdir(mode=0o711, exist_ok=True)  # PostgreSQL's user goes through it
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


def _has_room() -> bool:
    """And whether a program may be run from there, as some tests do."""
    return _MEMORY.is_dir() and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC and shutil.disk_usage(_MEMORY).free >= ROOM
