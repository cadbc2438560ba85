"""How much room the database has left: below a limit this process says that it is not ready, before a commit fails for it."""

import shutil

from webapp.database.sqlite import path_of

LEAST_FREE = 256 * 1024 * 1024
"""Bytes that have to be free where the database is."""


def free_bytes(url: str) -> int:
    """What is free for this user on the file system that holds the database of this URL. Raises OSError."""
    return shutil.disk_usage(path_of(url).parent).free
