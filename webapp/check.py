"""`registry-credentials check`: does every sealed value open."""

from collections.abc import Callable
from dataclasses import dataclass

from webapp.credentials import credential
from webapp.database import Database, Row
from webapp.names import printable
from webapp.secrets import named_value
from webapp.vault import SealBroken, SealContext, Vault

_PAGE = 500


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found: lines to print, and whether all is well."""

    ok: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A table with sealed values: what a row of it is called, the columns beside the common ones, and the place that it is sealed to."""

    noun: str
    table: str
    columns: str
    place: Callable[[Row], SealContext]


_TABLES = (
    _Sealed(
        "registry credential",
        "registry_credentials",
        ", host, auth_method",
        lambda row: credential.seal_context(row["account_id"], row["id"], row["secret_version"], row["host"], row["auth_method"]),
    ),
    _Sealed("secret", "secrets", "", lambda row: named_value.seal_context(row["account_id"], row["id"], row["secret_version"])),
)


async def check_store(database: Database, vault: Vault) -> CheckReport:
    """Open every sealed registry credential and secret (and show none). Names those that do not open."""
    lines: list[str] = []
    ok = True
    for table in _TABLES:
        opened, broken = 0, []
        after = ""
        while rows := await database.fetch_all(
            f"SELECT id, account_id, name, secret_version, sealed{table.columns} FROM {table.table}"
            " WHERE id > :after ORDER BY id LIMIT :limit",
            {"after": after, "limit": _PAGE},
        ):
            for row in rows:
                try:
                    vault.open(row["sealed"], table.place(row))
                    opened += 1
                except SealBroken as error:
                    broken.append(f"{table.noun} {printable(row['name'])} ({printable(row['id'])}) does not open: {error}")
            after = rows[-1]["id"]
        lines += [*broken, f"{table.noun}s: {opened} open, {len(broken)} do not"]
        ok = ok and not broken
    return CheckReport(ok=ok, lines=tuple(lines))
