"""`registry-credentials audit verify`: is the audit log as it was written.

Each row's MAC is over the MAC before it and over the row (`webapp/chain.py`), so that a row which was changed, left out, added or moved
does not fit. What was cut off at the end fits: that shows only against a head that was kept elsewhere.
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from webapp.chain import FIRST_MAC, mac_input
from webapp.database import Database, Row
from webapp.names import printable
from webapp.vault import Vault

PAGE = 200
"""Rows that are looked at in one go: a millisecond or two of the event loop."""

MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: how many rows there are, the last one of each chain, and sentences about what does not fit, 20 at the most."""

    rows: int
    heads: tuple[str, ...]
    problems: tuple[str, ...]


async def verify(database: Database, vault: Vault, progress: Callable[[int, int], None]) -> Verification:
    """Verify every row that is there now, chain by chain. Raises Unavailable."""
    chains = await database.fetch_all("SELECT chain, count(*) AS rows, max(seq) AS last FROM audit_log GROUP BY chain ORDER BY chain")
    total = sum(int(chain["rows"]) for chain in chains)
    done, heads, problems = 0, list[str](), list[str]()
    for chain in chains:
        previous, expected, after = FIRST_MAC, 1, None
        while rows := await _page(database, chain, after):
            for row in rows:
                problems += _misfits(vault, row, previous, expected)
                previous, expected = row["mac"], row["seq"] + 1 if isinstance(row["seq"], int) else expected
            done, after = done + len(rows), rows[-1]["seq"]
            progress(min(done, total), total)
            await asyncio.sleep(0)
        heads.append(f"{printable(str(chain['chain']))}: {done:,} rows, the last one is {expected - 1:,}")
    return Verification(total, tuple(heads), tuple(problems[:MOST_PROBLEMS]))


async def _page(database: Database, chain: Row, after: object) -> list[Row]:
    # After whatever the last row had in place of a number: SQLite puts text behind all numbers.
    behind = "" if after is None else " AND seq > :after"
    values = {"chain": chain["chain"], "last": chain["last"], "limit": PAGE, **({"after": after} if behind else {})}
    return await database.fetch_all(
        f"SELECT * FROM audit_log WHERE chain = :chain AND seq <= :last{behind} ORDER BY seq LIMIT :limit", values
    )


def _misfits(vault: Vault, row: Row, previous: bytes, expected: int) -> list[str]:
    """What is wrong with this row, behind a row with this MAC, where this number was to come."""
    number, found = row["seq"], []
    if not isinstance(number, int) or number < expected:
        found.append(f"A row has the number {printable(str(number))}, which none can have.")
        number = expected
    elif number != expected:
        missing = f"Row {expected:,} is" if number == expected + 1 else f"Rows {expected:,} to {number - 1:,} are"
        found.append(f"{missing} missing.")
    elif row["previous_mac"] != previous:
        found.append(f"Row {number:,} does not follow the row before it: one of the two was put in the place of another.")
    if not _is_as_written(vault, row):
        found.append(f"Row {number:,} is not as it was written.")
    return found


def _is_as_written(vault: Vault, row: Row) -> bool:
    try:
        return hmac.compare_digest(row["mac"], vault.audit_mac(mac_input(row["previous_mac"], row)))
    except TypeError:  # SQLite keeps text and numbers in a column of bytes, and bytes in one of text
        return False
