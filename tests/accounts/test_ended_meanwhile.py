"""What would outlive a session is not made by one that has ended in the same moment; and what a refused sign-in leaves as it was."""

from dataclasses import replace

import httpx2
import pytest

from tests.accounts.passkey_stories import AS_SCRIPT, CONFIRM, ENVIRON, ORIGIN, SIGN_IN, add, ask, show
from tests.personas import House, Persona
from tests.real.authenticator import Authenticator
from webapp.accounts.member import parse_email
from webapp.accounts.passkey import NewPasskey
from webapp.actor import Actor
from webapp.errors import Unauthorised
from webapp.names import parse_name

pytestmark = pytest.mark.anyio


@pytest.fixture
def house_environ() -> dict[str, str]:
    return ENVIRON


async def ended(house: House, persona: Persona) -> Actor:
    """The persona as their request sees them, whose session has ended since it was looked up."""
    client = await house.signed_in(persona)
    accessor = client.cookies["session"].split("_")[2]
    await house.store.sessions.end_one(persona.actor, accessor)
    return replace(persona.actor, accessor=accessor)


async def test_a_session_that_has_ended_makes_nothing_that_outlives_it(house: House) -> None:
    alice, store, name = await ended(house, house.alice), house.store, parse_name("backdoor")
    with pytest.raises(Unauthorised):
        await store.api_tokens.create(alice, name=name, role="admin", lifetime="365d")
    with pytest.raises(Unauthorised):
        await store.passkeys.add(alice, name, NewPasskey("a2V5", b"key", 0, synced=False, transports=()), "challenge")
    with pytest.raises(Unauthorised):
        await store.invitations.create(alice, parse_email("mallory@example.com"), "admin")
    with pytest.raises(Unauthorised):
        await store.team.change_role(alice, house.bob.member_id, "admin")
    for table in ("api_tokens", "passkeys", "invitations", "form_nonces"):
        assert await store.database.fetch_all(f"SELECT * FROM {table}") == []


async def test_a_refused_sign_in_leaves_the_browser_signed_in_as_it_was(house: House, alice: httpx2.AsyncClient) -> None:
    laptop = Authenticator(ORIGIN)
    await add(alice, laptop)
    browser = await house.client()
    said = laptop.get(await ask(browser, SIGN_IN))
    assert (await browser.post(SIGN_IN, json=said, headers=AS_SCRIPT)).status_code == 200
    first = browser.cookies["session"]
    assert "counts once" in (await browser.post(SIGN_IN, json=said, headers=AS_SCRIPT)).text
    assert (await browser.get("/images")).status_code == 200
    assert (await show(browser, laptop)).status_code == 200
    assert (await browser.get("/images")).status_code == 200
    assert (await (await house.client(first)).get("/images")).status_code == 303, "one that succeeded ends the session before it"


async def test_it_is_audited_who_confirms_with_another_ones_passkey(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient
) -> None:
    of_alice, of_bob = Authenticator(ORIGIN), Authenticator(ORIGIN)
    await add(alice, of_alice)
    await add(bob, of_bob)
    options = await ask(bob, CONFIRM) | {"allowCredentials": []}
    assert (await bob.post(CONFIRM, json=of_alice.get(options), headers=AS_SCRIPT)).status_code == 422
    last = (await house.audit())[-1]
    assert (last["action"], last["decision"], last["actor_label"], last["object_id"]) == (
        "member.confirm",
        "denied",
        "bob@example.com",
        house.bob.member_id,
    )
    assert last["detail"] == "the passkey that was shown is none of theirs"
