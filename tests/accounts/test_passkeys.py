"""Passkeys: adding one, signing in with it, confirming with it and removing it."""

import asyncio
import re

import httpx2
import pytest

from tests.accounts.passkey_stories import ADD, AS_SCRIPT, CONFIRM, ENVIRON, ORIGIN, SIGN_IN, add, ask, show, without_password
from tests.personas import PASSWORD, House
from tests.real.authenticator import Authenticator, bytes_of
from webapp.accounts.passkey import MOST
from webapp.clock import MINUTE

pytestmark = pytest.mark.anyio

HERE = "/settings/sign-in"


@pytest.fixture
def house_environ() -> dict[str, str]:
    return ENVIRON


@pytest.fixture
def laptop() -> Authenticator:
    return Authenticator(ORIGIN)


async def remove(client: httpx2.AsyncClient, which: int = 0, **fields: str) -> httpx2.Response:
    link = re.findall(r'href="(/settings/sign-in/passkeys/\w+/remove)"', (await client.get(HERE)).text)[which]
    return await client.post(link, data=fields)


async def test_a_member_adds_a_passkey_and_signs_in_with_nothing_else(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    assert "None yet." in (await alice.get(HERE)).text
    added = await add(alice, laptop)
    assert added.headers["hx-redirect"] == HERE
    page = (await alice.get(HERE)).text
    assert "Passkey added." in page
    assert "work laptop" in page
    assert "On one device" in page
    answer = await stranger.post(SIGN_IN, json={**laptop.get(await ask(stranger, SIGN_IN)), "next": "/images?q=a"}, headers=AS_SCRIPT)
    assert answer.headers["hx-redirect"] == "/images?q=a"
    assert "alice@example.com" in (await stranger.get("/images")).text
    created, signed_in = (await house.audit())[-2:]
    assert (created["action"], created["object_name"], created["actor_label"]) == ("passkey.create", "work laptop", house.alice.email)
    assert (signed_in["action"], signed_in["detail"]) == ("member.sign_in", "with the passkey work laptop")
    sessions = await house.store.database.fetch_all("SELECT method FROM sessions ORDER BY created_at, accessor")
    assert [row["method"] for row in sessions].count("passkey") == 1


async def test_the_browser_is_asked_for_what_signs_in_by_itself(alice: httpx2.AsyncClient, house: House, laptop: Authenticator) -> None:
    await add(alice, laptop)
    options = await ask(alice, ADD, name="phone")
    assert options["rp"] == {"name": "Registry Credentials", "id": "localhost"}
    assert bytes_of(options["user"]["id"]).decode() == house.alice.member_id
    assert options["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required"
    }  # fmt: skip
    assert options["attestation"] == "none"
    assert [entry["transports"] for entry in options["excludeCredentials"]] == [["hybrid", "internal"]], "what is no transport is left out"
    options = await ask(alice, SIGN_IN)
    assert (options["rpId"], options["userVerification"], options["allowCredentials"]) == ("localhost", "required", [])


async def test_the_session_that_the_browser_had_ends(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    before = alice.cookies["session"]
    answer = await show(alice, laptop)
    assert answer.status_code == 200
    assert f"session={before}" not in answer.headers["set-cookie"]
    assert (await (await house.client(before)).get("/images")).status_code == 303


async def test_a_passkey_counts_once(alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    made = laptop.create(await ask(alice, ADD, name="work laptop"))
    assert (await alice.post(ADD, json=made, headers=AS_SCRIPT)).status_code == 200
    again = await alice.post(ADD, json=made, headers=AS_SCRIPT)
    assert (again.status_code, "counts once" in again.text) == (422, True)
    said = laptop.get(await ask(stranger, SIGN_IN))
    assert (await stranger.post(SIGN_IN, json=said)).status_code == 303
    replayed = await stranger.post(SIGN_IN, json=said)
    assert (replayed.status_code, "counts once" in replayed.text) == (422, True)


async def test_a_device_has_one_passkey_for_each_address(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    await add(alice, laptop)
    stolen = await add(charlie, Authenticator(ORIGIN), key_id=laptop.keys[0].id)
    assert (stolen.status_code, "stored here already" in stolen.text) == (409, True)
    assert "None yet." in (await charlie.get(HERE)).text, "and another account's passkeys are not seen"


async def test_confirming_with_a_passkey_lets_the_form_through(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    house.clock.advance(6 * MINUTE)
    form = await alice.get("/agents/bootstrap-tokens/new")
    assert 'name="current_password"' in form.text
    assert 'data-passkey="/settings/sign-in/confirm"' in form.text
    refused = await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})
    assert "Enter your password, or confirm with a passkey: this decides who gets keys" in refused.text
    confirmed = await show(alice, laptop, CONFIRM)
    assert (confirmed.status_code, "Confirmed." in confirmed.text) == (200, True)
    assert "data-passkey" not in (await alice.get("/agents/bootstrap-tokens/new")).text
    assert (await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})).status_code == 200
    confirmation = (await house.audit())[-2]
    assert (confirmation["action"], confirmation["detail"]) == ("member.confirm", "with the passkey work laptop")


async def test_a_member_without_a_password_is_asked_for_a_passkey_only(
    house: House, alice: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    await add(alice, laptop)
    await without_password(house, house.alice)
    house.clock.advance(6 * MINUTE)
    assert "No password: you sign in without one." in (await alice.get(HERE)).text
    refused = await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m", "current_password": PASSWORD})
    assert refused.status_code == 422
    assert 'href="#field-confirmation"' in refused.text
    assert "Confirm with a passkey: this decides who gets keys" in refused.text
    assert 'type="password"' not in refused.text
    assert (await show(alice, laptop, CONFIRM)).status_code == 200
    assert (await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})).status_code == 200


