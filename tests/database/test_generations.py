"""Which writes make what was kept of an account's rows too old."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines import Engine, on_sqlite
from webapp.database import Batch, Database
from webapp.database.generations import QUIET, is_quiet
from webapp.database.sqlite_engine import SqliteEngine
from webapp.provisioning import repository

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parent.parent.parent

LOUD = {
    "accounts": "an agent without an image of its own gets the account's default image",
    "agent_tokens": "a token that was revoked hands over nothing",
    "agents": "which image it gets, its name, and whether it is revoked",
    "bootstrap_tokens": "seldom written",
    "identities": "seldom written",
    "image_secrets": "seldom written",
    "image_variables": "seldom written",
    "images": "the reference, the credential, the user data",
    "invitations": "seldom written",
    "members": "seldom written",
    "passkeys": "seldom written",
    "registry_credentials": "the sealed value itself",
    "secrets": "seldom written",
    "variables": "seldom written",
}
"""Tables whose writes raise the generation, and why: because a hand-over is made of them, or because it costs nothing."""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM agents",
        " select name FROM images",
        "INSERT INTO agents (id) VALUES (:id)",
        "INSERT INTO accounts (id) VALUES (:id) ON CONFLICT (id) DO NOTHING",
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER)",  # at every start
        "UPDATE sessions SET seen_at = :now WHERE account_id = :account_id",
        "UPDATE agent_activity SET last_seen_at = :at",
        "UPDATE api_tokens SET last_used_at = :now WHERE account_id = :account_id",
        "DELETE FROM form_nonces WHERE spent_at < :now",
        "INSERT INTO audit_log (chain) VALUES (:chain)",
    ],
)
def test_reading_adding_and_what_is_written_all_the_time_change_nothing_that_was_kept(sql: str) -> None:
    assert is_quiet(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE agents SET revoked_at = :now",
        "update  registry_credentials\n SET sealed = :sealed",
        "UPDATE agents SET revoked_at = :now WHERE id = :id RETURNING name",
        "DELETE FROM registry_credentials WHERE id = :id",
        "INSERT INTO images (id) VALUES (:id) ON CONFLICT (id) DO UPDATE SET name = :name",
        "INSERT OR REPLACE INTO agents (id) VALUES (:id)",
        "REPLACE INTO agents (id) VALUES (:id)",
        "WITH old AS (SELECT 1) DELETE FROM agents",
        "ALTER TABLE agents ADD COLUMN more TEXT",
        "DROP TABLE sessions",
        "UPDATE audit_log_of_old SET x = 1",
    ],
)
def test_everything_else_does(sql: str) -> None:
    assert not is_quiet(sql)


def test_no_table_that_a_hand_over_is_made_of_is_quiet() -> None:
    tables = set(re.findall(r"(?:FROM|JOIN) (\w+)", repository._INTENDED))
    assert tables == {"agent_tokens", "agents", "accounts", "images", "registry_credentials"}
    assert tables.isdisjoint(QUIET)


def test_every_table_that_is_written_is_on_one_of_the_two_lists() -> None:
    written = set()
    for path in (ROOT / "webapp").rglob("*.py"):
        text = path.read_text("utf-8")
        written |= set(re.findall(r"""["'](?:UPDATE|DELETE FROM|INSERT INTO) ([\w{}.]+)""", text))
        written |= set(re.findall(r"""\.(?:insert|update)\(\s*f?"(\w+)["']""", text))
    ours = {"installation", "keyring", "migrations", "root_keys"}  # written at the start, and by a rotation
    engines = {"generations"}  # by the engine itself
    templates = {name for name in written if "{" in name}
    # These stand for tables that are named elsewhere, or in LOUD.
    assert templates == {"{table}", "{table.table}", "{self.kind.table}", "image_{store}"}
    unknown = {name for name in written - templates if name not in QUIET and name not in LOUD and name not in ours | engines}
    assert unknown == set()
    assert not QUIET & LOUD.keys()
    assert {"agents", "agent_tokens", "sessions", "registry_credentials", "images"} <= written, "the search finds them"


