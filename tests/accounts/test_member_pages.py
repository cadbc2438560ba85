"""The pages of Settings → Members: who sees what, what is asked for, and what is wrong with what was typed."""

import html
import re
from dataclasses import replace

import httpx2
import pytest

from tests.accounts.people import DANA, MEMBERS, change_role, invited, remove, role_of, rows, second_admin
from tests.personas import PASSWORD, House
from webapp.clock import MINUTE
from webapp.ids import new_id

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what the pages take; what they ask of the database test_members.py tells on both


async def test_everybody_sees_the_members_and_only_an_admin_changes_them(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient
) -> None:
    await invited(alice)
    mine, his = (await alice.get(MEMBERS)).text, (await bob.get(MEMBERS)).text
    assert list(rows(mine)) == ["alice@example.com", "bob@example.com", "erin@example.com", DANA]
    assert list(rows(his)) == ["alice@example.com", "bob@example.com", "erin@example.com"], "who is invited is for admins"
    assert "charlie@example.com" not in mine
    assert f"{MEMBERS}/{house.bob.member_id}/remove" in rows(mine)["bob@example.com"]
    assert f"{MEMBERS}/leave" in rows(mine)["alice@example.com"]
    assert f"{MEMBERS}/leave" in rows(his)["bob@example.com"]
    assert "/role" not in his
    assert "/remove" not in his
    for path in (f"{house.alice.member_id}/role", f"{house.alice.member_id}/remove", "invitations/new", "invitations"):
        assert (await bob.post(f"{MEMBERS}/{path}", data={"role": "viewer"})).status_code in {403, 405}
    assert (await bob.get(f"{MEMBERS}/{house.alice.member_id}/role")).status_code == 403


async def test_many_members_are_on_several_pages(house: House, alice: httpx2.AsyncClient) -> None:
    for number in range(60):
        await house.move_in(replace(house.bob, name=f"member{number:02}", member_id=new_id()))
    first = (await alice.get(MEMBERS)).text
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following is not None
    second = (await alice.get(html.unescape(following[1]))).text
    shown = [*rows(first), *rows(second)]
    assert len(rows(first)) == 50
    assert shown == sorted(shown)
    assert {f"member{number:02}@example.com" for number in range(60)} < set(shown)


async def test_an_invitation_says_all_that_is_wrong_at_once(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(6 * MINUTE)
    answer = await alice.post(f"{MEMBERS}/invitations", data={"email": "no address", "role": "root"})
    assert answer.status_code == 422
    for sentence in ("is a blank or an invisible one", "Choose one of the three roles.", "Enter your password"):
        assert sentence in answer.text


async def test_it_tells_when_somebody_was_there_last(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(2 * MINUTE)
    page = rows((await alice.get(MEMBERS)).text)
    assert "not lately" in page["bob@example.com"]
    assert "not lately" not in page["alice@example.com"]


async def test_the_same_role_again_writes_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    before = await house.audit()
    assert (await change_role(alice, house.bob.member_id, "viewer")).status_code == 303
    assert await house.audit() == before


async def test_it_says_what_is_wrong_with_a_role(house: House, alice: httpx2.AsyncClient) -> None:
    for role in ("", "root", "Admin"):
        answer = await change_role(alice, house.bob.member_id, role)
        assert answer.status_code == 422
        assert "Choose one of the three roles." in answer.text
    assert await role_of(house, house.bob.member_id) == "viewer"


async def test_two_admins_editing_is_412_with_what_changed(house: House, alice: httpx2.AsyncClient) -> None:
    await change_role(alice, house.bob.member_id, "admin", version="1")
    answer = await change_role(alice, house.bob.member_id, "editor", version="1")
    assert answer.status_code == 412
    assert "changed this while you were editing" in answer.text
    assert 'name="version" value="2"' in answer.text
    assert (await change_role(alice, house.bob.member_id, "editor", version="2")).status_code == 303


@pytest.mark.parametrize("act", ["role", "remove", "leave", "revoke"])
async def test_it_asks_for_the_password_again(house: House, alice: httpx2.AsyncClient, act: str) -> None:
    await invited(alice)
    await second_admin(house)
    (invitation,) = await house.store.invitations.pending(house.alice.actor)
    address = {
        "role": f"{MEMBERS}/{house.bob.member_id}/role",
        "remove": f"{MEMBERS}/{house.bob.member_id}/remove",
        "leave": f"{MEMBERS}/leave",
        "revoke": f"{MEMBERS}/invitations/{invitation.id}/revoke",
    }[act]
    house.clock.advance(6 * MINUTE)
    before = await house.audit()
    assert 'name="current_password"' in (await alice.get(address)).text
    answer = await alice.post(address, data={"role": "editor"})
    assert answer.status_code == 422
    assert "Enter your password" in answer.text
    assert await house.audit() == before
    wrong = await alice.post(address, data={"role": "editor", "current_password": "wrong horse battery staple"})
    assert wrong.status_code == 422
    assert (await alice.post(address, data={"role": "editor", "current_password": PASSWORD})).status_code == 303


async def test_another_accounts_members_are_not_there(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    theirs = house.charlie.member_id
    for answer in (
        await alice.get(f"{MEMBERS}/{theirs}/role"),
        await alice.get(f"{MEMBERS}/{theirs}/remove"),
        await change_role(alice, theirs, "viewer"),
        await remove(alice, theirs),
        await remove(alice, "nonsense"),
    ):
        assert answer.status_code == 404
    assert (await charlie.get("/images")).status_code == 200
    assert list(rows((await charlie.get(MEMBERS)).text)) == ["charlie@example.com"]
