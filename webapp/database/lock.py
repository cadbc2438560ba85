"""The lock in the data directory: on SQLite exactly one process opens the store."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webapp.errors import StoreLocked


@contextmanager
def store_lock(data_dir: Path) -> Iterator[None]:
    """Hold the data directory's lock. Raises StoreLocked when another process holds it.

    The kernel lets go of it when the process ends, however it ends, so that no lock is ever left behind.
    """
    path = data_dir / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLocked(f"WEBAPP_DATA_DIR: another process has the store in {data_dir} open.") from None
        yield
    finally:
        os.close(descriptor)
