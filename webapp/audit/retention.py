"""`registry-credentials audit cut`: remove the oldest rows of the audit log, with a signed note of where each chain begins now.

The note and the removal are one transaction, a few rows at a time, so that the log is whole whenever it is interrupted. A chain keeps its
last row. Who owns the database cannot make such a note, since it is signed with the key that signs heads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from webapp.actor import Actor
from webapp.audit.heads import CHAIN, CHAINS, is_as_written
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import Batch, Database, Row
from webapp.errors import Conflict
from webapp.vault import Vault

PURPOSE = "audit cut v1"

CHUNK = 100
"""Rows of one transaction: a millisecond or two, which hand-overs wait for."""

PAUSE = 0.01
"""Seconds between two of them."""

_FIRST_KEPT = "SELECT seq FROM audit_log WHERE chain = :chain AND at >= :before ORDER BY seq LIMIT 1"
_ENDS = "SELECT min(seq) AS first, max(seq) AS last FROM audit_log WHERE chain = :chain"
_GOING = "SELECT * FROM audit_log WHERE chain = :chain AND seq > :after AND seq <= :seq ORDER BY seq"
_REMOVED = "DELETE FROM audit_log WHERE chain = :chain AND seq <= :seq"
_NOTED = (
    "INSERT INTO audit_cuts (chain, seq, mac, at, signature) VALUES (:chain, :seq, :mac, :at, :signature)"
    " ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, at = excluded.at, signature = excluded.signature"
    " WHERE audit_cuts.seq < excluded.seq"  # another process, whose lock was lost with its connection, may be further by now
)


@dataclass(frozen=True, slots=True)
class Cut:
    """Up to where a chain's rows were removed: the number and the MAC of the last one of them, and when (Unix milliseconds)."""

    seq: int
    mac: bytes
    at: int


async def signed_cuts(database: Database, vault: Vault) -> tuple[dict[str, Cut], tuple[str, ...]]:
    """The cuts by chain, and the chains whose note is not signed. Raises Unavailable."""
    signed, unsigned = dict[str, Cut](), list[str]()
    for row in await database.fetch_all("SELECT chain, seq, mac, at, signature FROM audit_cuts"):
        chain = str(row["chain"])
        try:
            cut = Cut(row["seq"], row["mac"], row["at"])
            whole = CHAIN.fullmatch(chain) is not None and vault.is_signed(PURPOSE, _content(vault, chain, cut), row["signature"])
        except (AttributeError, TypeError):  # SQLite keeps anything in any column
            whole = False
        if whole:
            signed[chain] = cut
        else:
            unsigned.append(chain)
    return signed, tuple(unsigned)


async def cut(
    database: Database, vault: Vault, chain: AuditChain, clock: Clock, actor: Actor, before: int, progress: Callable[[int, int], None]
) -> int:
    """Remove the rows that stand before the first one of `before` (Unix milliseconds) or later; returns how many. Raises Unavailable.

    The audit log's own row about it comes first. Raises Conflict when the rows are not as they were written, or younger: then those
    that went before them are gone, and they and all others are there.
    """
    ends = {}
    for row in await database.fetch_all(CHAINS):
        first, last = await _range(database, row["chain"], before)
        if first <= last:
            ends[row["chain"]] = (first, last)
    total = sum(last - first + 1 for first, last in ends.values())
    if not total:
        return 0
    said = "; ".join(f"rows {first} to {last} of chain {name}" for name, (first, last) in ends.items())
    await chain.append_and_commit(actor, Event("audit.cut", "audit_log", chain.name, "audit log", detail=said))
    done = 0
    for name, (first, last) in ends.items():
        removed = first - 1
        while removed < last:
            end = min(removed + CHUNK, last)
            await _remove(database, vault, name, removed, end, before, clock())
            done, removed = done + end - removed, end
            progress(done, total)
            await asyncio.sleep(PAUSE)
    return total


async def _range(database: Database, chain: str, before: int) -> tuple[int, int]:
    """The numbers of the first and the last row that go; the last is smaller when none does."""
    ends: Row | None = await database.fetch_one(_ENDS, {"chain": chain})
    kept = await database.fetch_one(_FIRST_KEPT, {"chain": chain, "before": before})
    if ends is None or ends["last"] is None:
        return 1, 0
    return int(ends["first"]), (int(ends["last"]) if kept is None else int(kept["seq"])) - 1


async def _remove(database: Database, vault: Vault, chain: str, after: int, seq: int, before: int, now: int) -> None:
    def write(batch: Batch) -> None:
        rows = batch.rows(_GOING, {"chain": chain, "after": after, "seq": seq})
        # Looked at in the very transaction that signs for them: somebody may have changed them since they were verified.
        whole = [row["seq"] for row in rows] == list(range(after + 1, seq + 1)) and all(is_as_written(vault, row) for row in rows)
        follow = all(row["previous_mac"] == earlier["mac"] for earlier, row in pairwise(rows))
        if not (whole and follow and all(row["at"] < before for row in rows)):
            raise Conflict("The audit log was changed meanwhile. Run audit verify.", "audit-log-changed")
        made = Cut(seq, rows[-1]["mac"], now)
        signature = vault.signature(PURPOSE, _content(vault, chain, made))
        batch.note(_NOTED, {"chain": chain, "seq": seq, "mac": made.mac, "at": now, "signature": signature})
        batch.note(_REMOVED, {"chain": chain, "seq": seq})

    await database.submit(write)


def _content(vault: Vault, chain: str, made: Cut) -> bytes:
    return f"{vault.instance_id}\n{chain}\n{made.seq}\n{made.mac.hex()}\n{made.at}".encode()
