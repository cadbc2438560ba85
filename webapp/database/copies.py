"""A whole copy of a SQLite database, made while it is written to; and the places where such copies are put."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from webapp.errors import AppError

_LOOK = 0.02
"""Seconds between two looks at how large the copy has become, and two times that it is synced: whoever commits waits for what is not."""


class CopyFailed(AppError):
    """The copy could not be made; nothing of it is left. The text says why."""


def copy_into(source: Path, target: Path, progress: Callable[[int, int], None], given_up: threading.Event) -> None:
    """Make a copy of what was committed last, in a new file that only this user can read, and sync it. Blocks; whoever writes goes on.

    `VACUUM INTO` reads one state of the database and leaves out what was deleted (https://sqlite.org/lang_vacuum.html); a copy page by
    page begins anew at every write. `progress` is told bytes. Raises CopyFailed, also when it is given up.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise CopyFailed(f"{target} cannot be made ({error.strerror}).") from None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source.absolute()))}?mode=ro", uri=True)) as connection:
            total = _size(connection)
            with _watched(connection, target, total, progress, given_up):
                connection.execute("VACUUM INTO ?", (str(target),))
        with closing(sqlite3.connect(f"file:{quote(str(target.absolute()))}?mode=ro&immutable=1", uri=True)) as copy:
            found = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise CopyFailed(f"{source} is damaged: {found[0]}.")
        _sync(target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        reason = "it was given up" if given_up.is_set() else error.strerror if isinstance(error, OSError) else str(error)
        raise CopyFailed(f"{source} could not be copied into {target.parent} ({reason}).") from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a file its name, and sync the directory; never in place of a file that has the name. Raises CopyFailed."""
    try:
        try:
            os.link(temporary, path)  # fails when the name is taken, unlike a rename
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise CopyFailed(f"{path} cannot be made ({error.strerror}).") from None
    finally:
        temporary.unlink(missing_ok=True)


def replace_database(temporary: Path, path: Path, aside: Path) -> bool:
    """Put a database in the place of another one, which is kept under the name `aside`; True when there was one. Raises CopyFailed.

    Whenever this is interrupted, the old database is whole under one of the two names. Nobody has either of them open.
    """
    put_aside: list[tuple[Path, Path]] = []
    try:
        there = path.exists()
        if os.geteuid() == 0:  # who restores as root leaves nothing that the server's own user cannot open
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        for ending in ("", "-wal"):
            name = path.with_name(path.name + ending)
            if name.exists():
                _put_aside(name, aside.with_name(aside.name + ending))
                put_aside.append((name, aside.with_name(aside.name + ending)))
        _sync(path.parent)
        # What is in its log goes into the old database first, so that it is whole under both names as long as it has both.
        with suppress(sqlite3.Error), closing(sqlite3.connect(path if there else ":memory:")) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for ending in ("-wal", "-shm"):  # before the new database has the name: what is in them is not of it
            path.with_name(path.name + ending).unlink(missing_ok=True)
        temporary.replace(path)
    except OSError as error:
        for name, second in put_aside:  # the old one goes on: whole, and under no second name
            if name.exists():
                second.unlink(missing_ok=True)
            else:
                second.rename(name)
        raise CopyFailed(f"{path} cannot be replaced ({error.strerror}).") from None
    _sync(path.parent)
    return there


def _put_aside(name: Path, aside: Path) -> None:
    """The same file under another name, or a copy of it where there are no hard links."""
    try:
        os.link(name, aside)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(name, aside)
        _sync(aside)


def remove_database(path: Path) -> None:
    """Remove a database with what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _size(connection: sqlite3.Connection) -> int:
    (pages,), (size,) = connection.execute("PRAGMA page_count").fetchone(), connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


@contextmanager
def _watched(
    connection: sqlite3.Connection, target: Path, total: int, progress: Callable[[int, int], None], given_up: threading.Event
) -> Iterator[None]:
    """Tell how large the copy is, and interrupt it when it is given up."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK):
            if given_up.is_set():
                connection.interrupt()
            with suppress(OSError):
                _sync(target)
                progress(min(target.stat().st_size, total), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(total, total)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
