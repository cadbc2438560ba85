"""`registry-credentials restore FILE`: a backup becomes the store again, and nobody who was signed in with it is.

All is done in a copy, which takes the store's place at the very end: whenever a restore is interrupted, the store is the one before.
Of PostgreSQL it is `pg_restore` that brings the rows back, into a database that nobody has open; what ends with a restore ends afterwards.
The audit log goes on in a new chain. Its first row and a signed note name where the backup ends, so that rows which were written after
the backup, and which signed heads name, are known to be left behind by a restore.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from webapp.actor import Actor
from webapp.audit.heads import current, read_heads
from webapp.audit.restores import NOTED, note
from webapp.audit.verification import verify
from webapp.chain import AuditChain, Event
from webapp.check import check_store
from webapp.clock import Clock, system_clock
from webapp.command import DONE, REFUSED, Outcome, Progress, Refusal, lines, said, unseen
from webapp.commands import actor_of
from webapp.database import Transaction, inspect, is_postgresql
from webapp.database.copies import CopyFailed, copy_into, remove_database, replace_database
from webapp.database.lock import store_lock
from webapp.database.sqlite import path_of, url_of
from webapp.errors import ConfigurationError, StoreLocked
from webapp.ids import new_id
from webapp.keyring_watch import KEYRING_SQL
from webapp.names import printable
from webapp.settings import Settings
from webapp.store import Store, open_locked_store, open_store
from webapp.terminal import begin_command, progress_shown

AGENTS = {
    "keep": "all agents of the backup stay enrolled: also those that were revoked after it was made, so revoke these again",
    "end": "all agents are revoked, and have to enrol again",
}
"""What becomes of the agents."""

ENDED = {
    "sessions": "UPDATE sessions SET ended_at = :now WHERE ended_at IS NULL",
    "bootstrap tokens": "UPDATE bootstrap_tokens SET revoked_at = :now WHERE revoked_at IS NULL",
    "API tokens": "UPDATE api_tokens SET revoked_at = :now WHERE revoked_at IS NULL",
    "invitations": "UPDATE invitations SET revoked_at = :now WHERE revoked_at IS NULL AND accepted_at IS NULL",
}
"""What ends with every restore: sessions and tokens that somebody may have given back since the backup was made."""

_FOREIGN = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"

_FORGOTTEN = ("DELETE FROM env_imports", "DELETE FROM minted_tokens", "UPDATE agents SET reenrol_until = NULL")
"""What lived for minutes or hours when the backup was made. A token may have been revoked since where it was minted; another one is."""

_AGENTS_ENDED = (
    "UPDATE agent_tokens SET revoked_at = :now WHERE revoked_at IS NULL",
    "UPDATE agents SET revoked_at = :now, version = version + 1 WHERE revoked_at IS NULL",
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: whether every value opens, and what is to be said. `aside` is the store that was there before, if one was."""

    ok: bool
    lines: Sequence[str]
    aside: Path | None


def restore_command_line(settings: Settings, file: str | None, agents: str, *, replace_store: bool) -> Outcome:
    """Restore a backup, which is this whole process; of PostgreSQL without a file. Raises ConfigurationError, Unavailable."""
    begin_command(settings)
    os.umask(0o077)
    try:
        if is_postgresql(settings.database_url):
            if file is not None:
                raise Refusal("The store is in PostgreSQL: bring the rows back with pg_restore first, and then say restore without a file.")
            done = asyncio.run(end_restored(settings, agents=agents, uid=os.getuid(), progress=progress_shown()))
        elif file is None:
            raise Refusal("Say which file is the backup: restore FILE.")
        else:
            backup = Path(file).absolute()
            done = asyncio.run(
                restore(settings, backup, agents=agents, replace_store=replace_store, uid=os.getuid(), progress=progress_shown())
            )
    except (Refusal, CopyFailed) as error:
        return Outcome(REFUSED, stderr=said(str(error)))
    return Outcome(DONE if done.ok else REFUSED, lines(*done.lines))


async def restore(
    settings: Settings, file: Path, *, agents: str, replace_store: bool, uid: int, progress: Progress, clock: Clock = system_clock
) -> Restored:
    """Make the backup in this file the store, in the name of this user; `agents` is a key of AGENTS.

    With `replace_store` a store that is there is put aside under another name; without, it is a reason to refuse. Raises Refusal,
    CopyFailed, ConfigurationError (also when the root key is another one), Unavailable; then the store is as it was.
    """
    settings.make_data_dir()
    path = await asyncio.to_thread(path_of(settings.database_url).resolve)
    temporary = path.with_name(f".{path.name}.restoring")
    try:
        with store_lock(settings.data_dir):
            await asyncio.to_thread(_refuse_names, path, file, replace_store=replace_store)
            remove_database(temporary)  # of a restore that was killed
            try:
                return await _restored(settings, path, temporary, file, agents, uid, progress, clock)
            finally:
                remove_database(temporary)
    except StoreLocked:
        raise Refusal(f"The store in {settings.data_dir} is in use. Stop the server first.") from None