@pytest.fixture
async def database(anyio_backend: str, engine: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(await engine.migrated_url())
    async with opened.transaction() as transaction:
        for account_id in ("alices", "charlies"):
            await transaction.execute(
                "INSERT INTO accounts (id, name, version, created_at) VALUES (:id, 'x', 1, 1)",
                {"id": account_id},
            )
    yield opened
    await opened.close()


RENAME = "UPDATE accounts SET name = 'y' WHERE id = :account_id"


async def of(database: Database, account_id: str) -> int:
    """The account's generation, as a batch sees it."""
    seen: list[int] = []
    await database.submit(lambda batch: seen.append(batch.generation(account_id)))
    return seen[0]


async def of_both(database: Database) -> tuple[int, int]:
    return await of(database, "alices"), await of(database, "charlies")


async def test_a_write_raises_its_own_accounts_generation(database: Database) -> None:
    before = await of_both(database)
    async with database.account("alices").transaction() as transaction:
        await transaction.execute(RENAME)
    assert await of_both(database) == (before[0] + 1, before[1])
    async with database.account("alices").transaction() as transaction:
        await transaction.fetch_one(RENAME + " RETURNING name")
        await transaction.fetch_all(RENAME + " RETURNING name")
    assert await of_both(database) == (before[0] + 2, before[1]), "once for each transaction"


async def test_a_write_that_names_no_account_raises_every_generation(database: Database) -> None:
    before = await of_both(database)
    async with database.transaction() as transaction:
        await transaction.execute("UPDATE accounts SET name = 'z'")
    assert await of_both(database) == (before[0] + 1, before[1] + 1)


@on_sqlite  # on PostgreSQL others read meanwhile: test_postgresql.py tells what they see
async def test_it_is_raised_with_the_commit_and_not_before(engine: Engine) -> None:
    inside = SqliteEngine(await engine.migrated_url())
    database = Database(inside)
    await inside.open()
    before = inside._generations.of("alices")
    async with database.account("alices").transaction() as transaction:
        await transaction.execute(RENAME)
        assert inside._generations.of("alices") == before, "nobody else reads meanwhile"
    assert inside._generations.of("alices") == before + 1
    await database.close()


@on_sqlite  # on PostgreSQL it is written with the rows, and rolled back with them
async def test_a_write_that_was_rolled_back_raises_it_too(database: Database) -> None:
    before = await of_both(database)
    with pytest.raises(LookupError):
        async with database.account("alices").transaction() as transaction:
            await transaction.execute(RENAME)
            raise LookupError
    assert await of_both(database) == (before[0] + 1, before[1])


async def test_reading_and_quiet_tables_raise_none(database: Database) -> None:
    before = await of_both(database)
    async with database.account("alices").transaction() as transaction:
        await transaction.fetch_all("SELECT id FROM accounts WHERE id = :account_id")
        await transaction.execute("DELETE FROM form_nonces WHERE account_id = :account_id")
    assert await of_both(database) == before


async def test_what_a_batch_writes_raises_it_before_the_next_one_reads(database: Database) -> None:
    before = await of(database, "alices")
    seen: list[int] = []

    def rename(batch: Batch) -> None:
        batch.write(RENAME, {"account_id": "alices"})
        seen.append(batch.generation("alices"))

    def note(batch: Batch) -> None:
        batch.note("UPDATE accounts SET version = 2 WHERE id = :account_id", {"account_id": "alices"})
        seen.append(batch.generation("alices"))

    await database.submit(rename)
    await database.submit(note)
    assert seen == [before, before + 1], "what this very batch reads is from before it"
    assert await of(database, "alices") == before + 1, "and what is only noted raises none"


@on_sqlite  # as above
async def test_a_batch_that_cannot_be_written_raises_it_too(database: Database) -> None:
    before = await of(database, "alices")

    def broken(batch: Batch) -> None:
        batch.write(RENAME, {"account_id": "alices"})
        batch.write("INSERT INTO accounts (id) VALUES (NULL)", {})

    with pytest.raises(Exception, match="nothing was released"):
        await database.submit(broken)
    assert await of(database, "alices") == before + 1
