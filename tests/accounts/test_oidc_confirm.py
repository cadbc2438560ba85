"""Showing again through the issuer who somebody is, linking and unlinking."""

import re

import httpx2
import pytest

from tests.accounts.stories_oidc import at_issuer, back, begin, environ, query, same_time, sign_in
from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from tests.real.issuer import Issuer, Somebody
from webapp.accounts.member import member_mac
from webapp.clock import HOUR, MINUTE, SECOND

pytestmark = pytest.mark.anyio

CONFIRM = "/settings/sign-in/confirm/oidc"
LINK = "/settings/sign-in/link/oidc"
TOKEN = "/agents/bootstrap-tokens/new"
MAKE = "/agents/bootstrap-tokens"
FORM = {"description": "", "lifetime": "10m"}


@pytest.fixture
def house_environ(issuer: Issuer) -> dict[str, str]:
    return environ(issuer)


@pytest.fixture
async def alice(house: House, issuer: Issuer) -> httpx2.AsyncClient:
    """Alice's browser, signed in through the issuer 6 minutes ago."""
    same_time(house, issuer)
    client = await house.client()
    assert (await sign_in(client)).status_code == 303
    house.clock.advance(6 * MINUTE)
    return client


async def without_password(house: House, member_id: str) -> None:
    """Take the member's password away, as one who was invited and signs in through the issuer only has none."""
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        row = await transaction.fetch_one("SELECT * FROM members WHERE account_id = :account_id AND id = :id", {"id": member_id})
        assert row is not None
        mac = member_mac(house.store.vault, {**row, "password_hash": ""})
        await transaction.update("members", member_id, {"password_hash": "", "mac": mac})


async def link_id(house: House) -> str:
    row = await house.store.database.fetch_one("SELECT id FROM identities")
    assert row is not None
    return str(row["id"])


