"""Settings → Members: roles, removal, leaving, and that an account never lacks an admin."""

import asyncio
import re
from collections.abc import Sequence

import httpx2
import pytest

from tests.accounts.people import DANA, MEMBERS, actions, change_role, invited, join, joined, remove, role_of, rows, second_admin
from tests.personas import PASSWORD, House, Persona
from tests.stories import bootstrap_token, enroll, store_credential
from tests.two_stores import neighbour, on_postgresql
from webapp.accounts.team import Team
from webapp.clock import DAY
from webapp.errors import Conflict, Forbidden
from webapp.ids import new_id

pytestmark = pytest.mark.anyio

__all__ = ["neighbour"]


async def count(house: House, table: str, member: str) -> int:
    column = "invited_by" if table == "invitations" else "member_id"
    row = await house.store.database.fetch_one(f"SELECT COUNT(*) AS n FROM {table} WHERE {column} = :id", {"id": member})
    assert row is not None
    return int(row["n"])


async def furnish(house: House, persona: Persona) -> None:
    """Give the member one of everything that members have; whether it works is told elsewhere."""
    token = new_id()
    values = {"id": token, "member": persona.member_id, "bytes": b"x", "now": house.clock(), "later": house.clock() + DAY}
    async with house.store.database.account(persona.account_id).transaction() as transaction:
        await transaction.execute(
            "INSERT INTO passkeys (id, account_id, member_id, credential_id, public_key, mac, name, sign_count, backed_up, transports,"
            " created_at) VALUES (:id, :account_id, :member, :id, :bytes, :bytes, 'phone', 0, 1, '', :now)",
            values,
        )
        await transaction.execute(
            "INSERT INTO identities (id, account_id, member_id, issuer, subject, mac, created_at)"
            " VALUES (:id, :account_id, :member, 'https://issuer.example', :id, :bytes, :now)",
            values,
        )
        await transaction.execute(
            "INSERT INTO api_tokens (id, account_id, member_id, accessor, mac, name, name_key, role, created_at, expires_at)"
            " VALUES (:id, :account_id, :member, :id, :bytes, 'ci', 'ci', 'viewer', :now, :later)",
            values,
        )


