"""Numbered migrations, one set for every engine, each in a transaction of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from webapp.clock import Clock
from webapp.database.database import Database
from webapp.database.kinds import is_postgresql
from webapp.database.rows import NotPermitted
from webapp.errors import ConfigurationError

FOLDER = Path(__file__).parent / "migrations"

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

VERSIONS_SQL = "SELECT number FROM migrations ORDER BY number"

_MIGRATIONS = "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
_APPLIED = "SELECT number FROM migrations WHERE number = :number"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its statements, in the engine's own words."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(words: Mapping[str, str]) -> list[Migration]:
    """All that this program knows, in order, in the words of an engine."""
    return [_read(number, path, words) for number, path in _files()]


def newest() -> int:
    """The number of the last one that this program knows."""
    return _files()[-1][0]


def refuse_newer(applied: list[int], *, ahead: int = 0) -> None:
    """Refuse a database that a newer program has migrated further than `ahead` migrations. Raises ConfigurationError."""
    known = newest()
    if applied and max(applied) > known + ahead:
        raise ConfigurationError(
            f"WEBAPP_DATABASE_URL: the database is at migration {max(applied)}, and this program knows {known} at the most."
            " Run the newer program."
        )


def may_be_ahead(url: str) -> int:
    """How many migrations a database may be ahead of the program that opens it.

    One, where several processes use it: each migration leaves the database in a state that the program before it works with, so that the
    processes may be replaced one by one. SQLite has one process, and nothing to wait for.
    """
    return 1 if is_postgresql(url) else 0


async def migrate(database: Database, clock: Clock, *, ahead: int = 0) -> list[str]:
    """Bring the database up to date; returns the names of what was applied. Raises ConfigurationError, Unavailable.

    Any number of processes may do it at a time: each migration is one transaction of the whole database, in which the others wait.
    """
    try:
        return await _migrated(database, clock, ahead)
    except NotPermitted:
        pass
    raise ConfigurationError(
        "WEBAPP_DATABASE_URL: the user may not make or change tables there (PostgreSQL says 42501). Make it the owner of the database and"
        " of all that is in it."
    )


async def _migrated(database: Database, clock: Clock, ahead: int) -> list[str]:
    async with database.transaction(patient=True) as transaction:
        await transaction.execute_all((*database.own_tables, _MIGRATIONS))
    applied = {row["number"] for row in await database.fetch_all(VERSIONS_SQL)}
    refuse_newer(sorted(applied), ahead=ahead)
    done = []
    for number, path in _files():
        if number in applied:
            continue
        migration = _read(number, path, database.words)
        async with database.transaction(patient=True) as transaction:
            if await transaction.fetch_one(_APPLIED, {"number": migration.number}) is not None:
                continue  # another process was quicker
            await transaction.execute_all(migration.statements)
            await transaction.execute(
                "INSERT INTO migrations (number, name, applied_at) VALUES (:number, :name, :now)",
                {"number": migration.number, "name": migration.name, "now": clock()},
            )
        done.append(migration.name)
    return done


def _files() -> list[tuple[int, Path]]:
    """The files of all migrations by their numbers, in order."""
    found = []
    for path in sorted(FOLDER.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise RuntimeError(f"{path.name} is not named as a migration")
        found.append((int(match[1]), path))
    return found


def _read(number: int, path: Path, words: Mapping[str, str]) -> Migration:
    return Migration(number, path.stem, _statements(path.read_text("utf-8"), words))


def _statements(text: str, words: Mapping[str, str]) -> tuple[str, ...]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    for word, meaning in words.items():
        lines = re.sub(rf"\b{word}\b", meaning, lines)
    return tuple(part.strip() for part in lines.split(";\n") if part.strip())
