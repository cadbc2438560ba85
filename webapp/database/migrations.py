"""Numbered migrations, one set for every engine, each in a transaction of its own."""

import re
from dataclasses import dataclass
from pathlib import Path

from webapp.clock import Clock
from webapp.database import sqlite
from webapp.database.database import Database
from webapp.errors import ConfigurationError

FOLDER = Path(__file__).parent / "migrations"

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

VERSIONS_SQL = "SELECT number FROM migrations ORDER BY number"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its statements, in the engine's own words."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """All that this program knows, in order."""
    found = []
    for path in sorted(FOLDER.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise RuntimeError(f"{path.name} is not named as a migration")
        found.append(Migration(int(match[1]), path.stem, _statements(path.read_text("utf-8"))))
    return found


def refuse_newer(applied: list[int]) -> None:
    """Refuse a database that a newer program has migrated. Raises ConfigurationError."""
    newest = migrations()[-1].number
    if applied and max(applied) > newest:
        raise ConfigurationError(
            f"WEBAPP_DATABASE_URL: the database is at migration {max(applied)}, and this program knows {newest} at the most."
            " Run the newer program."
        )


async def migrate(database: Database, clock: Clock) -> list[str]:
    """Bring the database up to date; returns the names of what was applied. Raises ConfigurationError."""
    async with database.transaction() as transaction:
        await transaction.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
        )
    applied = {row["number"] for row in await database.fetch_all(VERSIONS_SQL)}
    refuse_newer(sorted(applied))
    done = []
    for migration in migrations():
        if migration.number in applied:
            continue
        async with database.transaction() as transaction:
            await transaction.execute_all(migration.statements)
            await transaction.execute(
                "INSERT INTO migrations (number, name, applied_at) VALUES (:number, :name, :now)",
                {"number": migration.number, "name": migration.name, "now": clock()},
            )
        done.append(migration.name)
    return done


def _statements(text: str) -> tuple[str, ...]:
    for word, meaning in sqlite.WORDS.items():
        text = re.sub(rf"\b{word}\b", meaning, text)
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return tuple(part.strip() for part in lines.split(";\n") if part.strip())
