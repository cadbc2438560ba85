"""Settings → Your sign-in → Password: one's own, changed by who knows it, and the other sessions end."""

from dataclasses import replace

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from webapp.accounts.member import member_mac
from webapp.clock import MINUTE, SECOND
from webapp.errors import Unauthorised
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

ADDRESS = "/settings/password"
NEW = "tin roof rusted in the rain"


async def change(client: httpx2.AsyncClient, current: str = PASSWORD, new: str = NEW, again: str | None = None) -> httpx2.Response:
    data = {"current_password": current, "password": new, "password_again": new if again is None else again}
    return await client.post(ADDRESS, data=data)


async def signs_in(house: House, password: str, email: str = "bob@example.com") -> bool:
    answer = await (await house.client()).post("/login", data={"email": email, "password": password})
    return answer.status_code == 303


async def forget_password(house: House) -> None:
    """Let bob be somebody who signs in otherwise."""
    async with house.store.database.account(house.bob.account_id).transaction() as transaction:
        row = await transaction.fetch_one("SELECT * FROM members WHERE account_id = :account_id AND id = :id", {"id": house.bob.member_id})
        assert row is not None
        mac = member_mac(house.store.vault, {**row, "password_hash": ""})
        await transaction.update("members", house.bob.member_id, {"password_hash": "", "mac": mac})


async def test_a_member_changes_their_own_password(house: House, bob: httpx2.AsyncClient, alice: httpx2.AsyncClient) -> None:
    elsewhere = await house.signed_in(house.bob)
    assert 'name="current_password"' in (await bob.get(ADDRESS)).text
    answer = await change(bob)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings/sign-in")
    assert (await bob.get("/images")).status_code == 200
    assert (await elsewhere.get("/images")).status_code == 303, "other sessions have ended"
    assert (await alice.get("/images")).status_code == 200, "and nobody else's"
    assert await signs_in(house, NEW)
    assert not await signs_in(house, PASSWORD)
    row = [row for row in await house.audit() if row["action"] == "member.change_password"][-1]
    assert (row["actor_label"], row["detail"]) == ("bob@example.com", "other sessions ended: 1")


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_it_says_what_is_wrong_and_changes_nothing(house: House, bob: httpx2.AsyncClient) -> None:
    for current, new, again, says in (
        ("", NEW, NEW, "Enter the password that you sign in with now."),
        ("wrong horse battery staple", NEW, NEW, "That is not your password."),
        (PASSWORD, "", "", "Choose a password"),
        (PASSWORD, NEW, "", "not the same"),
        (PASSWORD, "too short", "too short", "Use at least 15"),
        (PASSWORD, "bob@example.com", "bob@example.com", "is the email address"),
    ):
        answer = await change(bob, current, new, again)
        assert answer.status_code == 422
        assert says in answer.text
        assert NEW not in answer.text
        assert PASSWORD not in answer.text
    assert await signs_in(house, PASSWORD)


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_guessing_the_old_one_is_slowed_down(house: House, bob: httpx2.AsyncClient) -> None:
    for _ in range(4):
        assert (await change(bob, "guess guess guess guess")).status_code == 422
    assert (await change(bob)).status_code == 429
    house.clock.advance(3 * SECOND)
    assert (await change(bob)).status_code == 303


async def test_a_first_password_is_set_by_who_has_just_shown_who_they_are(house: House, bob: httpx2.AsyncClient) -> None:
    await forget_password(house)
    assert not await signs_in(house, "")
    assert 'name="current_password"' not in (await bob.get(ADDRESS)).text
    house.clock.advance(6 * MINUTE)
    answer = await bob.post(ADDRESS, data={"password": NEW, "password_again": NEW})
    assert answer.status_code == 422
    assert not await signs_in(house, NEW)
    fresh = await house.signed_in(house.bob)
    answer = await fresh.post(ADDRESS, data={"password": NEW, "password_again": NEW})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings/sign-in")
    assert await signs_in(house, NEW)
    assert [row["detail"] for row in await house.audit() if row["action"] == "member.change_password"] == [
        "a first one; other sessions ended: 1"
    ]


async def test_a_forged_row_is_not_made_genuine(house: House, bob: httpx2.AsyncClient) -> None:
    await house.tamper("UPDATE members SET role = 'admin' WHERE id = :id", id=house.bob.member_id)
    assert (await change(bob)).status_code == 303
    assert not await signs_in(house, NEW)


async def test_a_session_that_has_ended_meanwhile_changes_nothing(house: House, bob: httpx2.AsyncClient) -> None:
    accessor = bob.cookies["session"].split("_")[2]
    await house.store.passwords.reset(house.alice.actor, house.bob.email, Secret(PASSWORD.encode()))
    with pytest.raises(Unauthorised):
        await house.store.passwords.change(replace(house.bob.actor, accessor=accessor), Secret(NEW.encode()))
    assert await signs_in(house, PASSWORD)
