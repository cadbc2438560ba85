"""`registry-credentials check`: does every sealed value open."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from webapp.command import Progress, unseen
from webapp.database import Database, Row
from webapp.names import printable
from webapp.sealed_values import SEALED_TABLES, SealedTable
from webapp.vault import SealBroken, Vault, key_id

_PAGE = 100
"""Values that are opened in one go: a millisecond of the event loop."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found: lines to print, and whether all is well."""

    ok: bool
    lines: tuple[str, ...]


async def check_store(database: Database, vault: Vault, progress: Progress = unseen) -> CheckReport:
    """Open every sealed value (and show none). Names those that do not open. Raises Unavailable."""
    lines: list[str] = []
    ok, done = True, 0
    total = sum([(await database.fetch_all(f"SELECT count(*) AS rows FROM {table.table}"))[0]["rows"] for table in SEALED_TABLES])
    for table in SEALED_TABLES:
        opened, broken = 0, []
        async for row in _rows(database, table):
            done += 1
            if done % _PAGE == 0:
                progress(min(done, total), total)
            try:
                await vault.opened(row["sealed"], table.place(row))
                if key_id(row["sealed"]) != row["kek_id"]:
                    raise SealBroken("it is filed under another key than it is sealed with")
                opened += 1
            except SealBroken as error:
                broken.append(f"{table.noun} {printable(str(row['name']))} ({printable(str(row['id']))}) does not open: {error}")
        lines += broken if table.passing and not opened else [*broken, f"{table.noun}s: {opened} open, {len(broken)} do not"]
        ok = ok and not broken
    progress(total, total)
    return CheckReport(ok=ok, lines=tuple(lines))


async def _rows(database: Database, table: SealedTable) -> AsyncIterator[Row]:
    """All rows of the table, also those that have something else than an id: SQLite lets its owner put anything there."""
    name = "id AS name" if table.passing else "name"
    select = f"SELECT id, account_id, {name}, kek_id, sealed, {', '.join(table.columns)} FROM {table.table}"
    for row in await database.fetch_all(f"{select} WHERE id IS NULL OR id = ''"):
        yield row
    after, skipped = "", 0
    while rows := await database.fetch_all(
        f"{select} WHERE id > :after ORDER BY id LIMIT :limit OFFSET :skipped", {"after": after, "limit": _PAGE, "skipped": skipped}
    ):
        for row in rows:
            yield row
        last = rows[-1]["id"]
        if isinstance(last, str) and last.isascii():
            after, skipped = last, 0
        else:  # what cannot be asked for is counted past
            skipped += len(rows)