async def test_a_member_confirms_with_the_issuer_and_comes_back(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    page = (await alice.get(TOKEN)).text
    found = re.search(r'href="(/settings/sign-in/confirm/oidc\?next=[^"]+)">Confirm with Acme ID</a>', page)
    assert found is not None
    assert "nothing that you typed is kept: confirm first, then fill in the form" in page
    assert (await alice.post(MAKE, data=FORM)).status_code == 422
    address = await begin(alice, found[1])
    assert query(address)["max_age"] == "300"
    assert "prompt" not in query(address)
    answer = await back(alice, await at_issuer(address, cookie=f"issuer=alice.{house.clock() // 1000 - 301}"))
    assert (answer.status_code, answer.headers["location"]) == (303, TOKEN), "the issuer had its own sign-in, too old for this"
    assert "Confirmed. You are not asked again for 5 minutes." in (await alice.get(TOKEN)).text
    assert (await alice.post(MAKE, data=FORM)).status_code == 200
    rows = [(row["action"], row["detail"], row["actor_kind"]) for row in await house.audit()]
    assert ("member.confirm", "by Acme ID", "member") in rows
    house.clock.advance(5 * MINUTE + 1)
    assert (await alice.post(MAKE, data=FORM)).status_code == 422, "for 5 minutes, and no longer"


@on_sqlite  # what the issuer says, and a column that every session has
async def test_a_sign_in_shows_who_it_is_when_it_was_done_at_the_issuer(house: House, issuer: Issuer) -> None:
    """Else whoever finds alice's browser open would sign out and in again, where an issuer that knows it asks nothing, and be trusted."""
    same_time(house, issuer)
    now = house.clock() // 1000
    for ago, status in ((299, 200), (301, 422)):
        client = await house.client()
        address = await at_issuer(await begin(client), cookie=f"issuer=alice.{now - ago}")
        assert (await back(client, address)).status_code == 303
        assert (await client.post(MAKE, data=FORM)).status_code == status, ago
    for said, status in ((None, 422), (True, 422), (-1, 422), (1e300, 422), (now + 50, 200)):
        issuer.claims = {"auth_time": said}
        client = await house.client()
        assert (await sign_in(client)).status_code == 303
        assert (await client.post(MAKE, data=FORM)).status_code == status, said


async def test_a_form_that_came_back_with_errors_leads_back_to_where_it_was(house: House, alice: httpx2.AsyncClient) -> None:
    page = (await alice.post(MAKE, data=FORM, headers={"Referer": f"{house.settings.public_url}{TOKEN}"})).text
    assert f'{CONFIRM}?next={TOKEN}"' in page
    for referer in ("https://evil.example//evil.example/x", "http://[", ""):
        assert f'{CONFIRM}?next=/registry-credentials"' in (await alice.post(MAKE, data=FORM, headers={"Referer": referer})).text


@on_sqlite  # it is the issuer's answers that differ
async def test_a_sign_in_there_that_is_too_old_confirms_nothing(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    now = house.clock() // 1000
    for auth_time, sentence in (
        (now - 361, "more than 5 minutes ago, and it did not ask again"),
        (now + 61, "more than 5 minutes ago, and it did not ask again"),
        (None, "does not say when you signed in there"),
        (True, "does not say when you signed in there"),
        ("now", "prove who you are"),
    ):
        issuer.claims = {"auth_time": auth_time}
        answer = await sign_in(alice, start=CONFIRM)
        assert (answer.status_code, sentence in answer.text) == (403, True), (auth_time, answer.text)
        assert (await alice.post(MAKE, data=FORM)).status_code == 422
    issuer.claims = {"auth_time": now - 360}
    assert (await sign_in(alice, start=CONFIRM)).status_code == 303


async def test_another_person_confirms_nothing(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    await sign_in(await house.client(), "bob")
    for user in ("bob", "mallory"):
        issuer.people["mallory"] = Somebody("m-6", "alice@example.com")
        answer = await sign_in(alice, user, start=f"{CONFIRM}?next={TOKEN}")
        assert (answer.status_code, "is not the person whom alice@example.com is linked to" in answer.text) == (403, True)
        assert f'href="{TOKEN}">Go back' in answer.text
        assert "alice@example.com" in answer.text, "alice is still signed in"
    assert (await alice.post(MAKE, data=FORM)).status_code == 422
    last = (await house.audit())[-2]
    assert (last["action"], last["decision"], last["actor_label"]) == ("member.confirm", "denied", "alice@example.com")
    await house.tamper("UPDATE identities SET subject = 'm-6' WHERE subject = 'a-1'")
    assert "is not valid" in (await sign_in(alice, "mallory", start=CONFIRM)).text
    assert (await alice.post(MAKE, data=FORM)).status_code == 422


@on_sqlite  # cookies and sessions
async def test_a_confirmation_is_of_the_session_that_began_it(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    address = await at_issuer(await begin(alice, CONFIRM))
    kept = alice.cookies["ceremony-oidc"]
    elsewhere = await house.client()
    await sign_in(elsewhere)
    house.clock.advance(6 * MINUTE)
    elsewhere.cookies.set("ceremony-oidc", kept)
    assert "was not begun in this browser" in (await back(elsewhere, address)).text
    thief = await house.client()
    thief.cookies.set("ceremony-oidc", kept)
    assert (await back(thief, address)).status_code == 403, "nor does it sign anybody in"
    address = await at_issuer(await begin(alice, CONFIRM))
    kept = alice.cookies["ceremony-oidc"]
    assert (await back(alice, address)).status_code == 303
    alice.cookies.set("ceremony-oidc", kept)
    assert (await back(alice, address)).status_code == 403


@on_sqlite  # nothing is asked of the database but whether there is a link
async def test_who_is_not_linked_is_not_sent_to_confirm(house: House, issuer: Issuer) -> None:
    bob = await house.signed_in(house.bob)
    house.clock.advance(6 * MINUTE)
    answer = await bob.get(CONFIRM)
    assert (answer.status_code, "You are not linked to Acme ID" in answer.text) == (409, True)
    assert (await (await house.client()).get(CONFIRM)).headers["location"].startswith("/login?next=")
    alice = await house.signed_in(house.alice)
    house.clock.advance(6 * MINUTE)
    assert "Confirm with" not in (await alice.get(TOKEN)).text


async def test_a_member_links_and_unlinks(house: House, issuer: Issuer) -> None:
    same_time(house, issuer)
    bob = await house.signed_in(house.bob)
    answer = await sign_in(bob, "bob", start=LINK)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings/sign-in")
    assert (await sign_in(bob, "bob", start=LINK)).status_code == 303, "twice is no harm"
    house.clock.advance(6 * MINUTE)
    page = f"/settings/sign-in/identities/{await link_id(house)}/unlink"
    listed = (await bob.get("/settings/sign-in")).text
    assert f'href="{page}"' in listed
    assert "Link with Acme ID" not in listed
    assert "Unlink the person of <strong>Acme ID</strong> who signs in as you?" in (await bob.get(page)).text
    assert (await bob.post(page)).status_code == 422, "it asks again who this is"
    done = await bob.post(page, data={"current_password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/settings/sign-in")
    assert (await bob.post(page)).status_code == 404
    assert f'href="{LINK}"' in (await bob.get("/settings/sign-in")).text
    assert await house.store.database.fetch_all("SELECT id FROM identities") == []
    rows = [(row["action"], row["actor_label"], row["detail"]) for row in await house.audit()]
    assert ("member.link", "bob@example.com", f"to a person of {issuer.origin}") in rows
    assert ("member.unlink", "bob@example.com", f"from {issuer.origin}") in rows


async def test_only_a_person_with_the_same_address_is_linked(house: House, issuer: Issuer) -> None:
    """Else mallory could have alice's browser, signed in at the issuer as mallory, follow the link."""
    same_time(house, issuer)
    bob = await house.signed_in(house.bob)
    answer = await sign_in(bob, "alice", start=LINK)
    assert (answer.status_code, "knows you as alice@example.com, and here you are bob@example.com" in answer.text) == (403, True)
    issuer.people["bob"].email_verified = False
    assert "has verified your email address" in (await sign_in(bob, "bob", start=LINK)).text
    assert await house.store.database.fetch_all("SELECT id FROM identities") == []
    assert {(row["action"], row["decision"]) for row in await house.audit()} == {("member.link", "denied")}


async def test_the_last_way_to_sign_in_is_kept(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    await without_password(house, house.alice.member_id)
    await sign_in(alice, start=CONFIRM)
    page = f"/settings/sign-in/identities/{await link_id(house)}/unlink"
    answer = await alice.post(page)
    assert (answer.status_code, "It is the only way that you sign in." in answer.text) == (409, True)
    assert await link_id(house)
    await house.tamper("UPDATE identities SET issuer = 'https://id.before.example'")
    listed = (await alice.get("/settings/sign-in")).text
    assert "https://id.before.example" in listed
    assert "Not any more" in listed
    assert (await alice.post(page)).status_code == 303, "an issuer that is not asked any more is no way"


async def test_a_link_is_nobodys_but_its_members(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    page = f"/settings/sign-in/identities/{await link_id(house)}/unlink"
    for persona in (house.bob, house.charlie):
        client = await house.signed_in(persona)
        assert (await client.get(page)).status_code == 404
        assert (await client.post(page)).status_code == 404
    assert await link_id(house)


@on_sqlite  # sessions
async def test_a_session_that_ended_in_between_confirms_nothing(house: House, issuer: Issuer, alice: httpx2.AsyncClient) -> None:
    address = await at_issuer(await begin(alice, CONFIRM))
    house.clock.advance(9 * MINUTE)
    await house.tamper("UPDATE sessions SET ended_at = 1")
    answer = await back(alice, address)
    assert (answer.status_code, "Not signed in" in answer.text) == (403, True)
    house.clock.advance(HOUR + SECOND)
    assert (await alice.get("/login/oidc/refused")).headers["location"] == "/login"
