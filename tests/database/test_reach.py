"""Whether a server is reached: who ends while it connects has not found out that it is not."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.real.postgresql import Cluster
from webapp.database import Database
from webapp.database.postgresql_connection import PostgresqlConnection

pytestmark = pytest.mark.anyio


@pytest.fixture
def name(postgresql: Cluster) -> Iterator[str]:
    made = postgresql.new_database()
    yield made
    postgresql.drop_database(made)


async def test_who_ends_while_it_connects_sends_nobody_away(postgresql: Cluster, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await Database.open(postgresql.url(name))
    try:
        begun, connect = asyncio.Event(), PostgresqlConnection.open

        async def begin(connection: PostgresqlConnection) -> None:
            begun.set()
            await connect(connection)

        monkeypatch.setattr(PostgresqlConnection, "open", begin)
        hasty = asyncio.create_task(database.fetch_one("SELECT 1 AS one"))
        await begun.wait()
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        assert await database.fetch_one("SELECT 1 AS one") == {"one": 1}
    finally:
        await database.close()
