"""PostgreSQL as the engine: what is different there, since other processes write, and a server may go."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from tests.real.postgresql import SUPERUSER, Cluster
from webapp.database import Batch, Database, postgresql_reads
from webapp.database.migrations import migrate
from webapp.database.postgresql import bound, insert, lock_number
from webapp.database.rows import StatementFailed
from webapp.errors import Unavailable

pytestmark = pytest.mark.anyio

ADD = "INSERT INTO accounts (id, name, version, created_at) VALUES (:account_id, :name, 1, 1)"
RENAME = "UPDATE accounts SET name = :name WHERE id = :account_id"
NAME = "SELECT name FROM accounts WHERE id = :account_id"
COLUMNS = ("account_id", "nonce", "record_id", "spent_at")


@pytest.mark.parametrize(
    ("sql", "text", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT ':a' || :a", "SELECT ':a' || $1", ("a",)),
        ("SELECT 'it''s :a', :b_2", "SELECT 'it''s :a', $1", ("b_2",)),
        ("SELECT :a::text, x::bytea", "SELECT $1::text, x::bytea", ("a",)),
    ],
)
def test_named_binds_become_numbers(sql: str, text: str, names: tuple[str, ...]) -> None:
    assert bound(sql) == (text, names)


def test_rows_are_inserted_as_an_array_for_each_column() -> None:
    assert insert("t", ("a", "b"), ("text", "bytea")) == "INSERT INTO t (a, b) SELECT * FROM unnest($1::text[], $2::bytea[])"


def test_the_number_of_an_accounts_lock_fits() -> None:
    assert all(-(2**31) <= lock_number(str(number)) < 2**31 for number in range(1000))


@pytest.fixture
def name(postgresql: Cluster) -> Iterator[str]:
    made = postgresql.new_database()
    yield made
    postgresql.drop_database(made)


@pytest.fixture
async def two(postgresql: Cluster, name: str, anyio_backend: str) -> AsyncIterator[tuple[Database, Database]]:
    """One database, as two processes have it open, with the accounts of alice and charlie."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            opened.append(await Database.open(postgresql.url(name)))
            stack.push_async_callback(opened[-1].close)
        await migrate(opened[0], lambda: 1)
        for account_id in ("alices", "charlies"):
            async with opened[0].account(account_id).transaction() as transaction:
                await transaction.execute(ADD, {"name": "x"})
        yield opened[0], opened[1]


async def generation(database: Database, account_id: str = "alices") -> int:
    seen: list[int] = []
    await database.submit(lambda batch: seen.append(batch.generation(account_id)))
    return seen[-1]


async def rename(database: Database, name: str, account_id: str = "alices") -> None:
    async with database.account(account_id).transaction() as transaction:
        await transaction.execute(RENAME, {"name": name})


async def test_another_process_sees_that_what_it_kept_is_too_old(two: tuple[Database, Database]) -> None:
    one, other = two
    before, of_charlie = await generation(other), await generation(other, "charlies")
    await rename(one, "y")
    assert await generation(other) == before + 1
    assert await generation(other, "charlies") == of_charlie
    async with one.transaction() as transaction:
        await transaction.execute("UPDATE accounts SET version = 2")
    assert await generation(other) == before + 2
    assert await generation(other, "charlies") == of_charlie + 1


async def test_a_change_that_was_rolled_back_raises_nothing(two: tuple[Database, Database]) -> None:
    one, other = two
    before = await generation(other)
    with pytest.raises(LookupError):
        async with one.account("alices").transaction() as transaction:
            await transaction.execute(RENAME, {"name": "y"})
            raise LookupError
    assert await generation(other) == before
    assert await one.fetch_all("SELECT name FROM accounts WHERE id = 'alices'") == [{"name": "x"}]


