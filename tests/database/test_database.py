"""The one queue of writes, the readers, and the scope of an account."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines import Engine, on_sqlite
from webapp.database import Batch, Database, DuplicateKey, Transaction
from webapp.database.migrations import migrate, migrations, refuse_newer
from webapp.database.sqlite import inspect, path_of, url_of
from webapp.errors import ConfigurationError, Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(anyio_backend: str, engine: Engine) -> AsyncIterator[Database]:
    opened = await Database.open(await engine.migrated_url())
    yield opened
    await opened.close()


async def add_account(transaction: Transaction | Batch, account_id: str) -> None:
    await transaction.execute("INSERT INTO accounts (id, name, version, created_at) VALUES (:id, 'x', 1, 1)", {"id": account_id})


async def accounts(database: Database) -> list[str]:
    return [row["id"] for row in await database.fetch_all("SELECT id FROM accounts ORDER BY id")]


async def test_it_keeps_what_was_committed(database: Database) -> None:
    async with database.transaction() as transaction:
        await add_account(transaction, "acme")
    assert await accounts(database) == ["acme"]


async def test_it_rolls_back_when_the_page_fails(database: Database) -> None:
    with pytest.raises(LookupError):
        async with database.transaction() as transaction:
            await add_account(transaction, "acme")
            raise LookupError
    assert await accounts(database) == []


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with # and %"
    folder.mkdir()
    database = await Database.open(url_of(folder / "store.sqlite3"))
    await migrate(database, lambda: 1)
    await database.close()
    assert (folder / "store.sqlite3").exists()


@on_sqlite  # PostgreSQL takes no such text
async def test_text_that_is_no_utf_8_is_read_and_holds_no_reader_at_an_old_state(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO accounts (id, name, version, created_at) VALUES ('acme', CAST(x'61ff' AS TEXT), 1, 1)")
    sql = "SELECT name FROM accounts"
    for _ in range(10):  # each of the readers, and the one in the event loop
        assert [await database.fetch_all(sql), await database.fetch_all_now(sql)] == [[{"name": "a\udcff"}]] * 2
    async with database.transaction() as transaction:
        assert await transaction.fetch_all(sql) == [{"name": "a\udcff"}]
        with pytest.raises(Unavailable):
            await transaction.fetch_one("UPDATE accounts SET version = version + 1 RETURNING name")  # not done twice
        await transaction.execute("UPDATE accounts SET name = 'acme'")
    for _ in range(10):
        assert [await database.fetch_all(sql), await database.fetch_all_now(sql)] == [[{"name": "acme"}]] * 2


@on_sqlite  # on PostgreSQL a reader may be any connection
async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.fetch_all("DELETE FROM accounts RETURNING id")


async def test_a_cancelled_page_leaves_nothing_and_the_next_one_can_write(database: Database) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as transaction:
            await add_account(transaction, "half")
            began.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(slow())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.transaction() as transaction:
        await add_account(transaction, "whole")
    assert await accounts(database) == ["whole"]


@on_sqlite  # on PostgreSQL it is no error: tests/database/test_postgresql.py loses the connection
async def test_a_failed_commit_replaces_the_connection_and_tells_the_caller(database: Database) -> None:
    with pytest.raises(Exception, match=r"cannot commit|no transaction"):
        async with database.transaction() as transaction:
            await add_account(transaction, "lost")
            await transaction.execute("ROLLBACK")  # so that COMMIT fails, as it does on a full disk
    async with database.transaction() as transaction:
        await add_account(transaction, "next")
    assert await accounts(database) == ["next"]


@on_sqlite  # on PostgreSQL batches of other accounts go on meanwhile
async def test_pages_and_batches_never_interleave(database: Database) -> None:
    async def page(number: int) -> None:
        async with database.transaction() as transaction:
            before = await transaction.fetch_one("SELECT count(*) AS n FROM accounts")
            await asyncio.sleep(0)
            await add_account(transaction, f"page-{number}")
            after = await transaction.fetch_one("SELECT count(*) AS n FROM accounts")
            assert before is not None
            assert after is not None
            assert after["n"] == before["n"] + 1
            if number % 3 == 0:
                raise LookupError

    def batched(number: int) -> "asyncio.Future[None]":
        async def write(batch: Batch) -> None:
            await add_account(batch, f"row-{number}")

        return asyncio.ensure_future(database.submit(write))

    results = await asyncio.gather(*(page(n) for n in range(30)), *(batched(n) for n in range(60)), return_exceptions=True)
    assert sum(isinstance(result, LookupError) for result in results) == 10
    assert sum(result is None for result in results) == 80
    assert len(await accounts(database)) == 80


async def test_every_request_of_a_batch_that_fails_is_told(database: Database) -> None:
    async def good(batch: Batch) -> None:
        await add_account(batch, "good")

    async def bad(batch: Batch) -> None:
        await batch.execute("INSERT INTO accounts (id) VALUES (NULL)")

    results = await asyncio.gather(database.submit(good), database.submit(bad), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert await accounts(database) == []
    await database.submit(good)
    assert await accounts(database) == ["good"]


async def test_commit_hooks_run_only_after_the_commit(database: Database) -> None:
    told: list[str] = []
    async with database.transaction() as transaction:
        transaction.on_commit(lambda: told.append("kept"))
        transaction.on_abandon(lambda: told.append("lost"))
        assert told == []
    assert told == ["kept"]
    with pytest.raises(LookupError):
        async with database.transaction() as transaction:
            transaction.on_commit(lambda: told.append("kept"))
            transaction.on_abandon(lambda: told.append("lost"))
            raise LookupError
    assert told == ["kept", "lost"]


async def test_a_hook_that_fails_after_the_commit_leaves_the_others_in_doubt(database: Database) -> None:
    told: list[str] = []

    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with database.transaction() as transaction:
            transaction.on_commit(fails)
            transaction.on_abandon(lambda: told.append("ask the database"))
            await add_account(transaction, "acme")
    assert told == ["ask the database"]
    assert await accounts(database) == ["acme"]


async def test_a_broken_unique_index_names_its_columns(database: Database) -> None:
    with pytest.raises(DuplicateKey) as caught:
        async with database.transaction() as transaction:
            await add_account(transaction, "acme")
            await add_account(transaction, "acme")
    assert caught.value.columns == ("id",)


async def test_an_account_sees_no_statement_without_its_id(database: Database) -> None:
    account = database.account("acme")
    with pytest.raises(RuntimeError, match=":account_id"):
        await account.fetch_all("SELECT id FROM accounts")
    with pytest.raises(RuntimeError, match=":account_id"):
        async with account.transaction() as transaction:
            await transaction.execute("DELETE FROM accounts")
    with pytest.raises(RuntimeError, match="no account"):
        await database.account("").fetch_all("SELECT id FROM accounts WHERE id = :account_id")


async def test_an_account_cannot_be_talked_into_another_ones_id(database: Database) -> None:
    async with database.transaction() as transaction:
        await add_account(transaction, "acme")
        await add_account(transaction, "other")
    rows = await database.account("acme").fetch_all("SELECT id FROM accounts WHERE id = :account_id", {"account_id": "other"})
    assert [row["id"] for row in rows] == ["acme"]


async def test_migrations_run_once_and_in_order(database: Database) -> None:
    assert await migrate(database, lambda: 2) == []
    assert [migration.number for migration in migrations({})] == list(range(1, len(migrations({})) + 1))


async def test_a_newer_database_is_refused(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO migrations (number, name, applied_at) VALUES (9999, 'from the future', 1)")
    with pytest.raises(ConfigurationError, match="migration 9999"):
        await migrate(database, lambda: 3)
    with pytest.raises(ConfigurationError):
        refuse_newer([1, 9999])


async def test_deleted_values_are_overwritten_on_disk(tmp_path: Path) -> None:
    url = url_of(tmp_path / "store.sqlite3")
    database = await Database.open(url)
    await migrate(database, lambda: 1)
    async with database.transaction() as transaction:
        await add_account(transaction, "a-marker-that-is-easy-to-find")
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM accounts")
    await database.close()
    assert b"a-marker-that-is-easy-to-find" not in path_of(url).read_bytes()


def test_inspecting_changes_no_byte(tmp_path: Path) -> None:
    assert inspect(url_of(tmp_path / "none.sqlite3"), ("SELECT 1",)) is None
    not_ours = tmp_path / "store.sqlite3"
    not_ours.write_bytes(b"this is no database, and is long enough to be looked at" * 100)
    before = not_ours.read_bytes()
    with pytest.raises(ConfigurationError, match="cannot be read as a database"):
        inspect(url_of(not_ours), ("SELECT id FROM installation",))
    assert not_ours.read_bytes() == before


async def test_a_read_that_was_given_up_leaves_nobody_at_an_old_state(database: Database) -> None:
    stale = 0
    for number in range(60):
        reading = asyncio.ensure_future(database.fetch_all("SELECT id FROM accounts"))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        async with database.transaction() as transaction:
            await add_account(transaction, f"late-{number}")
        row = await database.fetch_one("SELECT count(*) AS count FROM accounts WHERE id = :id", {"id": f"late-{number}"})
        stale += row is None or row["count"] != 1
    assert stale == 0
