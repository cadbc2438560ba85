"""A hand-over that is on its way while something changes: nothing that was revoked or replaced is served afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests.engines import on_postgresql, on_sqlite
from tests.personas import House
from tests.stories import add_image, bearer, bootstrap_token, enroll, enrolled, provision, store_credential
from webapp.clock import SECOND
from webapp.database import AccountTransaction

pytestmark = pytest.mark.anyio

Change = Callable[[AccountTransaction], Awaitable[None]]


async def while_waiting(house: House, token: str, change: Change) -> httpx2.Response:
    """Ask for a hand-over that waits for the queue of writes, whose holder then makes this change."""
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        asked = asyncio.ensure_future(provision(house, token))
        for _ in range(50):  # as far as it gets: the queue is held
            await asyncio.sleep(0)
        assert not asked.done()
        await change(transaction)
    return await asked


async def agent_with_credential(house: House, alice: httpx2.AsyncClient) -> tuple[str, str]:
    agent_id, token = await enrolled(house, alice)
    image_id = await add_image(alice, await store_credential(alice))
    assert (await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})).status_code == 303
    return agent_id, token


@on_sqlite  # where it waits for whoever writes; on PostgreSQL it is served as it was before, or sees the change
@pytest.mark.parametrize(
    ("sql", "status"),
    [
        ("UPDATE agents SET revoked_at = 1 WHERE account_id = :account_id", 401),
        ("UPDATE agent_tokens SET revoked_at = 1 WHERE account_id = :account_id", 401),
        ("UPDATE agents SET image_id = NULL WHERE account_id = :account_id", 409),
        ("UPDATE images SET registry_credential_id = NULL WHERE account_id = :account_id", 200),
        ("UPDATE registry_credentials SET name = 'renamed' WHERE account_id = :account_id", 200),
    ],
)
async def test_it_sees_what_was_committed_before_its_own_row(house: House, alice: httpx2.AsyncClient, sql: str, status: int) -> None:
    _, token = await agent_with_credential(house, alice)

    async def change(transaction: AccountTransaction) -> None:
        await transaction.execute(sql)

    answer = await while_waiting(house, token, change)
    assert answer.status_code == status
    released = [row for row in await house.audit() if row["action"] == "registry_credential.release" and row["decision"] == "allowed"]
    if status != 200 or "registry_credential_id = NULL" in sql:
        assert released == []
        assert "hunter2" not in answer.text
    else:
        assert [row["object_name"] for row in released] == ["renamed"]


@on_postgresql  # where nobody waits for whoever writes
async def test_it_waits_for_no_change_that_is_not_committed_and_sees_it_afterwards(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await agent_with_credential(house, alice)
    assert (await provision(house, token)).status_code == 200
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.execute("UPDATE agents SET revoked_at = 1 WHERE account_id = :account_id")
        assert (await provision(house, token)).status_code == 200
    assert (await provision(house, token)).status_code == 401


async def test_a_machine_that_enrolled_again_has_ended_its_old_token(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, old = await agent_with_credential(house, alice)
    assert (await provision(house, old)).status_code == 200
    await alice.post(f"/agents/{agent_id}/allow-reenrolment")
    answer = await enroll(house, await bootstrap_token(alice))
    assert answer.status_code == 201
    assert (await provision(house, old)).status_code == 401
    assert (await provision(house, answer.json()["agent_token"])).status_code == 200


async def test_a_token_that_was_used_within_the_same_minute_counts_as_used(house: House, alice: httpx2.AsyncClient) -> None:
    bootstrap = await bootstrap_token(alice, allow_reenrolment="")
    first = (await enroll(house, bootstrap)).json()
    assert (await provision(house, first["agent_token"])).status_code == 409, "no image yet: it was here all the same"
    await alice.post(f"/agents/{first['agent_id']}/allow-reenrolment")
    house.clock.advance(5 * SECOND)
    second = (await enroll(house, bootstrap)).json()
    assert (await provision(house, second["agent_token"])).status_code == 409
    taken = await enroll(house, bootstrap)
    assert taken.status_code == 409, "the second token was used, too, so that nobody may take the name over"


async def test_many_agents_at_once_are_all_served_and_all_in_the_log(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await agent_with_credential(house, alice)
    client = await house.client()
    answers = await asyncio.gather(*(client.get("/api/v1/provision", headers=bearer(token)) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["provision_id"] for answer in answers}) == 100
    assert len([row for row in await house.audit() if row["action"] == "registry_credential.release"]) == 100
