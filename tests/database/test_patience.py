"""On PostgreSQL others can keep a write waiting: whoever waits for too long is told to try again, and it goes on by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.real.postgresql import ROLE, Cluster
from webapp.database import Batch, Database
from webapp.database.group_commit import GroupCommit
from webapp.database.postgresql_engine import MOST_SECONDS, PostgresqlEngine
from webapp.errors import Unavailable

pytestmark = pytest.mark.anyio

LONGEST = 0.3
INSERT = "INSERT INTO notes (id) VALUES (:id)"


@pytest.fixture
def url(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.new_database()
    postgresql.sql(name, "; ".join((f"SET ROLE {ROLE}", "CREATE TABLE notes (id bigint PRIMARY KEY)", *PostgresqlEngine.own_tables)))
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
async def somebody_else(url: str, anyio_backend: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    yield database
    await database.close()


@pytest.fixture
async def group(url: str, anyio_backend: str) -> AsyncIterator[GroupCommit]:
    engine = PostgresqlEngine(url)
    engine.longest_wait = LONGEST  # so that the tests need not be patient either
    await engine.open()
    made = GroupCommit(engine)
    yield made
    await made.close()
    await engine.close()


async def note(group: GroupCommit, number: int) -> None:
    def write(batch: Batch) -> None:
        batch.write(INSERT, {"id": number})

    await group.submit(write)


async def notes(database: Database) -> list[int]:
    return [row["id"] for row in await database.fetch_all("SELECT id FROM notes ORDER BY id")]


async def test_nobody_waits_for_longer_than_a_request_may(group: GroupCommit, somebody_else: Database) -> None:
    async with somebody_else.transaction() as transaction:
        await transaction.execute("LOCK TABLE notes")
        began = time.monotonic()
        first = asyncio.ensure_future(note(group, 1))
        await asyncio.sleep(0.05)  # its batch is under way: the next one has to wait for that besides
        answers = await asyncio.gather(first, note(group, 2), note(group, 3), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        assert LONGEST <= time.monotonic() - began < 2.0, "and not the three seconds that PostgreSQL waits for a lock"
    await note(group, 4)
    # Whoever was taken may have been written; whoever only waited was not.
    assert await notes(somebody_else) in ([4], [1, 4])


async def test_who_was_told_is_not_told_again_and_the_others_are_written(group: GroupCommit, somebody_else: Database) -> None:
    told: list[Exception | None] = []
    async with somebody_else.transaction() as transaction:
        await transaction.execute("LOCK TABLE notes")
        group.queue(lambda batch: batch.write(INSERT, {"id": 1}), told.append)
        while not told:  # noqa: ASYNC110  that is the event
            await asyncio.sleep(0.01)
        later = asyncio.ensure_future(note(group, 2))
    await later
    assert [type(each) for each in told] == [Unavailable]
    assert await notes(somebody_else) == [1, 2]


async def test_who_is_gone_in_a_transaction_lets_go_of_its_locks_once_it_could_not_go_on_anyway(url: str, somebody_else: Database) -> None:
    gone = await Database.open(url)
    with pytest.raises(Unavailable):  # as its holder sees it, who was only slow
        async with gone.transaction() as transaction:
            found = await transaction.fetch_one("SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")
            assert found is not None
            assert MOST_SECONDS < int(found["setting"]) / 1000 <= 5
            await transaction.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            await transaction.execute(INSERT, {"id": 1})
            async with somebody_else.transaction() as other:  # which waits for that
                await other.execute(INSERT, {"id": 2})
            await transaction.execute(INSERT, {"id": 3})
    assert await notes(gone) == [2]
    await gone.close()
