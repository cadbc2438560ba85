"""`registry-credentials rotate-key` and `rewrap-root`: new keys for what is stored, while it is in use.

A rotation makes a new KEK, which seals from then on, and puts the data key of every value under it; the values themselves are not
opened. It may be killed at any moment: what is left is done by the next one. The old KEK is retired when no row needs it any more,
and stays in the keyring for the backups that do.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from webapp.actor import Actor
from webapp.chain import Event
from webapp.command import Progress
from webapp.database import Batch, Row
from webapp.errors import Conflict
from webapp.keyring_watch import KEYRING_SQL, root_key_now, settled
from webapp.names import printable
from webapp.sealed_values import SEALED_TABLES, SealedTable
from webapp.store import Store, keep_wrapped
from webapp.vault import (
    Place,
    RootKey,
    SealBroken,
    Sealed,
    new_root_key,
    next_kek,
    open_keyring,
    rewrap_keyring,
)

CHUNK = 50
"""Values of one batch: a millisecond or so, which hand-overs wait for."""

_PASSES = 3
"""Over all tables: what a form had sealed with the old key a moment before may have been written behind the first one."""

PAUSE = 0.01
"""Seconds between two batches: hand-overs go first."""

_INSERT = (
    "INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)"
    " VALUES (:id, :purpose, :state, :wrapped, :check_value, :root_fingerprint, :created_at)"
)
_STATE = "UPDATE keyring SET state = :state WHERE id = :id AND purpose = 'kek' AND state = :before"

_REWRAPPED = "UPDATE keyring SET wrapped = :wrapped, root_fingerprint = :root_fingerprint WHERE id = :id"

_CHANGE = "the keyring is changed"
"""What one process does at a time."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `broken` names the values that do not open, and because of which their key is not retired."""

    key: int
    resumed: bool
    values: int
    retired: tuple[int, ...]
    broken: tuple[str, ...]


async def rotate(store: Store, actor: Actor, progress: Progress) -> Rotation:
    """Put every value under a new KEK, or go on with a rotation that was not finished.

    Raises Conflict while another one runs, ConfigurationError when the root key cannot be read, Unavailable.
    """
    async with store.database.exclusively(_CHANGE) as alone:
        if not alone:
            raise _running()
        rows = await store.database.fetch_all(KEYRING_SQL)
        resumed = any(row["state"] == "retiring" for row in rows)
        if store.vault.active_kek not in [row["id"] for row in rows if row["state"] == "active"]:
            # Another process has made the key; or it was committed here, and the answer to that was an error: the old one seals still.
            store.vault.use(open_keyring(rows, await _root_key(store, rows), store.vault.instance_id))
        if not resumed:
            await _begin(store, actor, rows)
        await settled(store.database)
        # Of every other key: a form may have sealed with the old one a moment before, and be written a moment later.
        others = sorted(store.vault.keks - {store.vault.active_kek})
        total = sum([await _count(store, table, old) for old in others for table in SEALED_TABLES])
        done, broken = 0, list[str]()
        for _ in range(_PASSES):
            broken = []
            for old, table in ((old, table) for old in others for table in SEALED_TABLES):
                async for count, sentences in _rewrapped(store, table, old):
                    done, broken = done + count, broken + sentences
                    progress(done, max(done, total))
            left = sum([await _count(store, table, old) for old in others for table in SEALED_TABLES])
            if left <= len(broken):
                break
        retired = [old for old in others if await _retire(store, actor, old)]
        return Rotation(store.vault.active_kek, resumed, done, tuple(retired), tuple(broken))


def _running() -> Conflict:
    return Conflict("A rotation, or a change of the root key, is running already. Wait until it has ended.", "rotation-running")


async def _begin(store: Store, actor: Actor, rows: list[Row]) -> None:
    """Make a new KEK the one that seals."""
    root = await _root_key(store, rows)
    before, row = store.vault.active_kek, next_kek(rows, root, store.vault.instance_id, store.clock())
    open_keyring([*rows, row], root, store.vault.instance_id)  # raises when another root key is found by now
    async with store.database.transaction() as transaction:
        if await transaction.fetch_one(f"{_STATE} RETURNING id", {"id": before, "state": "retiring", "before": "active"}) is None:
            raise _running()
        await transaction.execute(_INSERT, row)
        detail = f"it seals from now on, in place of key {before}"
        await store.chain.append(transaction, actor, Event("key.rotate", "key", str(row["id"]), f"key {row['id']}", detail=detail))
    store.vault.use(open_keyring(await store.database.fetch_all(KEYRING_SQL), root, store.vault.instance_id))


