"""The page behind an invitation's link: one member, once, signed in."""

import asyncio

import httpx2
import pytest

from tests.accounts.people import DANA, invited, join, joined, member_id
from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from tests.two_stores import neighbour, on_postgresql
from webapp.clock import DAY
from webapp.vault import mint

pytestmark = pytest.mark.anyio

__all__ = ["neighbour"]


async def test_the_page_says_what_the_invitation_is_to_and_spends_nothing(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    token = await invited(alice)
    before = await house.audit()
    for _ in range(2):
        answer = await stranger.get("/join", params={"token": token})
        assert answer.status_code == 200
    for word in ("Join Acme", DANA, "editor: changes credentials, images, secrets and agents", "alice@example.com"):
        assert word in answer.text
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert await house.audit() == before


async def test_whoever_holds_the_link_becomes_the_member_once_and_is_signed_in(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    token = await invited(alice)
    answer = await join(stranger, token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    page = await stranger.get("/registry-credentials")
    assert "Welcome. You are a member now." in page.text
    assert DANA in page.text
    rows = (await house.audit())[-2:]
    assert [row["action"] for row in rows] == ["member.join", "member.sign_in"]
    assert {row["account_id"] for row in rows} == {house.alice.account_id}
    assert (rows[0]["actor_kind"], rows[0]["actor_label"], rows[0]["accessor"]) == ("nobody", "invitation link", token.split("_")[2])
    assert rows[0]["detail"] == "role: editor; invited by alice@example.com"
    session = await house.store.database.fetch_one(
        "SELECT method FROM sessions WHERE member_id = :id", {"id": await member_id(house, DANA)}
    )
    assert session == {"method": "invitation"}
    again = await join(await house.client(), token)
    assert again.status_code == 410
    assert "This invitation was accepted: each link works once." in again.text
    elsewhere = await house.client()
    assert (await elsewhere.post("/login", data={"email": DANA, "password": PASSWORD})).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_password_that_will_not_do_spends_nothing(house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    for password, again, says in (
        ("", "", "Choose a password"),
        ("too short", "too short", "Use at least 15"),
        (PASSWORD, "", "not the same"),
        (PASSWORD, PASSWORD + "x", "not the same"),
        (DANA, DANA, "is the email address"),
    ):
        answer = await join(stranger, token, password, again)
        assert answer.status_code == 422
        assert says in answer.text
        assert f'name="token" value="{token}"' in answer.text, "and the form goes on"
        assert PASSWORD not in answer.text
    assert (await join(stranger, token)).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_link_that_is_none_of_ours_says_so_and_no_more(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    token = await invited(alice)
    guessed = mint("i").text.reveal().decode()
    # The right accessor with other random bits: as unknown as any.
    half = "_".join([*guessed.split("_")[:2], token.split("_")[2], guessed.split("_")[3]])
    texts = set()
    for wrong in ("", "nonsense", guessed, half, token[:-1], token.replace("rc_i_", "rc_s_"), mint("s").text.reveal().decode()):
        for answer in (await stranger.get("/join", params={"token": wrong}), await join(stranger, wrong)):
            assert answer.status_code == 404
            assert "This is no invitation of ours." in answer.text
            texts.add(answer.text.replace(answer.headers["x-request-id"], "REQUEST"))
    assert len(texts) == 1
    assert (await stranger.get("/join")).status_code == 404


async def test_a_link_ends_after_seven_days(house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    house.clock.advance(7 * DAY - 1)
    assert (await stranger.get("/join", params={"token": token})).status_code == 200
    house.clock.advance(1)
    answer = await join(stranger, token)
    assert answer.status_code == 410
    assert "This invitation has expired" in answer.text


async def test_two_at_once_make_one_member(house: House, alice: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    browsers = [await house.client() for _ in range(2)]
    answers = await asyncio.gather(*(join(browser, token) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [303, 410]
    rows = await house.store.database.fetch_all("SELECT id FROM members WHERE email = :email", {"email": DANA})
    assert len(rows) == 1


@on_postgresql
async def test_two_at_once_at_two_processes_make_one_member(house: House, alice: httpx2.AsyncClient, neighbour: House) -> None:
    token = await invited(alice)
    browsers = [await house.client(), await neighbour.client()]
    answers = await asyncio.gather(*(join(browser, token) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [303, 410]


async def test_one_address_joins_one_of_two_accounts(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    mine, theirs = await invited(alice), await invited(charlie)
    first, second = await house.client(), await house.client()
    answers = await asyncio.gather(join(first, mine), join(second, theirs))
    assert sorted(answer.status_code for answer in answers) == [303, 410]
    late = await join(await house.client(), theirs if answers[0].status_code == 303 else mine)
    assert late.status_code == 410
    assert "Somebody signs in here with this address already." in late.text


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_who_is_signed_in_is_asked_to_sign_out_first(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    answer = await bob.get("/join", params={"token": token})
    assert "You are signed in as bob@example.com." in answer.text
    assert 'action="/logout"' in answer.text
    assert 'name="password"' not in answer.text
    refused = await join(bob, token)
    assert refused.status_code == 409
    assert "You are signed in as bob@example.com." in refused.text
    await bob.post("/logout")
    assert (await join(bob, token)).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_another_site_makes_nobody_a_member(house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    token = await invited(alice)
    stranger.headers["sec-fetch-site"] = "cross-site"
    assert (await join(stranger, token)).status_code == 403
    assert (await stranger.get("/join", params={"token": token})).status_code == 200, "a link from a mail is followed"


async def test_where_the_member_cannot_be_written_the_link_is_not_spent(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    token = await invited(alice)
    await house.refuse_writes()
    assert (await join(stranger, token)).status_code >= 500
    await house.take_writes()
    assert (await join(stranger, token)).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_an_editor_edits_and_a_viewer_sees(house: House, alice: httpx2.AsyncClient) -> None:
    editor, _ = await joined(house, alice)
    viewer, _ = await joined(house, alice, "vera@example.com", "viewer")
    assert (await editor.get("/registry-credentials/new")).status_code == 200
    assert (await viewer.get("/registry-credentials/new")).status_code == 403
    assert (await viewer.get("/registry-credentials")).status_code == 200
