"""`registry-credentials backup FILE`: a whole copy of the database, made while it is in use, and without the root key."""

import asyncio
import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from webapp.actor import Actor
from webapp.chain import Event
from webapp.command import Progress, Refusal
from webapp.database import is_postgresql
from webapp.database.copies import copy_into, put_in_place
from webapp.database.space import LEAST_FREE
from webapp.database.sqlite import path_of
from webapp.keyring_watch import KEYRING_SQL
from webapp.names import printable
from webapp.store import Store
from webapp.vault import Place, expected_fingerprint, place_of


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made: where, how large (bytes), and what is to be said about it."""

    path: Path
    size: int
    lines: Sequence[str]


async def backup(store: Store, actor: Actor, path: Path, progress: Progress) -> Backup:
    """Write a backup to this file, which must not be there yet, with mode 0600; synced when this returns.

    The audit log's row about it is committed first, and so in it. Raises Refusal, CopyFailed, Unavailable.
    """
    if is_postgresql(store.settings.database_url):
        raise Refusal("The store is in PostgreSQL: back it up with pg_dump, as docs/postgresql.md says.")
    database = path_of(store.settings.database_url)
    await asyncio.to_thread(_refuse, path, database)
    event = Event("store.backup", "backup", "", path.name, detail=f"to {path}"[:500])
    await store.chain.append_and_commit(actor, event)
    temporary, given_up = path.with_name(f".{path.name}.{secrets.token_hex(4)}"), threading.Event()
    loop = asyncio.get_running_loop()

    def tell(done: int, total: int) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    copying = asyncio.ensure_future(asyncio.to_thread(copy_into, database, temporary, tell, given_up))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        given_up.set()
        await asyncio.wait([copying])
        temporary.unlink(missing_ok=True)
        raise
    await asyncio.to_thread(put_in_place, temporary, path)
    size = (await asyncio.to_thread(path.stat)).st_size
    keyring = await store.database.fetch_all(KEYRING_SQL)
    return Backup(
        path, size, (f"Wrote {path} ({size:,} bytes).", *_sealed_by(str(expected_fingerprint(keyring)), place_of(store.settings)))
    )


def _sealed_by(fingerprint: str, place: Place) -> tuple[str, str]:
    """What opens the backup."""
    if isinstance(place, Path):
        return (
            f"It is sealed by the root key with fingerprint {fingerprint} in {place}, which is not in it.",
            "Keep a copy of that key elsewhere: without it nothing in the backup can be opened.",
        )
    return (
        f"It is sealed by the root key with fingerprint {fingerprint}, which only {place} can unwrap.",
        "Keep that key: without it nothing in the backup can be opened.",
    )


def _refuse(path: Path, database: Path) -> None:
    """Raises Refusal when there is no room for a copy, or its name is taken."""
    if not str(path).isprintable():  # it goes into the audit log, and onto terminals
        raise Refusal(f"{printable(str(path))} holds characters that cannot be seen. Name another file.")
    try:
        if path.exists() or path.is_symlink():
            raise Refusal(f"{path} is there already. Name a file that is not.")
        if not path.parent.is_dir():
            raise Refusal(f"There is no directory {path.parent}. Make it first.")
    except OSError as error:
        raise Refusal(f"{path} cannot be made ({error.strerror}).") from None
    size, free = database.stat().st_size, shutil.disk_usage(path.parent).free
    if free < size + LEAST_FREE:
        raise Refusal(
            f"There is too little room in {path.parent}: {free:,} bytes are free, and {size + LEAST_FREE:,} are needed,"
            f" of which {LEAST_FREE:,} have to stay free."
        )