async def test_adding_and_removing_ask_again_who_it_is(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    house.clock.advance(6 * MINUTE)
    asked = await alice.post(f"{ADD}/options", data={"name": "phone"}, headers=AS_SCRIPT)
    assert (asked.status_code, 'value="phone"' in asked.text, "Enter your password" in asked.text) == (422, True, True)
    asked = await remove(alice)
    assert (asked.status_code, "Enter your password" in asked.text) == (422, True)
    assert (await remove(alice, current_password=PASSWORD)).headers["location"] == HERE
    assert (await alice.get(HERE)).text.count("Passkey removed.") == 1
    assert (await house.audit())[-1]["action"] == "passkey.delete"


async def test_a_removed_passkey_signs_nobody_in(alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    said = laptop.get(await ask(stranger, SIGN_IN))
    await remove(alice)
    answer = await stranger.post(SIGN_IN, json=said)
    assert (answer.status_code, "not accepted" in answer.text) == (422, True)


async def test_a_link_to_an_issuer_of_before_is_no_way_in(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    await without_password(house, house.alice)
    await house.tamper(
        "INSERT INTO identities (id, account_id, member_id, issuer, subject, mac, created_at)"
        " VALUES ('i', :a, :m, 'https://old', 's', :x, 1)",
        a=house.alice.account_id, m=house.alice.member_id, x=b"x",
    )  # fmt: skip
    assert (await remove(alice)).status_code == 409


async def test_the_last_way_in_stays(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    house.clock.advance(1)
    await add(alice, Authenticator(ORIGIN), name="blue key")
    await without_password(house, house.alice)
    assert (await remove(alice, 1)).status_code == 303
    refused = await remove(alice)
    assert (refused.status_code, "work laptop is your only way to sign in" in refused.text) == (409, True)
    assert "work laptop" in (await alice.get(HERE)).text


async def test_a_key_that_somebody_put_into_the_database_is_no_other_way_in(
    house: House, alice: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    await add(alice, laptop)
    house.clock.advance(1)
    await add(alice, Authenticator(ORIGIN), name="blue key")
    await without_password(house, house.alice)
    await house.tamper("UPDATE passkeys SET mac = :mac WHERE name = 'blue key'", mac=bytes(32))
    assert (await remove(alice)).status_code == 409


async def test_there_is_an_end_to_them(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    for number in range(MOST):
        await add(alice, Authenticator(ORIGIN), name=f"key {number}")
    refused = await alice.post(f"{ADD}/options", data={"name": "one more"}, headers=AS_SCRIPT)
    assert (refused.status_code, f"{MOST} is the most" in refused.text) == (409, True)
    page = (await alice.get(HERE)).text
    assert "Remove one to add another" in page
    assert "Add a passkey" not in page


async def test_another_members_passkey_is_not_there_to_remove(
    alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    await add(alice, laptop)
    found = re.search(r'href="(/settings/sign-in/passkeys/\w+/remove)"', (await alice.get(HERE)).text)
    assert found is not None
    for other in (bob, charlie):
        for path in (found[1], found[1].replace("/remove", "/rename")):
            assert (await other.get(path)).status_code == 404
            assert (await other.post(path, data={"name": "mine"})).status_code == 404


async def test_the_same_answer_twice_at_once_is_one_sign_in(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    browser = await house.client()
    said = laptop.get(await ask(browser, SIGN_IN))
    answers = await asyncio.gather(*(browser.post(SIGN_IN, json=said) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 422, 422, 422]


async def test_two_last_passkeys_are_not_removed_at_once(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    await add(alice, Authenticator(ORIGIN), name="blue key")
    await without_password(house, house.alice)
    links = re.findall(r'href="(/settings/sign-in/passkeys/\w+/remove)"', (await alice.get(HERE)).text)
    answers = await asyncio.gather(*(alice.post(link) for link in links))
    assert sorted(answer.status_code for answer in answers) == [303, 409]


async def test_a_passkey_is_renamed_and_still_signs_in(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    await add(alice, laptop)
    link = re.findall(r'href="(/settings/sign-in/passkeys/\w+/rename)"', (await alice.get(HERE)).text)[0]
    assert 'value="work laptop"' in (await alice.get(link)).text
    wrong = await alice.post(link, data={"name": "x" * 64})
    assert (wrong.status_code, "at most 63" in wrong.text) == (422, True)
    assert (await alice.post(link, data={"name": "old laptop"})).headers["location"] == HERE
    row = (await house.audit())[-1]
    assert (row["action"], row["object_name"], row["detail"]) == ("passkey.rename", "old laptop", "before: work laptop")
    assert (await show(await house.client(), laptop)).status_code == 200
    assert "old laptop" in (await alice.get(HERE)).text
