"""Which cookies stand for a session, asked of the store: its row, its member's row, its time, and what a look at it changes."""

from contextlib import nullcontext
from dataclasses import replace

import httpx2
import pytest

from tests.personas import House
from webapp.accounts.session import IDLE, SEEN_EVERY
from webapp.accounts.sessions import require_signed_in
from webapp.errors import Unauthorised
from webapp.vault import mint

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # the pages of sign-in ask on both


def cookie(client: httpx2.AsyncClient) -> str:
    return str(client.cookies["session"])


async def seen_at(house: House) -> int:
    row = await house.store.database.fetch_one("SELECT seen_at FROM sessions")
    assert row is not None
    return int(row["seen_at"])


async def test_it_says_who_is_signed_in(house: House, alice: httpx2.AsyncClient) -> None:
    found = await house.store.sessions.find(cookie(alice), touch=False)
    assert found is not None
    assert (found.member_id, found.email, found.role) == (house.alice.member_id, "alice@example.com", "admin")
    assert (found.account_id, found.account_name) == (house.alice.account_id, "Acme")
    assert found.has_password is True
    assert found.has_passkey is found.has_identity is False
    assert found.password_at == house.clock()


async def test_a_cookie_that_is_no_token_or_nobodys_stands_for_none(house: House, alice: httpx2.AsyncClient) -> None:
    for text in ("", "x", cookie(alice)[:-1], mint("s").text.reveal().decode(), mint("a").text.reveal().decode()):
        assert await house.store.sessions.find(text, touch=True) is None


async def test_another_token_with_its_accessor_stands_for_none(house: House, alice: httpx2.AsyncClient) -> None:
    other = mint("s")
    await house.tamper("UPDATE sessions SET accessor = :accessor", accessor=other.accessor)
    assert await house.store.sessions.find(other.text.reveal().decode(), touch=True) is None


@pytest.mark.parametrize(
    "change",
    [
        "sessions SET expires_at = expires_at + 1",
        "members SET role = 'admin' WHERE role = 'viewer'",
        "members SET password_hash = '' WHERE role = 'viewer'",
        "members SET email_key = 'mallory@example.com' WHERE role = 'viewer'",
        "members SET email = 'alice@example.com' WHERE role = 'viewer'",
        "sessions SET ended_at = 1",
    ],
)
async def test_a_row_that_somebody_else_wrote_is_none(
    house: House, bob: httpx2.AsyncClient, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await house.store.sessions.find(cookie(bob), touch=False) is not None
    await house.tamper(f"UPDATE {change}")
    assert await house.store.sessions.find(cookie(bob), touch=False) is None
    assert ("was not written by this program" in caplog.text) == change.startswith("members")
    assert house.bob.member_id in caplog.text or not change.startswith("members")


async def test_it_is_prolonged_once_a_minute_by_somebody_who_is_there(house: House, alice: httpx2.AsyncClient) -> None:
    begun = await seen_at(house)
    for later, touch, seen in ((SEEN_EVERY - 1, True, begun), (1, False, begun), (0, True, begun + SEEN_EVERY)):
        house.clock.advance(later)
        assert await house.store.sessions.find(cookie(alice), touch=touch) is not None
        assert await seen_at(house) == seen
    house.clock.advance(IDLE + 1)
    assert await house.store.sessions.find(cookie(alice), touch=True) is None
    assert await seen_at(house) == begun + SEEN_EVERY


async def test_it_is_prolonged_whenever_it_is_later_than_that(house: House) -> None:
    house.clock.now = 1000
    browser = await house.signed_in(house.alice)
    house.clock.advance(SEEN_EVERY + 1000)
    assert await house.store.sessions.find(cookie(browser), touch=True) is not None
    assert await seen_at(house) == house.clock()


@pytest.mark.parametrize(
    "story", ["in a session", "in none, as a command", "in one that ended", "in somebody else's", "in one of another account"]
)
async def test_who_acts_in_a_session_has_one_still(house: House, alice: httpx2.AsyncClient, story: str) -> None:
    actor = replace(house.alice.actor, accessor=cookie(alice).split("_")[2])
    if story == "in none, as a command":
        actor = replace(actor, accessor=None)
    elif story == "in one that ended":
        await house.store.sessions.end(actor)
    elif story == "in somebody else's":
        actor = replace(actor, id=house.bob.member_id)
    elif story == "in one of another account":
        actor = replace(actor, account_id=house.charlie.account_id)
    passes = story in {"in a session", "in none, as a command"}
    async with house.store.database.account(actor.account_id).transaction() as transaction:
        with nullcontext() if passes else pytest.raises(Unauthorised, match="Sign in to go on"):
            await require_signed_in(transaction, actor)