async def _count(store: Store, table: SealedTable, kek_id: int) -> int:
    row = await store.database.fetch_one(f"SELECT count(*) AS count FROM {table.table} WHERE kek_id = :kek_id", {"kek_id": kek_id})
    return 0 if row is None else int(row["count"])


async def _rewrapped(store: Store, table: SealedTable, old: int) -> AsyncIterator[tuple[int, list[str]]]:
    """Rewrap a table's values of this KEK, a chunk at a time: how many, and sentences about those that do not open.

    In the order in which they lie on the disk: in another one each of them is on a page of its own, and the log is full ten times as
    often, for whose checkpoint the hand-overs wait.
    """
    place, after = store.database.place
    while rows := await store.database.fetch_all(
        f"SELECT {place} AS place, id, account_id, sealed, {', '.join(table.columns)} FROM {table.table}"
        f" WHERE kek_id = :old AND {place} > :after ORDER BY {place} LIMIT :limit",
        {"old": old, "after": after, "limit": CHUNK},
    ):
        after, changed, broken = rows[-1]["place"], [], []
        for row in rows:
            try:
                changed.append((row, store.vault.rewrap(row["sealed"], table.place(row))))
            except SealBroken as error:
                broken.append(f"{table.noun} {printable(row['id'])} does not open: {error}")
        await _write(store, table, old, changed)
        yield len(changed), broken
        await asyncio.sleep(PAUSE)


async def _write(store: Store, table: SealedTable, old: int, changed: list[tuple[Row, Sealed]]) -> None:
    # Only where the row is still the one that was read: who replaced a value meanwhile has sealed it with the new key.
    sql = f"UPDATE {table.table} SET sealed = :sealed, kek_id = :new WHERE id = :id AND kek_id = :old AND sealed = :read"

    def write(batch: Batch) -> None:
        for row, sealed in changed:
            values = {"sealed": sealed.blob, "new": sealed.kek_id, "id": row["id"], "old": old, "read": row["sealed"]}
            batch.note(sql, values)  # what is kept of a hand-over opens as before: no key is lost

    await store.database.submit(write)


async def _retire(store: Store, actor: Actor, old: int) -> bool:
    """Retire a KEK that no row needs any more; False while one does, or when it was retired before."""
    async with store.database.transaction() as transaction:
        for table in SEALED_TABLES:
            if await transaction.fetch_one(f"SELECT 1 AS there FROM {table.table} WHERE kek_id = :old LIMIT 1", {"old": old}) is not None:
                return False
        row = await transaction.fetch_one(f"{_STATE} RETURNING id", {"id": old, "state": "retired", "before": "retiring"})
        if row is None:
            return False
        await store.chain.append(transaction, actor, Event("key.retire", "key", str(old), f"key {old}", detail="nothing is sealed with it"))
    return True


async def rewrap_root(store: Store, actor: Actor, place: Place) -> RootKey:
    """Wrap the keyring under the root key at this place, made when there is none; with a KMS it always is a new one. Returns that key.

    The keys stay the same, so nothing is sealed anew. Raises ConfigurationError, Conflict, Unavailable.
    """
    if isinstance(place, Path) and store.settings.root_key is None and place.resolve() == store.settings.root_key_file.resolve():
        raise Conflict(f"{place} is the root key's file now. Name another file for the new root key.", "same-root-key")
    async with store.database.exclusively(_CHANGE) as alone:
        if not alone:
            raise _running()
        rows = await store.database.fetch_all(KEYRING_SQL)
        root = await _root_key(store, rows)
        new = await asyncio.to_thread(new_root_key, store.settings, place, store.vault.instance_id)
        async with store.database.transaction() as transaction:
            rows = await transaction.fetch_all(KEYRING_SQL)
            changed = rewrap_keyring(rows, root, new.root, store.vault.instance_id)
            open_keyring(changed, new.root, store.vault.instance_id)
            await keep_wrapped(transaction, new.wrapped, store.clock())
            for row in changed:
                values = {name: row[name] for name in ("id", "wrapped", "root_fingerprint")}
                await transaction.execute(_REWRAPPED, values)
            detail = f"from the one with fingerprint {root.fingerprint}"
            event = Event("root_key.change", "root_key", new.root.fingerprint, f"root key {new.root.fingerprint}", detail=detail)
            await store.chain.append(transaction, actor, event)
    return new.root


async def _root_key(store: Store, keyring: list[Row]) -> RootKey:
    return await root_key_now(store.settings, store.database, keyring, store.vault.instance_id)
