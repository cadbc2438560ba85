"""How much room the database has left: below a limit this process says that it is not ready, before a commit fails for it."""

import shutil
from pathlib import Path

LEAST_FREE = 256 * 1024 * 1024
"""Bytes that have to be free where the database is."""


def free_bytes(path: Path) -> int:
    """What is free for this user on the file system that holds the file's directory. Raises OSError."""
    return shutil.disk_usage(path.parent).free
