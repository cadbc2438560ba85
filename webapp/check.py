"""`registry-credentials check`: does every sealed value open, and is the database whole."""

from dataclasses import dataclass

from webapp.credentials.credential import seal_context
from webapp.database import Database
from webapp.vault import SealBroken, Vault

_PAGE = 500


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found: lines to print, and whether all is well."""

    ok: bool
    lines: tuple[str, ...]


async def check_store(database: Database, vault: Vault) -> CheckReport:
    """Open every sealed registry credential (and show none). Names those that do not open."""
    lines: list[str] = []
    opened = broken = 0
    after = ""
    while rows := await database.fetch_all(
        "SELECT id, account_id, name, host, auth_method, secret_version, sealed"
        " FROM registry_credentials WHERE id > :after ORDER BY id LIMIT :limit",
        {"after": after, "limit": _PAGE},
    ):
        for row in rows:
            try:
                vault.open(
                    row["sealed"], seal_context(row["account_id"], row["id"], row["secret_version"], row["host"], row["auth_method"])
                )
                opened += 1
            except SealBroken as error:
                broken += 1
                lines.append(f"registry credential {row['name']} ({row['id']}) does not open: {error}")
        after = rows[-1]["id"]
    lines.append(f"registry credentials: {opened} open, {broken} do not")
    return CheckReport(ok=broken == 0, lines=tuple(lines))
