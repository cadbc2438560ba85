"""`registry-credentials audit verify` and `audit cut`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from webapp.actor import Actor
from webapp.audit.heads import Head, read_heads
from webapp.audit.retention import cut
from webapp.audit.verification import verify
from webapp.clock import DAY, in_words
from webapp.command import DONE, REFUSED, Command, Outcome, Progress, Refusal, lines, unseen
from webapp.store import Store

_one_at_a_time = asyncio.Lock()
"""A log that is cut while it is verified would seem to lack rows."""

ALONE = "the audit log is verified or cut"
"""What one process does at a time."""

_CHANGED = "Somebody has changed the log, or the database is damaged."


async def audit_verify(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
    """Is every row as it was written, and are those there that heads name."""
    heads, since = await _heads(store, str(command.arguments.get("heads", ""))), bool(command.arguments.get("since_head"))
    if since and not heads:
        raise Refusal("There is no head to begin at. Name a file with heads: --heads FILE.")
    async with _alone(store):
        found = await verify(store.database, store.vault, progress, heads, since_head=since)
    told = [*(f"Chain {chain}." for chain in found.chains), *found.notes]
    if found.problems:
        return Outcome(REFUSED, lines(*told, *found.problems, _CHANGED))
    if found.uncovered is None:
        told.append("The log is whole. Whether rows were cut off at its end, only a signed head can tell.")
    else:
        told.append(f"The log is whole {'since' if since else 'up to'} the last head, of {in_words(max(head.at for head in heads))}.")
        told.append(f"Rows after that head, which none covers yet: {found.uncovered:,}.")
    return Outcome(DONE, lines(*told))


@asynccontextmanager
async def _alone(store: Store) -> AsyncIterator[None]:
    """Wait for who verifies or cuts the log in this process. Raises Refusal while another process does."""
    async with _one_at_a_time, store.database.exclusively(ALONE) as alone:
        if not alone:
            raise Refusal("Another process verifies or cuts the audit log just now. Try again when it has ended.")
        yield


async def audit_cut(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
    """Remove the rows of before a day, when the log is whole."""
    days = int(command.arguments["older_than"])
    before = store.clock() - days * DAY
    async with _alone(store):
        found = await verify(store.database, store.vault, unseen, await _heads(store, ""))
        if found.problems:
            raise Refusal(f"{found.problems[0]} {_CHANGED} So nothing was removed: run audit verify.")
        removed = await cut(store.database, store.vault, store.chain, store.clock, actor, before, progress)
    return Outcome(DONE, lines(f"Removed {removed:,} rows that were more than {days:,} days old."))


async def _heads(store: Store, named: str) -> Sequence[Head]:
    """The heads in this file, or else in the one that this installation writes, if there are any. Raises ConfigurationError, Refusal."""
    sink = "" if "://" in store.settings.audit_heads else store.settings.audit_heads
    heads = await asyncio.to_thread(_read, Path(named or sink), store, missing_is_empty=not named) if named or sink else ()
    if named and not heads:
        raise Refusal(f"There is no head in {named}.")
    return heads


def _read(path: Path, store: Store, *, missing_is_empty: bool) -> Sequence[Head]:
    return () if missing_is_empty and not path.exists() else read_heads(path, store.vault)