async def test_a_role_counts_at_once(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    assert (await bob.get("/registry-credentials/new")).status_code == 403
    form = (await alice.get(f"{MEMBERS}/{house.bob.member_id}/role")).text
    assert 'value="viewer" checked' in form
    answer = await change_role(alice, house.bob.member_id, "editor", version="1")
    assert (answer.status_code, answer.headers["location"]) == (303, MEMBERS)
    await store_credential(bob)
    assert (await change_role(alice, house.bob.member_id, "viewer")).status_code == 303
    assert (await bob.get("/registry-credentials/new")).status_code == 403
    row = [row for row in await house.audit() if row["action"] == "member.change_role"][-1]
    assert (row["actor_label"], row["object_name"], row["detail"]) == (
        "alice@example.com",
        "bob@example.com",
        "role: viewer; it was: editor",
    )


async def test_the_last_admin_stays_one(house: House, alice: httpx2.AsyncClient) -> None:
    alices = house.alice.member_id
    before = await house.audit()
    for answer in (
        await change_role(alice, alices, "editor"),
        await alice.post(f"{MEMBERS}/leave"),
        await remove(alice, alices),
    ):
        assert answer.status_code == 409
        assert "alice@example.com is the last admin, and an account needs one. Make somebody else an admin first." in answer.text
    assert await house.audit() == before
    await change_role(alice, house.bob.member_id, "admin")
    assert (await change_role(alice, alices, "viewer")).status_code == 303
    assert (await alice.get(f"{MEMBERS}/invitations/new")).status_code == 403, "at once"


async def test_a_row_that_is_only_called_an_admin_is_none(house: House, alice: httpx2.AsyncClient) -> None:
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.update("members", house.bob.member_id, {"role": "admin"})
    assert "Not written by this program" in (await alice.get(MEMBERS)).text
    assert (await change_role(alice, house.alice.member_id, "viewer")).status_code == 409
    answer = await change_role(alice, house.bob.member_id, "editor")
    assert answer.status_code == 409
    assert "was not written by this program" in answer.text, "a new MAC would make it genuine"
    assert (await remove(alice, house.bob.member_id)).status_code == 303


async def test_who_is_removed_is_out_at_once_with_all_that_was_theirs(house: House, alice: httpx2.AsyncClient) -> None:
    dana, danas = await joined(house, alice)
    elsewhere = await house.client()
    await elsewhere.post("/login", data={"email": DANA, "password": PASSWORD})
    token = await bootstrap_token(dana)
    await furnish(house, Persona("dana", "editor", house.alice.account_id, "Acme", danas))
    assert (await elsewhere.get("/images")).status_code == 200
    form = (await alice.get(f"{MEMBERS}/{danas}/remove")).text
    assert "This ends: 2 sessions, 1 API token, 1 passkey." in form
    assert re.search(r'name="revoke_bootstrap_tokens"[^>]* checked', form)
    assert "Revoke 1 active bootstrap token, too" in form
    answer = await remove(alice, danas, revoke_bootstrap_tokens="1")
    assert (answer.status_code, answer.headers["location"]) == (303, MEMBERS)
    for browser in (dana, elsewhere):
        assert (await browser.get("/images")).headers["location"].startswith("/login")
    assert (await elsewhere.post("/login", data={"email": DANA, "password": PASSWORD})).status_code == 422
    assert (await enroll(house, token)).status_code == 401
    for table in ("sessions", "passkeys", "identities", "api_tokens"):
        assert await count(house, table, danas) == 0
    assert DANA not in rows((await alice.get(MEMBERS)).text)
    removed = [row for row in await house.audit() if row["action"] == "member.remove"][-1]
    assert removed["detail"] == "role: editor; ended: 2 sessions, 1 API token, 1 passkey, 1 link to a sign-in elsewhere"
    assert "bootstrap_token.revoke" in await actions(house, 6)


async def test_bootstrap_tokens_stay_where_the_box_is_not_ticked(house: House, alice: httpx2.AsyncClient) -> None:
    dana, danas = await joined(house, alice)
    token, alices = await bootstrap_token(dana), await bootstrap_token(alice)
    assert (await remove(alice, danas)).status_code == 303
    assert (await enroll(house, token)).status_code == 201
    _, graces = await joined(house, alice, "grace@example.com")
    assert "bootstrap token" not in (await alice.get(f"{MEMBERS}/{graces}/remove")).text
    assert (await remove(alice, graces, revoke_bootstrap_tokens="1")).status_code == 303
    assert (await enroll(house, alices, "rack1-node08")).status_code == 201, "another member's stay"


async def test_who_becomes_a_viewer_loses_the_bootstrap_tokens_that_they_know(house: House, alice: httpx2.AsyncClient) -> None:
    dana, danas = await joined(house, alice, role="admin")
    token = await bootstrap_token(dana)
    assert "As a viewer: revoke 1 active bootstrap token" in (await alice.get(f"{MEMBERS}/{danas}/role")).text
    await change_role(alice, danas, "editor", revoke_bootstrap_tokens="1")
    assert (await enroll(house, token)).status_code == 201, "an editor may have one"
    await change_role(alice, danas, "viewer", revoke_bootstrap_tokens="1")
    assert (await enroll(house, token, "rack1-node08")).status_code == 401
    await change_role(alice, danas, "editor")
    kept = await bootstrap_token(dana)
    await change_role(alice, danas, "viewer")
    assert (await enroll(house, kept, "rack1-node08")).status_code == 201


async def test_the_invitations_of_who_is_removed_or_demoted_are_dead(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    for end in ("remove", "role"):
        grace, graces = await joined(house, alice, f"grace-{end}@example.com", "admin")
        token = await invited(grace, f"frank-{end}@example.com")
        assert (await alice.post(f"{MEMBERS}/{graces}/{end}", data={"role": "editor"})).status_code == 303
        answer = await join(stranger, token)
        assert answer.status_code == 410
        assert "taken back" in answer.text
        assert "member.revoke_invitation" in await actions(house, 3)
        assert f"frank-{end}@example.com" not in (await alice.get(MEMBERS)).text


async def test_a_member_leaves(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    to = await alice.get(f"{MEMBERS}/{house.alice.member_id}/remove")
    assert to.headers["location"] == f"{MEMBERS}/leave", "one does not remove oneself; one leaves"
    assert "Leave Acme" in (await bob.get(f"{MEMBERS}/leave")).text
    answer = await bob.post(f"{MEMBERS}/leave")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert any(cookie.startswith('session="";') for cookie in answer.headers.get_list("set-cookie")), "and its cookie is taken back"
    assert "You have left the account." in (await bob.get("/login")).text
    assert await role_of(house, house.bob.member_id) is None
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_label"], row["detail"]) == (
        "member.remove",
        "bob@example.com",
        "left; role: viewer; ended: 1 session",
    )


async def test_who_left_can_be_invited_again(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    await bob.post(f"{MEMBERS}/leave")
    again, _ = await joined(house, alice, house.bob.email, "editor")
    assert (await again.get("/registry-credentials/new")).status_code == 200
    assert (await bob.get("/images")).status_code == 303, "the sessions of before stay ended"


async def demote_each_other(house: House, first: Team, second: Team, *, removes: bool) -> Sequence[BaseException | None]:
    """Alice and grace, the two admins, act on each other at the same time; what became of both."""
    grace = await second_admin(house)
    if removes:
        acts = (
            first.remove(house.alice.actor, grace.member_id, revoke_bootstrap_tokens=False),
            second.remove(grace.actor, house.alice.member_id, revoke_bootstrap_tokens=False),
        )
    else:
        acts = (
            first.change_role(house.alice.actor, grace.member_id, "viewer"),
            second.change_role(grace.actor, house.alice.member_id, "viewer"),
        )
    return await asyncio.gather(*acts, return_exceptions=True)


@pytest.mark.parametrize("removes", [False, True])
async def test_two_admins_who_act_on_each_other_at_once_leave_one(house: House, *, removes: bool) -> None:
    outcomes = await demote_each_other(house, house.store.team, house.store.team, removes=removes)
    assert sorted(map(type, outcomes), key=repr) == sorted([type(None), Forbidden], key=repr), "the second is no admin any more"
    assert sum(member.role == "admin" for member in (await house.store.team.page(house.alice.actor)).records) == 1


@on_postgresql
@pytest.mark.parametrize("removes", [False, True])
async def test_so_they_do_at_two_processes(house: House, neighbour: House, *, removes: bool) -> None:
    outcomes = await demote_each_other(house, house.store.team, neighbour.store.team, removes=removes)
    assert sorted(map(type, outcomes), key=repr) == sorted([type(None), Forbidden], key=repr)
    assert sum(member.role == "admin" for member in (await house.store.team.page(house.alice.actor)).records) == 1


@on_postgresql
async def test_the_last_two_admins_leave_at_two_processes_and_one_stays(house: House, neighbour: House) -> None:
    grace = await second_admin(house)
    outcomes = await asyncio.gather(
        house.store.team.remove(house.alice.actor, house.alice.member_id, revoke_bootstrap_tokens=True),
        neighbour.store.team.remove(grace.actor, grace.member_id, revoke_bootstrap_tokens=True),
        return_exceptions=True,
    )
    assert sorted(map(type, outcomes), key=repr) == sorted([type(None), Conflict], key=repr)


@on_postgresql
async def test_who_is_removed_is_out_at_every_process(house: House, alice: httpx2.AsyncClient, neighbour: House) -> None:
    dana, danas = await joined(house, alice)
    there = await neighbour.client(dana.cookies["session"])
    assert (await there.get("/images")).status_code == 200
    await remove(alice, danas)
    assert (await there.get("/images")).status_code == 303
    assert (await there.post("/login", data={"email": DANA, "password": PASSWORD})).status_code == 422