async def _restored(
    settings: Settings, path: Path, temporary: Path, file: Path, agents: str, uid: int, progress: Progress, clock: Clock
) -> Restored:
    await asyncio.to_thread(copy_into, file, temporary, progress, threading.Event())
    _refuse(temporary, file)
    async with open_locked_store(replace(settings, database_url=url_of(temporary)), clock=clock) as store:
        report = await check_store(store.database, store.vault)
        log = await verify(store.database, store.vault, unseen)
        ends = await _end(store, await actor_of(store, uid), file.name, agents)
    aside = path.with_name(f"{path.name}.before-{datetime.fromtimestamp(clock() / 1000, UTC):%Y%m%dT%H%M%S%fZ}")
    there = await asyncio.to_thread(replace_database, temporary, path, aside)
    told = [f"Restored {file}. The server may start.", *report.lines, *ends]
    if log.problems:
        told.append(f"The audit log of the backup is not whole: {log.problems[0]} Run audit verify.")
    if there:
        told.append(f"The store that was there is in {aside}. Remove it when you do not need it any more.")
    return Restored(report.ok, tuple(told), aside if there else None)


async def end_restored(settings: Settings, *, agents: str, uid: int, progress: Progress, clock: Clock = system_clock) -> Restored:
    """End what a restore ends in a PostgreSQL database that `pg_restore` has just filled, in the name of this user.

    Raises Refusal while another process has it open, ConfigurationError (also when the root key is another one), Unavailable.
    """
    settings.make_data_dir()
    async with open_store(settings, clock=clock, patience=True) as store:
        await _refuse_others(store)
        report = await check_store(store.database, store.vault, progress)
        log = await verify(store.database, store.vault, unseen)
        ends = await _end(store, await actor_of(store, uid), "PostgreSQL", agents)
    told = ["The servers may start.", *report.lines, *ends]
    if log.problems:
        told.append(f"The audit log of the backup is not whole: {log.problems[0]} Run audit verify.")
    return Restored(report.ok, tuple(told), None)


async def _refuse_others(store: Store) -> None:
    """Raises Refusal while other processes have the store open."""
    if others := await store.database.other_writers():
        raise Refusal(f"{others} connections of other processes have the store open. Stop the servers first.")


def _refuse_names(path: Path, file: Path, *, replace_store: bool) -> None:
    """Raises Refusal when there is a store that may not be replaced, or no backup."""
    if path.exists() and not replace_store:
        raise Refusal(f"There is a store in {path} already. Say --replace to put it aside.")
    if not file.is_file():
        raise Refusal(f"There is no file {file}.")


def _refuse(copy: Path, file: Path) -> None:
    """Raises Refusal when what was copied is no backup of ours: otherwise a new store would be made in its place."""
    try:
        found = inspect(url_of(copy), ("SELECT id FROM installation", KEYRING_SQL, _FOREIGN))
    except ConfigurationError as error:
        raise Refusal(f"{file} is no backup of this program: {str(error).partition(': ')[2]}") from None
    if found is None or not all(found[:2]):
        raise Refusal(f"{file} is no backup of this program: it holds no keyring.")
    if found[2]:
        raise Refusal(f"{file} holds triggers or views, which this program never makes: they could keep a session from being ended.")


async def _end(store: Store, actor: Actor, name: str, agents: str) -> list[str]:
    """End what a restore ends, and begin the new chain, in one transaction."""
    lasts, now = (await current(store.database, store.vault, store.clock)).chains, store.clock()
    # Not before the last head that is known: a clock that is a little behind would make of this restore a removal.
    noted_at = max(now, await asyncio.to_thread(_last_head_at, store))
    chain = AuditChain(store.database, store.vault, store.clock, new_id())
    async with store.database.transaction() as transaction:
        # Again: one that began meanwhile goes on with the chain that ends here. Who begins now waits for this, and finds the new chain.
        await _refuse_others(store)
        counts = [f"{await _count(transaction, sql, now):,} {what}" for what, sql in ENDED.items()]
        for sql in _FORGOTTEN:
            await transaction.execute(sql)
        revoked = [await _count(transaction, sql, now) for sql in _AGENTS_ENDED][-1] if agents == "end" else 0
        await transaction.execute("UPDATE installation SET audit_chain = :chain", {"chain": chain.name})
        await transaction.execute(NOTED, note(store.vault, chain.name, noted_at, lasts))
        ends = "; ".join(f"the backup ends at row {last.seq} of chain {last.chain}" for last in lasts)
        detail = f"{ends}; agents: {agents}"
        await chain.append(transaction, actor, Event("store.restore", "backup", "", printable(name), detail=detail))
    ended = f"Ended {', '.join(counts[:-1])} and {counts[-1]}. "
    if agents == "end":
        return [f"{ended}Revoked {revoked:,} agents: they have to enrol again."]
    return [f"{ended}The agents are kept: those that were revoked after the backup was made live again, so revoke them again."]


def _last_head_at(store: Store) -> int:
    """When the last head was made that is in this installation's own file; 0 when there is none."""
    sink = store.settings.audit_heads
    if not sink or "://" in sink or not Path(sink).exists():
        return 0
    try:
        return max((head.at for head in read_heads(Path(sink), store.vault)), default=0)
    except ConfigurationError:  # of another installation, whose store was here before
        return 0


async def _count(transaction: Transaction, sql: str, now: int) -> int:
    """Run an UPDATE; how many rows it has changed."""
    return len(await transaction.fetch_all(f"{sql} RETURNING 1 AS one", {"now": now}))
