"""The device cookie: tries of one's own in a browser in which one signed in before."""

import httpx2
import pytest

from tests.accounts.test_sign_in import ALICE, fail, sign_in
from tests.personas import PASSWORD, House

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what the cookie is worth


async def test_a_device_cookie_is_no_ones_but_its_members(house: House, stranger: httpx2.AsyncClient) -> None:
    charlie = await house.client()
    await sign_in(charlie, house.charlie.email)
    await charlie.post("/logout")
    await fail(stranger, 4)
    assert (await sign_in(charlie, ALICE, PASSWORD)).status_code == 429
    forged = await house.client()
    forged.cookies.set("device", "0" * 32 + "." + "0" * 64)
    assert (await sign_in(forged)).status_code == 429


async def test_who_knew_the_password_before_has_no_tries_of_their_own(house: House, stranger: httpx2.AsyncClient) -> None:
    devices = [await house.client() for _ in range(3)]
    for device in devices:
        await sign_in(device)
        await device.post("/logout")
    owner = await house.client()
    await sign_in(owner)
    new = "another horse battery staple"
    changed = await owner.post("/settings/password", data={"current_password": PASSWORD, "password": new, "password_again": new})
    assert changed.status_code == 303, changed.text
    await owner.post("/logout")
    await fail(stranger, 4)
    assert [(await sign_in(device)).status_code for device in devices] == [429, 429, 429]
    assert (await sign_in(owner, password=new)).status_code == 303, "the browser in which it was changed has"
