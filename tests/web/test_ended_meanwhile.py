"""A request whose body takes its time: what ends before all of it is here ends the request, too."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from tests.stories import bearer, bootstrap_token, program
from webapp.actor import Actor
from webapp.clock import MINUTE
from webapp.vault import Secret

pytestmark = [pytest.mark.anyio, on_sqlite]  # it is asked again what is asked on both engines anyway

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

Act = Callable[[], Awaitable[object]]


def halves(first: str, act: Act, second: str) -> AsyncIterator[bytes]:
    """A body in the middle of which something happens elsewhere."""

    async def body() -> AsyncIterator[bytes]:
        yield first.encode()
        await act()
        yield second.encode()

    return body()


async def send_form(client: httpx2.AsyncClient, path: str, first: str, act: Act, second: str) -> httpx2.Response:
    """Send a form in two halves."""
    return await client.post(path, content=halves(first, act, second), headers=FORM)


async def count(house: House, table: str) -> int:
    return len(await house.store.database.fetch_all(f"SELECT * FROM {table}"))


async def test_who_is_removed_meanwhile_makes_no_bootstrap_token(house: House) -> None:
    erin = await house.signed_in(house.erin)

    async def remove() -> None:
        await house.store.team.remove(house.alice.actor, house.erin.member_id, revoke_bootstrap_tokens=True)

    answer = await send_form(erin, "/agents/bootstrap-tokens", "description=x", remove, "&lifetime=365d")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await count(house, "bootstrap_tokens") == 0


async def test_whose_password_is_reset_meanwhile_makes_no_api_token(house: House) -> None:
    erin = await house.signed_in(house.erin)

    async def reset() -> None:
        await house.store.passwords.reset(house.alice.actor, house.erin.email, Secret(b"another horse battery staple"))

    answer = await send_form(erin, "/settings/api-tokens", "name=backdoor", reset, "&role=editor&lifetime=365d")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await count(house, "api_tokens") == 0


async def test_whose_role_is_changed_meanwhile_has_the_new_one(house: House) -> None:
    erin = await house.signed_in(house.erin)

    async def demote() -> None:
        await house.store.team.change_role(house.alice.actor, house.erin.member_id, "viewer")

    answer = await send_form(erin, "/variables", "name=REGION", demote, "&value=eu")
    assert (answer.status_code, "Your role is viewer" in answer.text) == (403, True)
    assert await count(house, "variables") == 0
    last = (await house.audit())[-1]
    assert (last["action"], last["decision"], last["actor_label"]) == ("request.refuse", "denied", "erin@example.com")


async def test_a_token_that_is_revoked_meanwhile_stores_nothing(house: House) -> None:
    alice = await house.signed_in(house.alice)
    caller = await program(house, alice, role="editor")
    (token,) = (await house.store.api_tokens.page(house.alice.actor, member_id=None)).records

    async def revoke() -> None:
        await house.store.api_tokens.revoke(house.alice.actor, token.id, member_id=None)

    body = halves('{"name": "ghcr", "host": "ghcr.io", "auth_method": "password",', revoke, '"username": "acme", "password": "s3cret"}')
    answer = await caller.post("/api/v1/registry-credentials", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401, answer.text
    assert await count(house, "registry_credentials") == 0


async def test_a_bootstrap_token_that_is_revoked_meanwhile_enrols_nobody(house: House) -> None:
    alice = await house.signed_in(house.alice)
    token = await bootstrap_token(alice)

    async def revoke() -> None:
        await house.tamper("UPDATE bootstrap_tokens SET revoked_at = 1")

    machine = await house.client()
    answer = await machine.post("/api/v1/enroll", content=halves('{"name": ', revoke, '"rack1-node07"}'), headers=bearer(token))
    assert answer.status_code == 401, answer.text
    assert await count(house, "agents") == 0


async def test_who_is_removed_while_the_password_is_verified_makes_no_bootstrap_token(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    erin = await house.signed_in(house.erin)
    house.clock.advance(6 * MINUTE)
    signing_in = house.app.state.signing_in
    confirm = signing_in.confirm_password

    async def and_meanwhile(actor: Actor, password: Secret) -> bool:
        right: bool = await confirm(actor, password)
        await house.store.team.remove(house.alice.actor, house.erin.member_id, revoke_bootstrap_tokens=True)
        return right

    monkeypatch.setattr(signing_in, "confirm_password", and_meanwhile)
    answer = await erin.post("/agents/bootstrap-tokens", data={"description": "", "lifetime": "365d", "current_password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await count(house, "bootstrap_tokens") == 0


async def test_who_is_removed_while_a_registry_is_asked_stores_nothing_after_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    erin = await house.signed_in(house.erin)
    tests = house.app.state.connection_tests
    ask = tests.test

    async def and_meanwhile(*arguments: object, **named: object) -> object:
        found: object = await ask(*arguments, **named)
        await house.store.team.remove(house.alice.actor, house.erin.member_id, revoke_bootstrap_tokens=True)
        return found

    monkeypatch.setattr(tests, "test", and_meanwhile)
    draft = {"registry_url": "registry.invalid", "auth_method": "password", "username": "acme", "password": "s3cret"}
    answer = await erin.post("/registry-credentials/test", data=draft)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login"), "a save comes after such a test"
