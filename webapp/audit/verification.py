"""`registry-credentials audit verify`: is the audit log as it was written.

Each row's MAC is over the MAC before it and over the row (`webapp/chain.py`), so that a row which was changed, left out, added or moved
does not fit. What was cut off at the end fits: that shows only against a signed head that was kept elsewhere (`heads.py`). Two things
that are missing are no tampering, since the installation itself has said so: what a signed cut removed (`retention.py`), and what a
restore left behind, which the first row of the chain after it names.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from webapp.audit import coverage
from webapp.audit.coverage import Seen
from webapp.audit.heads import CHAIN, Head, is_as_written
from webapp.audit.restores import signed_restores
from webapp.audit.retention import Cut, signed_cuts
from webapp.chain import FIRST_MAC
from webapp.database import Database, Row
from webapp.names import printable
from webapp.vault import Vault

PAGE = 200
"""Rows that are looked at in one go: a millisecond or two of the event loop."""

_LARGEST = 2**63 - 1
_COUNTED = (
    "SELECT chain, count(*) AS rows, max(CASE WHEN seq <= :largest THEN seq END) AS last FROM audit_log GROUP BY chain ORDER BY chain"
)
"""SQLite puts text and bytes behind all numbers, so that they are larger than the largest."""
_LEFT = "SELECT count(*) AS rows FROM audit_log WHERE chain = :chain AND seq > :before"

MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: how many rows were looked at, what each chain has, and sentences about what does not fit, 20 at the most.

    `notes` are about what is missing for a good reason; `uncovered` is how many rows no head covers yet, None without heads.
    """

    rows: int
    chains: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    uncovered: int | None


async def verify(
    database: Database,
    vault: Vault,
    progress: Callable[[int, int], None],
    heads: Sequence[Head] = (),
    *,
    since_head: bool = False,
) -> Verification:
    """Verify every row that is there now, and what the heads name; with `since_head` only the rows from the ones that they name on.

    Raises Unavailable.
    """
    restores, unsigned = await signed_restores(database, vault)
    seen = Seen(coverage.named_by(heads), restores)
    cuts, uncut = await signed_cuts(database, vault)
    problems = [f"Notes of what was removed: {len(uncut):,} are not signed."] if uncut else []
    problems += [f"Notes of restores: {unsigned:,} are not signed."] if unsigned else []
    chains = []
    for row in await database.fetch_all(_COUNTED, {"largest": _LARGEST}):
        if isinstance(row["chain"], str) and CHAIN.fullmatch(row["chain"]):
            chains.append(await _chain(database, row, _begin(row["chain"], cuts, seen.named if since_head else {})))
        else:
            problems.append(f"Rows: {row['rows']:,} are in no chain of an installation.")
    done, total, said = 0, sum(chain.rows for chain in chains), list[str]()
    for chain in chains:
        walk = _Walk(chain.begin.mac, chain.begin.seq + 1)
        async for rows in _pages(database, chain):
            problems += walk.pass_by(vault, rows, seen, chain.name)
            done += len(rows)
            progress(min(done, total), total)
            await asyncio.sleep(0)
        if walk.rows < chain.rows:
            # A number that two rows have, at the end of a page, or none at all: the keys of the table may have been taken away.
            problems.append(f"Rows: {chain.rows - walk.rows:,} have no number of their own.")
        last = seen.lasts[chain.name] = walk.expected - 1 if walk.rows or not chain.begin.skips else chain.last or 0
        said.append(f"{chain.name}: {walk.rows:,} rows{' since the head' if chain.begin.skips else ''}, the last one is {last:,}")
    problems += coverage.problems(seen, cuts)
    notes = tuple(coverage.notes(seen, cuts))
    return Verification(done, tuple(said), tuple(problems[:MOST_PROBLEMS]), notes, coverage.uncovered(seen, heads))


@dataclass(frozen=True, slots=True)
class _Begin:
    """What stands before the first row to look at: its number, and its MAC, if known. `skips` when the rows before are not looked at."""

    seq: int
    mac: bytes | None
    skips: bool = False


def _begin(chain: str, cuts: Mapping[str, Cut], named: Mapping[str, coverage.Named]) -> _Begin:
    made = cuts.get(chain, Cut(0, FIRST_MAC, 0))
    head = max(named.get(chain, {}), default=0)
    # The row that the head names is looked at, too: its MAC has to be the one that the head has.
    return _Begin(head - 1, None, skips=True) if head > made.seq + 1 else _Begin(made.seq, made.mac)


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain as it is when its walk begins: how many rows are to be looked at, and the largest number, if there is any."""

    name: str
    rows: int
    last: int | None
    begin: _Begin


async def _chain(database: Database, row: Row, begin: _Begin) -> _Chain:
    rows = row["rows"]
    if begin.skips:
        rows = (await database.fetch_all(_LEFT, {"chain": row["chain"], "before": begin.seq}))[0]["rows"]
    return _Chain(row["chain"], rows, row["last"], begin)


async def _pages(database: Database, chain: _Chain) -> AsyncIterator[list[Row]]:
    after: object = chain.begin.seq if chain.begin.skips else None
    while rows := await _page(database, chain, after):
        yield rows
        after = rows[-1]["seq"]


async def _page(database: Database, chain: _Chain, after: object) -> list[Row]:
    behind = "" if after is None else " AND seq > :after"
    values = {"chain": chain.name, "last": chain.last, "limit": PAGE, **({"after": after} if behind else {})}
    return await database.fetch_all(
        f"SELECT * FROM audit_log WHERE chain = :chain AND seq <= :last{behind} ORDER BY seq LIMIT :limit", values
    )


@dataclass(slots=True)
class _Walk:
    """Where a walk over a chain is: the MAC of the row before, if known, the number that comes next, and how many rows were passed."""

    previous: bytes | None
    expected: int
    rows: int = 0

    def pass_by(self, vault: Vault, rows: Sequence[Row], seen: Seen, chain: str) -> list[str]:
        """Pass these rows; sentences about those that do not fit."""
        problems = []
        for row in rows:
            misfits = _misfits(vault, row, self.previous, self.expected)
            problems += misfits
            if not misfits:
                seen.note(chain, row)
            self.previous, self.expected = row["mac"], row["seq"] + 1 if isinstance(row["seq"], int) else self.expected
        self.rows += len(rows)
        return problems


def _misfits(vault: Vault, row: Row, previous: bytes | None, expected: int) -> list[str]:
    """What is wrong with this row, behind a row with this MAC (None: it is not known), where this number was to come."""
    number, found = row["seq"], []
    if not isinstance(number, int) or number < expected:
        found.append(f"A row has the number {printable(str(number))}, which none can have.")
        number = expected
    elif number != expected:
        missing = f"Row {expected:,} is" if number == expected + 1 else f"Rows {expected:,} to {number - 1:,} are"
        found.append(f"{missing} missing.")
    elif previous is not None and row["previous_mac"] != previous:
        found.append(f"Row {number:,} does not follow the row before it: one of the two was put in the place of another.")
    if not is_as_written(vault, row):
        found.append(f"Row {number:,} is not as it was written.")
    return found
