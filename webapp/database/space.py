"""How much room the database has left: below a limit this process says that it is not ready, before a commit fails for it."""

import shutil

from webapp.database.kinds import is_postgresql
from webapp.database.sqlite import path_of

LEAST_FREE = 256 * 1024 * 1024
"""Bytes that have to be free where the database is."""


def free_bytes(url: str) -> int | None:
    """What is free for this user on the file system that holds the database; None where another machine has it. Raises OSError."""
    if is_postgresql(url):
        return None
    return shutil.disk_usage(path_of(url).parent).free
