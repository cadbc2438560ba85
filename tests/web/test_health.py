"""The health checks: alive while the process answers, ready while the store can be read and there is room to write."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from webapp.database.space import LEAST_FREE

pytestmark = pytest.mark.anyio


async def test_it_is_alive_and_ready(stranger: httpx2.AsyncClient) -> None:
    for address, text in (("/livez", "alive\n"), ("/readyz", "ready\n")):
        answer = await stranger.get(address)
        assert (answer.status_code, answer.text) == (200, text)


@on_sqlite  # on PostgreSQL the disk is another host's
async def test_it_is_not_ready_when_the_disk_is_nearly_full(stranger: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LEAST_FREE == 256 * 1024 * 1024
    monkeypatch.setattr("webapp.web.health.LEAST_FREE", 2**62)  # more than any disk has
    answer = await stranger.get("/readyz")
    assert answer.status_code == 503
    assert "the disk is nearly full" in answer.text
    assert (await stranger.get("/livez")).status_code == 200


async def test_it_is_not_ready_when_the_store_cannot_be_read(house: House, stranger: httpx2.AsyncClient) -> None:
    async with house.store.database.transaction() as transaction:
        await transaction.execute("ALTER TABLE installation RENAME TO away")
    assert (await stranger.get("/readyz")).status_code == 500, "a fault, and no answer that says ready"
