"""A database of an older program is brought up to date, and keeps what it holds."""

import pytest

from tests.engines import Engine
from webapp.clock import system_clock
from webapp.database import Database
from webapp.database.migrations import migrate, migrations

pytestmark = pytest.mark.anyio

MIGRATIONS = "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"
FLEET = """
INSERT INTO installation (id, created_at) VALUES ('i', 1);
INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)
    VALUES (1, 'kek', 'active', '0', '0', 'f', 1);
INSERT INTO accounts (id, name, version, created_at) VALUES ('a', 'Acme', 1, 1);
INSERT INTO bootstrap_tokens (id, account_id, accessor, mac, description, allow_reenrolment, created_at, created_by, expires_at)
    VALUES ('b', 'a', 'x', '0', '', 0, 1, 'alice', 2);
INSERT INTO agents (id, account_id, name, name_key, bootstrap_token_id, enrolled_at, last_seen_at, last_outcome, last_outcome_at,
    last_error, version) VALUES ('seen', 'a', 'seen', 'seen', 'b', 1, 5, 'failed', 6, 'no space left', 1);
INSERT INTO agents (id, account_id, name, name_key, bootstrap_token_id, enrolled_at, version) VALUES ('new', 'a', 'new', 'new', 'b', 1, 1);
INSERT INTO registry_credentials (id, account_id, name, name_key, description, host, auth_method, username, sealed, kek_id, secret_version,
    version, created_at, updated_at, updated_by, replaced_at, replaced_by, last_used_at)
    VALUES ('used', 'a', 'c', 'c', '', 'ghcr.io', 'password', 'u', '0', 1, 1, 1, 1, 1, 'alice', 1, 'alice', 7);
"""


async def test_when_agents_were_seen_and_credentials_used_moves_to_tables_of_its_own(engine: Engine) -> None:
    database = await Database.open(engine.new_url())
    known = migrations(database.words)
    try:
        async with database.transaction() as transaction:
            await transaction.execute_all([*database.own_tables, MIGRATIONS])
            for migration in known[:2]:
                await transaction.execute_all(migration.statements)
                await transaction.execute(
                    "INSERT INTO migrations VALUES (:number, :name, 1)", {"number": migration.number, "name": migration.name}
                )
            await transaction.execute_all(FLEET.strip().removesuffix(";").split(";\n"))
        assert await migrate(database, system_clock) == [migration.name for migration in known[2:]]
        agents = await database.fetch_all("SELECT * FROM agent_activity ORDER BY agent_id")
        assert [tuple(row.values())[:6] for row in agents] == [("new", "a", *[None] * 4), ("seen", "a", 5, "failed", 6, "no space left")]
        credentials = await database.fetch_all("SELECT * FROM registry_credential_activity")
        assert [tuple(row.values())[:3] for row in credentials] == [("used", "a", 7)]
        assert await migrate(database, system_clock) == []
        async with database.transaction() as transaction:
            await transaction.execute("DELETE FROM registry_credentials")
        assert await database.fetch_all("SELECT * FROM registry_credential_activity") == [], "it goes with its credential"
    finally:
        await database.close()