async def test_a_batch_reads_one_state_of_the_database(two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    before = await generation(one)
    real, reads = postgresql_reads.Reads.read, list[str]()

    async def read(self: postgresql_reads.Reads, wanted: postgresql_reads.NotRead) -> None:
        await real(self, wanted)
        reads.append("")
        await rename(other, f"changed-{len(reads)}")

    monkeypatch.setattr(postgresql_reads.Reads, "read", read)
    seen: list[tuple[int, list[str]]] = []

    def write(batch: Batch) -> None:
        first = batch.generation("charlies")
        rows = [batch.rows(NAME, {"account_id": "alices"}), batch.rows(NAME + " AND version > 0", {"account_id": "alices"})]
        seen.append((first + batch.generation("alices"), [row[0]["name"] for row in rows]))

    await one.submit(write)
    assert len(reads) >= 3, "each was a round trip, and the other process changed something after each"
    assert seen == [(2 * before, ["x", "x"])]
    await one.submit(lambda batch: seen.append((batch.generation("alices"), [])))
    assert seen[-1][0] == before + len(reads), "and the next batch sees it all"


async def test_who_asks_again_and_again_for_something_else_is_stopped(two: tuple[Database, Database]) -> None:
    asked = 0

    def restless(batch: Batch) -> None:
        nonlocal asked
        asked += 1
        batch.insert("form_nonces", COLUMNS, ("alices", f"n{asked}", "r", 1))
        batch.rows("SELECT :number AS n", {"number": str(asked)})

    def good(batch: Batch) -> None:
        batch.insert("form_nonces", COLUMNS, ("alices", "good", "r", 1))

    results = await asyncio.gather(two[0].submit(restless), two[0].submit(good), return_exceptions=True)
    assert isinstance(results[0], RuntimeError)
    assert results[1] is None
    assert await two[0].fetch_all("SELECT nonce FROM form_nonces") == [{"nonce": "good"}]


async def test_transactions_of_one_account_wait_for_each_other_and_of_two_do_not(two: tuple[Database, Database]) -> None:
    one, other = two
    order: list[str] = []

    async def second(account_id: str) -> None:
        async with other.account(account_id).transaction() as transaction:
            order.append(account_id)
            await transaction.execute(RENAME, {"name": "second"})

    async with one.account("alices").transaction() as transaction:
        await second("charlies")
        waiting = asyncio.create_task(second("alices"))
        for _ in range(20):
            await transaction.fetch_one(NAME)
        order.append("first")
        await transaction.execute(RENAME, {"name": "first"})
    await waiting
    assert order == ["charlies", "first", "alices"]
    assert await one.fetch_all("SELECT name FROM accounts WHERE id = 'alices'") == [{"name": "second"}]


async def test_a_transaction_of_the_whole_database_runs_alone(two: tuple[Database, Database]) -> None:
    one, other = two
    order: list[str] = []
    async with one.transaction() as transaction:
        waiting = asyncio.create_task(rename(other, "y"))
        waiting.add_done_callback(lambda _: order.append("account"))
        for _ in range(20):
            await transaction.fetch_one("SELECT 1 AS one")
        order.append("whole")
    await waiting
    await asyncio.sleep(0)
    assert order == ["whole", "account"]


async def test_a_batch_waits_for_no_transaction(two: tuple[Database, Database]) -> None:
    async with two[0].account("alices").transaction() as transaction:
        await transaction.execute(RENAME, {"name": "y"})
        before = await generation(two[0])
        assert await generation(two[1]) == before
    assert await generation(two[1]) == before + 1


async def test_no_two_connections_that_write_have_the_same_number(two: tuple[Database, Database], postgresql: Cluster, name: str) -> None:
    async def numbers(database: Database) -> set[int]:
        found: list[int] = []
        await database.submit(lambda batch: found.append(batch.writer.number))
        async with database.transaction() as transaction:
            return {*found, transaction.writer.number}

    first, second = await numbers(two[0]), await numbers(two[1])
    assert first | second == {0, 1, 2, 3}
    await two[0].close()
    again = await Database.open(postgresql.url(name))
    assert await numbers(again) == first, "they are free when their process ends"
    await again.close()


async def cut(postgresql: Cluster, name: str) -> None:
    """End every connection to this database, as a failover or an impatient administrator does."""
    await postgresql.execute(SUPERUSER, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


async def test_connections_that_were_cut_are_opened_again_and_nobody_notices(
    two: tuple[Database, Database], postgresql: Cluster, name: str
) -> None:
    before = await generation(two[0])
    await cut(postgresql, name)
    assert await two[0].fetch_all("SELECT id FROM accounts ORDER BY id") == [{"id": "alices"}, {"id": "charlies"}]
    await rename(two[0], "y")
    assert await generation(two[0]) == before + 1


async def test_a_transaction_whose_connection_is_cut_is_not_committed(
    two: tuple[Database, Database], postgresql: Cluster, name: str
) -> None:
    with pytest.raises(Unavailable):
        async with two[0].account("alices").transaction() as transaction:
            await transaction.execute(RENAME, {"name": "half"})
            await cut(postgresql, name)
    assert await two[0].fetch_all("SELECT name FROM accounts WHERE id = 'alices'") == [{"name": "x"}]
    await rename(two[0], "whole")
    assert await two[1].fetch_all("SELECT name FROM accounts WHERE id = 'alices'") == [{"name": "whole"}]


async def test_a_cancelled_transaction_leaves_nothing_and_the_next_one_can_write(two: tuple[Database, Database]) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        async with two[0].account("alices").transaction() as transaction:
            await transaction.execute(RENAME, {"name": "half"})
            began.set()
            await transaction.fetch_one("SELECT pg_sleep(60) AS slept, CAST(:account_id AS TEXT) AS id")

    task = asyncio.create_task(slow())
    await began.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await rename(two[1], "whole")
    assert await two[0].fetch_all("SELECT name FROM accounts WHERE id = 'alices'") == [{"name": "whole"}]


async def test_no_error_quotes_a_value(two: tuple[Database, Database]) -> None:
    member = "INSERT INTO members (id, account_id, email, email_key, role, password_hash, mac, version, created_at)"
    for statement in (
        "INSERT INTO accounts (id, name, version, created_at) VALUES (:account_id, NULL, :name, 1)",  # a text where a number goes
        "INSERT INTO agents (id, account_id, name) VALUES ('a', :account_id, :name)",  # columns that must not be empty
        f"{member} VALUES ('m', :account_id, 'e', 'e', :name, 'h', 'x', 1, 1)",  # a check
    ):
        with pytest.raises(StatementFailed) as caught:
            async with two[0].account("alices").transaction() as transaction:
                await transaction.execute(statement, {"name": "hunter2"})
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter2" not in repr(error)
            error = error.__cause__ or error.__context__


async def test_what_is_committed_is_there_after_a_crash(two: tuple[Database, Database], postgresql: Cluster) -> None:
    for number in range(5):
        row = ("alices", f"n{number}", "r", number)
        await two[0].submit(partial(Batch.insert, table="form_nonces", columns=COLUMNS, row=row))
    postgresql.kill()
    began = time.monotonic()
    for asking in (two[0].fetch_all("SELECT 1 AS one"), rename(two[0], "y"), generation(two[0])):
        with pytest.raises(Unavailable):
            await asking
    assert time.monotonic() - began < 5, "they are told so, and not kept waiting"
    await asyncio.to_thread(postgresql.start)
    for _ in range(100):
        try:
            found = await two[0].fetch_all("SELECT count(*) AS rows FROM form_nonces")
            break
        except Unavailable:
            await asyncio.sleep(0.02)
    assert found == [{"rows": 5}]
    await rename(two[0], "back")
