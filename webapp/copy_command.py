"""`registry-credentials copy --from sqlite:///… --to postgresql://…`: the same installation, in PostgreSQL from now on."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from webapp.clock import Clock, system_clock
from webapp.command import DONE, REFUSED, Outcome, Progress, Refusal, lines, said
from webapp.database import is_postgresql
from webapp.database.copies import CopyFailed
from webapp.database.lock import store_lock
from webapp.database.moving import Moved, move
from webapp.database.moving_source import opened
from webapp.database.sqlite import path_of
from webapp.errors import ConfigurationError, StoreLocked
from webapp.setting_values import parse_database_url, shown
from webapp.settings import Settings
from webapp.terminal import begin_command, progress_shown

_VARIABLE = "WEBAPP_DATABASE_URL"


def copy_command_line(settings: Settings, source: str | None, to: str | None, to_file: str | None) -> Outcome:
    """Copy the store, which is this whole process. `source` and `to` are URLs. Raises ConfigurationError, Unavailable."""
    begin_command(settings)
    try:
        path, (target, named) = _source(settings, source), _target(settings, to, to_file)
        try:
            moved = asyncio.run(copy(settings, path, target, progress=progress_shown()))
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(_VARIABLE, named)) from None
    except (Refusal, CopyFailed) as error:
        return Outcome(REFUSED, stderr=said(str(error)))
    return Outcome(DONE, lines(*_told(moved, path, settings)))


async def copy(settings: Settings, source: Path, url: str, *, progress: Progress, clock: Clock = system_clock) -> Moved:
    """Copy the store in this file into the PostgreSQL database at this URL. Raises Refusal, CopyFailed, ConfigurationError, Unavailable.

    Whatever it raises, nothing of the source has changed, and nothing is in the target but empty tables; see `move`.
    """
    with _locked(settings, source), opened(source) as store:
        return await move(store, url, clock, progress)


def _source(settings: Settings, source: str | None) -> Path:
    """The file to copy: the store of these settings, or the one that the data directory has where they name PostgreSQL already."""
    if source is None:
        source = settings.own_file_url if is_postgresql(settings.database_url) else settings.database_url
    if is_postgresql(source):
        raise Refusal("--from is a SQLite store: sqlite:///PATH. From PostgreSQL to PostgreSQL, use pg_dump and pg_restore.")
    return path_of(source)


def _target(settings: Settings, to: str | None, to_file: str | None) -> tuple[str, str]:
    """The database to copy to, and what has named it."""
    if to_file is not None:
        named, url = "--to-file", _read(Path(to_file))
    elif to is not None:
        named, url = "--to", to
    else:
        named, url = _VARIABLE, settings.database_url
    if not is_postgresql(url):
        missing = f"Say where to: --to-file FILE with postgresql://USER:PASSWORD@HOST:PORT/DATABASE in it, or set {_VARIABLE} to that."
        raise Refusal(
            missing if named == _VARIABLE else f"{named} is a PostgreSQL database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    return url, named


def _read(file: Path) -> str:
    try:
        return parse_database_url(file.read_text("utf-8").strip())
    except OSError as error:
        problem = f"{shown(str(file))} cannot be read ({error.strerror})."
    except UnicodeDecodeError:
        problem = f"{shown(str(file))} is no UTF-8 text."
    except ValueError as error:
        problem = str(error)
    raise Refusal(f"--to-file: {problem}")


@contextmanager
def _locked(settings: Settings, source: Path) -> Iterator[None]:
    """Hold the lock of every data directory whose server may have the file open. Raises Refusal."""
    beside = source.resolve().parent
    directories = {settings.data_dir.resolve()} if settings.data_dir.is_dir() else set()
    if (beside / "lock").is_file():
        directories.add(beside)
    with ExitStack() as stack:
        for directory in sorted(directories):
            problem = ""
            try:
                stack.enter_context(store_lock(directory))
            except StoreLocked:
                problem = f"The store in {directory} is in use. Stop the server first."
            except OSError as error:
                problem = f"The store in {directory} cannot be locked ({error.strerror}). Run this as the user that the server runs as."
            if problem:
                raise Refusal(problem)
        yield


def _told(moved: Moved, path: Path, settings: Settings) -> list[str]:
    """What was done, and what is to be done next."""
    width = max(map(len, moved.rows))
    rows = sum(moved.rows.values())
    following = [
        f"Set {_VARIABLE}, or {_VARIABLE}_FILE, to the PostgreSQL database." if not is_postgresql(settings.database_url) else "",
        "Keep the root key and its settings as they are, and start the server.",
        f"Put {path} away: start no server on it again. Both would append to the same audit log, and agents would be handed old values.",
    ]
    return [
        *(f"{name:{width}} {count:>12,}" for name, count in moved.rows.items()),
        f"Copied {rows:,} rows of {len(moved.rows)} tables, and read them back. SHA-256 of both sides: {moved.sha256}",
        *filter(None, following),
    ]
