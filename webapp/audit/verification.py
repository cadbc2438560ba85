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

_COUNTED = "SELECT count(*) AS rows, max(CASE WHEN seq <= :largest THEN seq END) AS last FROM audit_log WHERE chain = :chain"
"""SQLite puts text and bytes behind all numbers, so that they are larger than the largest."""
_LARGEST = 2**63 - 1
_ELSEWHERE = "SELECT count(*) AS rows FROM audit_log WHERE chain IS NULL OR chain <> :chain"

MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: how many rows there are, the last one of the chain, and sentences about what does not fit, 20 at the most."""

    rows: int
    heads: tuple[str, ...]
    problems: tuple[str, ...]


async def verify(database: Database, vault: Vault, progress: Callable[[int, int], None]) -> Verification:
    """Verify every row that is there now; an installation has one chain. Raises Unavailable."""
    chain = vault.instance_id
    counted = await database.fetch_all(_COUNTED, {"chain": chain, "largest": _LARGEST})
    total, last = int(counted[0]["rows"]), counted[0]["last"]
    elsewhere = int((await database.fetch_all(_ELSEWHERE, {"chain": chain}))[0]["rows"])
    done, previous, expected, after = 0, FIRST_MAC, 1, None
    problems = [f"Rows: {elsewhere:,} are in a chain that is not this installation's."] if elsewhere else []
    while rows := await _page(database, chain, last, after):
        for row in rows:
            problems += _misfits(vault, row, previous, expected)
            previous, expected = row["mac"], row["seq"] + 1 if isinstance(row["seq"], int) else expected
        done, after = done + len(rows), rows[-1]["seq"]
        progress(min(done, total), total)
        await asyncio.sleep(0)
    if done < total:
        # A number that two rows have, at the end of a page, or none at all: the keys of the table may have been taken away.
        problems.append(f"Rows: {total - done:,} have no number of their own.")
    heads = (f"{printable(chain)}: {done:,} rows, the last one is {expected - 1:,}",) if total else ()
    return Verification(total + elsewhere, heads, tuple(problems[:MOST_PROBLEMS]))


async def _page(database: Database, chain: str, last: object, after: object) -> list[Row]:
    behind = "" if after is None else " AND seq > :after"
    values = {"chain": chain, "last": last, "limit": PAGE, **({"after": after} if behind else {})}
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
