"""An hour of strangers' guesses at one account, at two processes, from many addresses: few are let through, and the owner is in at once."""

import httpx2
import pytest

from tests.accounts.passkey_stories import ENVIRON, ORIGIN, add, show
from tests.personas import PASSWORD, House
from tests.real.authenticator import Authenticator
from tests.two_stores import neighbour, on_postgresql
from webapp.clock import HOUR, SECOND

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


@pytest.fixture
def house_environ() -> dict[str, str]:
    return ENVIRON


async def from_address(house: House, address: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=house.app, client=(address, 4242))
    client = httpx2.AsyncClient(transport=transport, base_url=house.settings.public_url, headers={"Sec-Fetch-Site": "same-origin"})
    return await house.stack.enter_async_context(client)


async def sign_in(client: httpx2.AsyncClient, email: str, password: str) -> httpx2.Response:
    return await client.post("/login", data={"email": email, "password": password})


async def an_hour_of_guesses(house: House, strangers: list[httpx2.AsyncClient], email: str) -> int:
    end, let_through, number = house.clock() + HOUR, 0, 0
    while house.clock() < end:
        number += 1
        answer = await sign_in(strangers[number % len(strangers)], email, f"guess number {number}")
        assert answer.status_code in {422, 429}
        let_through += answer.status_code == 422
        if answer.status_code == 429:
            house.clock.advance(int(answer.headers["retry-after"]) * SECOND)
    return let_through


async def test_strangers_guess_little_at_two_processes_and_the_owner_is_in_at_once(house: House, neighbour: House) -> None:
    alice, nobody = house.alice.email, "nobody@example.com"
    owner, elsewhere = await from_address(house, "198.51.100.1"), await from_address(neighbour, "198.51.100.1")
    assert (await sign_in(owner, alice, PASSWORD)).status_code == 303
    laptop = Authenticator(ORIGIN)
    assert (await add(owner, laptop)).status_code == 200
    assert (await owner.post("/logout")).status_code == 303
    elsewhere.cookies.set("device", owner.cookies["device"])
    strangers = [await from_address(each, f"203.0.113.{n}") for n in range(10) for each in (house, neighbour)]
    known = await an_hour_of_guesses(house, strangers, alice)
    assert 10 < known <= 20
    assert await an_hour_of_guesses(house, strangers, nobody) == known, "an address that nobody has is slowed down just so"
    for _ in range(5):
        refused = await sign_in(strangers[0], alice, "one more")
    assert refused.status_code == 429
    assert (await sign_in(await from_address(neighbour, "198.51.100.2"), alice, PASSWORD)).status_code == 429, "who has no device waits"
    assert (await show(await from_address(neighbour, "198.51.100.3"), laptop)).status_code == 200, "but for a passkey"
    assert (await sign_in(elsewhere, alice, PASSWORD)).status_code == 303, "at the other process, with the device of the first one"
    assert (await sign_in(owner, alice, PASSWORD)).status_code == 303
