"""Whose token it is that an agent or an installer comes with, and why one is refused; at the door, too."""

import httpx2
import pytest

from tests.personas import House
from tests.stories import bearer, bootstrap_token, enroll, enrolled
from webapp.actor import Actor
from webapp.clock import MINUTE
from webapp.vault import Token, mint, parse

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # which token is whose; enrolment's own tests ask the database on both

NOT_IT = "the token's accessor is known, the token is not"
RESULT = "/api/v1/provision/result"


def token_of(text: str) -> Token:
    found = parse(text, text[3])
    assert found is not None
    return found


def guess_at(text: str) -> Token:
    """A token with the accessor of this one, and other random bits."""
    other = mint(text[3])
    return Token(other.kind, text.split("_")[2], other.text)


async def test_an_agents_token_tells_the_agent(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, text = await enrolled(house, alice)
    find = house.store.enrolment.find_bearer
    who = Actor(house.alice.account_id, "agent", agent_id, "rack1-node07", accessor=text.split("_")[2])
    assert await find(token_of(text)) == (who, None)
    assert await find(guess_at(text)) == (who, NOT_IT)
    assert await find(mint("a")) is None
    await alice.post(f"/agents/{agent_id}/revoke")
    assert await find(token_of(text)) == (who, "the token is revoked")


async def test_a_bootstrap_token_tells_itself(house: House, alice: httpx2.AsyncClient) -> None:
    text, other = await bootstrap_token(alice), await bootstrap_token(alice)
    find = house.store.enrolment.find_bearer
    row = await house.store.database.fetch_one("SELECT id FROM bootstrap_tokens WHERE accessor = :a", {"a": text.split("_")[2]})
    assert row is not None
    accessor = text.split("_")[2]
    who = Actor(house.alice.account_id, "bootstrap_token", row["id"], accessor, accessor=accessor)
    assert await find(token_of(text)) == (who, None)
    assert await find(guess_at(text)) == (who, NOT_IT)
    assert await find(mint("b")) is None
    house.clock.advance(10 * MINUTE - 1)
    assert await find(token_of(text)) == (who, None)
    for later in (1, 1):
        house.clock.advance(later)
        assert await find(token_of(text)) == (who, "the token has expired")
    await house.tamper("UPDATE bootstrap_tokens SET revoked_at = 1 WHERE id = :id", id=row["id"])
    assert await find(token_of(text)) == (who, "the token is revoked")
    assert (await find(token_of(other)) or ("", ""))[1] == "the token has expired"


async def test_the_door_lets_nobody_through_whose_token_is_refused_or_unknown(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, text = await enrolled(house, alice)
    machine, before = await house.client(), len(await house.audit())
    unknown = await machine.post(RESULT, json={}, headers=bearer(mint("a").text.reveal().decode("ascii")))
    assert (unknown.status_code, len(await house.audit())) == (401, before), "a stranger writes no row"
    assert house.app.state.denials.unknown_total == 1
    assert (await machine.post(RESULT, json={}, headers=bearer(text))).status_code == 422
    await alice.post(f"/agents/{agent_id}/revoke")
    assert (await machine.post(RESULT, json={}, headers=bearer(text))).status_code == 401
    row = (await house.audit())[-1]
    told = {name: row[name] for name in ("action", "decision", "detail", "object_id", "object_kind", "object_name", "actor_id", "accessor")}
    assert told == {
        "action": "token.refuse",
        "decision": "denied",
        "detail": "the token is revoked",
        "object_id": agent_id,
        "object_kind": "agent",
        "object_name": "rack1-node07",
        "actor_id": agent_id,
        "accessor": text.split("_")[2],
    }
    expired = await bootstrap_token(alice)
    house.clock.advance(11 * MINUTE)
    assert (await enroll(house, expired, "another")).status_code == 401
