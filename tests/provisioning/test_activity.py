"""When agents were last here: noted at once, written a moment later, and never in the way of a rush."""

import asyncio
from dataclasses import replace

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, bearer, enrolled, provision, store_credential
from webapp.app import create_app
from webapp.clock import MINUTE, SECOND
from webapp.errors import Unavailable
from webapp.provisioning import activity
from webapp.provisioning.activity import Activity

pytestmark = pytest.mark.anyio


async def furnished(house: House, alice: httpx2.AsyncClient) -> tuple[str, str, str]:
    agent_id, token = await enrolled(house, alice)
    credential = await store_credential(alice)
    image = await add_image(alice, credential)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    return agent_id, token, credential


async def seen_and_used(house: House, agent_id: str, credential: str) -> tuple[int | None, int | None]:
    agent = await house.store.agents.get(house.alice.actor, agent_id)
    return agent.last_seen_at, (await house.store.credentials.get(house.alice.actor, credential)).last_used_at


def noted(house: House) -> Activity:
    found: Activity = house.app.state.parts.activity
    return found


async def test_it_is_written_a_moment_later_and_once_a_minute(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, credential = await furnished(house, alice)
    first = house.clock()
    for _ in range(4):
        await provision(house, token)
    assert await seen_and_used(house, agent_id, credential) == (None, None)
    await noted(house).write()
    assert await seen_and_used(house, agent_id, credential) == (first, first)
    house.clock.advance(MINUTE - SECOND)
    await provision(house, token)
    await noted(house).write()
    assert await seen_and_used(house, agent_id, credential) == (first, first)
    house.clock.advance(SECOND)
    await provision(house, token)
    await noted(house).write()
    assert await seen_and_used(house, agent_id, credential) == (first + MINUTE, first + MINUTE)


async def test_an_agent_that_gets_nothing_was_here_all_the_same(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    assert (await provision(house, token)).status_code == 409
    await noted(house).write()
    assert (await house.store.agents.get(house.alice.actor, agent_id)).last_seen_at == house.clock()


async def test_nobody_was_here_with_the_token_of_another(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, credential = await furnished(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    assert (await provision(house, token)).status_code == 401
    await noted(house).write()
    assert await seen_and_used(house, agent_id, credential) == (None, None)


async def test_a_later_result_is_not_overwritten_by_an_earlier_note(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, _ = await furnished(house, alice)
    handed = (await provision(house, token)).json()
    house.clock.advance(10 * SECOND)
    result = {"provision_id": handed["provision_id"], "outcome": "pulled", "digest": None, "error": None}
    client = await house.client()
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(token))).status_code == 200
    await noted(house).write()
    agent = await house.store.agents.get(house.alice.actor, agent_id)
    assert (agent.last_seen_at, agent.last_outcome) == (house.clock(), "pulled")


async def test_a_credential_that_was_deleted_meanwhile_hurts_nobody(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, credential = await furnished(house, alice)
    await provision(house, token)
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.execute("UPDATE images SET registry_credential_id = NULL WHERE account_id = :account_id")
    assert (await alice.post(f"/registry-credentials/{credential}/delete")).status_code == 303
    await noted(house).write()
    assert (await house.store.agents.get(house.alice.actor, agent_id)).last_seen_at == house.clock()


async def test_what_cannot_be_written_stays_noted(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, credential = await furnished(house, alice)
    await provision(house, token)
    await house.refuse_writes("agent_activity", "UPDATE")
    with pytest.raises(Unavailable):
        await noted(house).write()
    await house.take_writes()
    await noted(house).write()
    assert await seen_and_used(house, agent_id, credential) == (house.clock(), house.clock())


@pytest.mark.parametrize(("in_a_second", "waits"), [(0, 0), (3, 4)], ids=["as usual", "in a rush"])
async def test_it_waits_for_the_end_of_a_rush_but_not_for_ever(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, in_a_second: int, waits: int
) -> None:
    agent_id, token, credential = await furnished(house, alice)
    monkeypatch.setattr(activity, "RUSH", 2)
    monkeypatch.setattr(activity, "PATIENCE", 4)
    waited = 0
    real_sleep = asyncio.sleep

    async def a_second(seconds: float) -> None:
        """A second goes by in no time, with so many hand-overs in it."""
        nonlocal waited
        if seconds == activity.EVERY:
            for _ in range(in_a_second):
                await provision(house, token)
            waited += 1
        await real_sleep(0)

    written: list[int] = []

    class Watched(Activity):
        """Says after how many seconds it wrote."""

        async def _write_a_while(self, pause: float) -> None:
            await super()._write_a_while(pause)
            written.append(waited)

    parts = house.app.state.parts
    mine = Watched(house.store.database)
    house.app.state.parts = replace(parts, activity=mine)
    await provision(house, token)
    monkeypatch.setattr("webapp.provisioning.activity.asyncio.sleep", a_second)
    running = asyncio.create_task(mine.run())
    while not written:
        await real_sleep(0)
    running.cancel()
    assert written[0] == waits + 1
    assert await seen_and_used(house, agent_id, credential) == (house.clock(), house.clock())


async def test_what_is_noted_when_the_server_stops_is_written(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token, credential = await furnished(house, alice)
    again = create_app(house.settings, store=house.store)
    async with (
        again.router.lifespan_context(again),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=again, client=("192.0.2.7", 4242)), base_url=house.settings.public_url
        ) as client,
    ):
        assert (await client.get("/api/v1/provision", headers=bearer(token))).status_code == 200
        assert await seen_and_used(house, agent_id, credential) == (None, None)
    assert await seen_and_used(house, agent_id, credential) == (house.clock(), house.clock())
