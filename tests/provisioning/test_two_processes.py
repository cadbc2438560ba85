"""One agent that two processes serve: each hand-over has an id of its own, and its result is known by it at both."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, bearer, bootstrap_token, enroll, enrolled, provision, store_credential
from tests.two_stores import neighbour, on_postgresql
from webapp.agents.enrolment import Enrolment
from webapp.errors import Unavailable
from webapp.ids import new_id
from webapp.provisioning.provision import HandOver
from webapp.provisioning.provision_id import place_of
from webapp.vault import mint

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


async def report(house: House, token: str, provision_id: str, outcome: str = "pulled") -> httpx2.Response:
    client = await house.client()
    body = {"provision_id": provision_id, "outcome": outcome, "digest": None, "error": None}
    return await client.post("/api/v1/provision/result", json=body, headers=bearer(token))


async def furnish(house: House, alice: httpx2.AsyncClient) -> str:
    agent_id, token = await enrolled(house, alice)
    await give_an_image(alice, agent_id)
    return token


async def give_an_image(alice: httpx2.AsyncClient, agent_id: str) -> None:
    image = await add_image(alice, await store_credential(alice))
    assert (await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})).status_code == 303


async def ids_with_one_number(house: House, neighbour: House, token: str) -> tuple[str, str]:
    """Two hand-overs at the same time, whose rows have the same number in two chains."""
    here, there = list[str](), list[str]()
    for _ in range(12):
        for each, ids in ((house, here), (neighbour, there)):
            ids.append((await provision(each, token)).json()["provision_id"])
    return next((one, other) for one in here for other in there if place_of(one).number == place_of(other).number)


async def test_hand_overs_with_the_same_time_and_number_are_two(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    token = await furnish(house, alice)
    here, there = await ids_with_one_number(house, neighbour, token)
    assert here != there
    assert (await report(neighbour, token, here)).status_code == 200
    assert (await report(house, token, there, "failed")).status_code == 200, "it is no second result of the same hand-over"
    rows = await house.store.database.fetch_all("SELECT id, outcome FROM provision_results")
    assert {row["id"]: row["outcome"] for row in rows} == {here: "pulled", there: "failed"}


async def test_after_a_restore_an_id_means_the_only_row_that_fits(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    token = await furnish(house, alice)
    here, there = await ids_with_one_number(house, neighbour, token)
    alone = (await provision(house, token)).json()["provision_id"]
    house.store.chain.name = new_id()
    assert (await report(house, token, alone)).status_code == 200
    assert (await report(house, token, here)).status_code == 404, "two fit, and it is not guessed which one is meant"
    assert (await report(neighbour, token, there)).status_code == 200


async def test_who_was_told_to_try_again_before_its_turn_came_is_not_read_with_all_others_from_then_on(
    house: House, neighbour: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.store.database._group, "_longest", 0.1)
    provisions, told = house.app.state.provisions, asyncio.Queue[Exception | None]()
    token = await furnish(house, alice)
    async with neighbour.store.database.transaction() as transaction:
        await transaction.execute("LOCK TABLE generations")  # what every batch reads first
        for _ in range(50):
            guess = mint("a")
            provisions.queue(guess, HandOver(guess, None, None, house.app.state.parts).decide, told.put_nowait)
        assert {type(await told.get()) for _ in range(50)} == {Unavailable}
    assert provisions._asked == {}
    assert (await provision(house, token)).status_code == 200


async def test_what_was_kept_of_a_server_is_none_of_the_one_that_was_promoted_without_its_last_changes(
    house: House, neighbour: House, alice: httpx2.AsyncClient
) -> None:
    token = await furnish(house, alice)

    async def handed() -> str:
        return str((await provision(house, token)).json()["registry_auth"]["username"])

    async def rename(at: House, username: str) -> None:
        async with at.store.database.account(house.alice.account_id).transaction() as transaction:
            await transaction.execute("UPDATE registry_credentials SET username = :name WHERE account_id = :account_id", {"name": username})

    postgresql, database = house.engine.cluster, house.engine.made[-1]
    assert postgresql is not None
    there = "SELECT username, generation FROM registry_credentials JOIN generations USING (account_id)"
    username, generation = (await postgresql.execute(database, there)).split("|")
    await rename(house, "lost")
    assert [await handed() for _ in range(3)] == ["lost"] * 3, "and it is kept"
    there = f"UPDATE generations SET generation = {generation} WHERE account_id <> ''"
    promoted = f"UPDATE registry_credentials SET username = '{username}'; {there}"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    await postgresql.execute(database, f"{promoted}; {cut}")
    await rename(neighbour, "newer")
    assert await handed() == "newer"


async def test_a_token_that_is_used_at_the_other_process_meanwhile_is_not_taken_away(
    house: House, neighbour: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap = await bootstrap_token(alice)
    agent = (await enroll(house, bootstrap)).json()
    token = agent["agent_token"]
    await give_an_image(alice, agent["agent_id"])
    look = Enrolment._reason_to_reenrol

    async def look_and_be_late(*whatever: Any) -> str | None:
        found = await look(*whatever)
        await provision(neighbour, token)
        return found

    monkeypatch.setattr(Enrolment, "_reason_to_reenrol", look_and_be_late)
    refused = await enroll(house, bootstrap)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "agent-name-taken")
    assert (await provision(neighbour, token)).status_code == 200
