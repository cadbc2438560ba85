"""`registry-credentials check`: does every sealed value open."""

from dataclasses import dataclass

from webapp.database import Database
from webapp.names import printable
from webapp.sealed_values import SEALED_TABLES
from webapp.vault import SealBroken, Vault, key_id

_PAGE = 500


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found: lines to print, and whether all is well."""

    ok: bool
    lines: tuple[str, ...]


async def check_store(database: Database, vault: Vault) -> CheckReport:
    """Open every sealed registry credential and secret (and show none). Names those that do not open."""
    lines: list[str] = []
    ok = True
    for table in SEALED_TABLES:
        opened, broken = 0, []
        after = ""
        name = "id AS name" if table.passing else "name"
        while rows := await database.fetch_all(
            f"SELECT id, account_id, {name}, kek_id, sealed, {', '.join(table.columns)} FROM {table.table}"
            " WHERE id > :after ORDER BY id LIMIT :limit",
            {"after": after, "limit": _PAGE},
        ):
            for row in rows:
                try:
                    vault.open(row["sealed"], table.place(row))
                    if key_id(row["sealed"]) != row["kek_id"]:
                        raise SealBroken("it is filed under another key than it is sealed with")
                    opened += 1
                except SealBroken as error:
                    broken.append(f"{table.noun} {printable(row['name'])} ({printable(row['id'])}) does not open: {error}")
            after = rows[-1]["id"]
        lines += broken if table.passing and not opened else [*broken, f"{table.noun}s: {opened} open, {len(broken)} do not"]
        ok = ok and not broken
    return CheckReport(ok=ok, lines=tuple(lines))
