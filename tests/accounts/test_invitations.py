"""Inviting a member: a link that is shown once, stored as a hash, and revocable."""

import re

import httpx2
import pytest

from tests.accounts.people import DANA, LINK, MEMBERS, invite, invited, join, rows, second_admin
from tests.engines import on_sqlite
from tests.personas import House
from webapp.accounts import invitations
from webapp.clock import DAY
from webapp.nonce import new_nonce

pytestmark = pytest.mark.anyio


async def revoke(client: httpx2.AsyncClient, invitation_id: str) -> httpx2.Response:
    return await client.post(f"{MEMBERS}/invitations/{invitation_id}/revoke")


async def test_the_link_is_shown_once_and_stored_nowhere(house: House, alice: httpx2.AsyncClient) -> None:
    answer = await invite(alice, " Dana@Example.com ", "editor")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    found = re.search(r'value="(http://127\.0\.0\.1:8000/join\?token=[^"]+)"', answer.text)
    assert found is not None
    token = found[1].partition("token=")[2]
    assert "until 10 Nov 2026, 14:05 UTC" in re.sub(r"<[^>]+>", "", answer.text)
    page = (await alice.get(MEMBERS)).text
    assert token not in page
    accessor = token.split("_")[2]
    assert accessor in rows(page)["Dana@Example.com"]
    assert "alice@example.com" in rows(page)["Dana@Example.com"]
    assert token.encode() not in house.on_disk()
    assert token.split("_")[3].encode() not in house.on_disk()
    row = (await house.audit())[-1]
    assert (row["action"], row["object_kind"], row["object_name"]) == ("member.invite", "invitation", "Dana@Example.com")
    assert row["detail"] == f"{accessor}, role: editor"


async def test_a_form_that_is_sent_twice_makes_one_invitation(house: House, alice: httpx2.AsyncClient) -> None:
    nonce = new_nonce()
    assert LINK.search((await invite(alice, form_nonce=nonce)).text)
    again = await invite(alice, form_nonce=nonce)
    assert again.status_code == 200
    assert "made one invitation" in again.text
    assert not LINK.search(again.text)
    assert len(await house.store.invitations.pending(house.alice.actor)) == 1


async def test_a_second_invitation_takes_the_place_of_the_first(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    first = await invited(alice, DANA, "admin")
    second = await invited(alice, DANA.upper(), "viewer")
    (pending,) = await house.store.invitations.pending(house.alice.actor)
    assert (pending.email, pending.role) == (DANA.upper(), "viewer")
    assert (await join(stranger, first)).status_code == 410
    assert (await join(stranger, second)).status_code == 303
    details = [row["detail"] for row in await house.audit() if row["action"] == "member.revoke_invitation"]
    assert details == [f"{first.split('_')[2]}: a new one takes its place"]


async def test_a_member_is_not_invited(house: House, alice: httpx2.AsyncClient) -> None:
    answer = await invite(alice, "BOB@example.com")
    assert answer.status_code == 422
    assert "BOB@example.com is a member of this account already." in answer.text
    assert 'value="BOB@example.com"' in answer.text, "what was typed is still there"
    assert [row["action"] for row in await house.audit()] == []


async def test_an_address_of_another_account_is_refused_without_saying_whose_and_written_down(
    house: House, alice: httpx2.AsyncClient
) -> None:
    nonce = new_nonce()
    answer = await invite(alice, house.charlie.email, form_nonce=nonce)
    assert answer.status_code == 422
    assert "Somebody signs in to this server with charlie@example.com already" in answer.text
    assert house.charlie.account_name not in re.sub(r'value="[^"]*"', "", answer.text).replace("Another", "").replace("another", "")
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["object_name"]) == ("member.invite", "denied", "charlie@example.com")
    assert row["account_id"] == house.alice.account_id
    assert LINK.search((await invite(alice, DANA, form_nonce=nonce)).text), "the form's nonce was not spent"


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("email", "role", "says"), [("", "viewer", "Enter an email address."), ("dana", "viewer", "one @"), (DANA, "", "Choose one")]
)
async def test_it_says_what_is_wrong(house: House, alice: httpx2.AsyncClient, email: str, role: str, says: str) -> None:
    answer = await invite(alice, email, role)
    assert answer.status_code == 422
    assert says in answer.text
    assert await house.audit() == []


async def test_an_account_has_so_many_pending_at_most(house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MOST_PENDING", 2)
    await invited(alice, "a@example.com")
    await invited(alice, "b@example.com")
    assert "2 invitations are pending" in (await invite(alice, "c@example.com")).text
    await invited(alice, "b@example.com")
    house.clock.advance(7 * DAY)
    grace = await house.signed_in(house.alice)
    await invited(grace, "c@example.com")
    assert [found.email for found in await house.store.invitations.pending(house.alice.actor)] == ["c@example.com"]


async def test_a_revoked_link_is_dead(house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    (pending,) = await house.store.invitations.pending(house.alice.actor)
    form = await alice.get(f"{MEMBERS}/invitations/{pending.id}/revoke")
    assert DANA in form.text
    assert (await revoke(alice, pending.id)).headers["location"] == MEMBERS
    assert "Invitation revoked." in (await alice.get(MEMBERS)).text
    assert (await join(stranger, token)).status_code == 410
    before = await house.audit()
    assert (await revoke(alice, pending.id)).status_code == 303, "revoked already is what was asked for"
    assert await house.audit() == before
    assert (await revoke(alice, "nonsense")).status_code == 404


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_another_accounts_invitations_are_not_there(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await invited(charlie)
    (theirs,) = await house.store.invitations.pending(house.charlie.actor)
    assert DANA not in (await alice.get(MEMBERS)).text
    assert (await revoke(alice, theirs.id)).status_code == 404
    assert (await alice.get(f"{MEMBERS}/invitations/{theirs.id}/revoke")).status_code == 404
    await invited(alice)  # two accounts may invite the same person, who can accept one
    assert len(await house.store.invitations.pending(house.charlie.actor)) == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [("role", "admin"), ("email", "mallory@example.com"), ("expires_at", 10**15), ("account_id", ""), ("invited_by", "")],
)
async def test_who_writes_to_the_database_raises_no_invitation(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, column: str, value: object
) -> None:
    grace = await second_admin(house)
    token = await invited(alice)
    value = value or {"account_id": house.charlie.account_id, "invited_by": grace.member_id}[column]
    await house.tamper(f"UPDATE invitations SET {column} = :value", value=value)
    assert (await join(stranger, token)).status_code == 404
    assert "session" not in stranger.cookies


async def test_an_invitation_whose_maker_was_demoted_behind_our_back_is_dead(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    token = await invited(alice)
    await house.tamper("UPDATE members SET role = 'viewer' WHERE id = :id", id=house.alice.member_id)
    assert (await join(stranger, token)).status_code == 410
