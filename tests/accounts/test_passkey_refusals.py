"""Passkeys that are not what they say: another address, another challenge, nobody there, copies, and rows that somebody else wrote."""

import asyncio
import sys
from typing import Any

import httpx2
import pytest

from tests.accounts.passkey_stories import ADD, AS_SCRIPT, CONFIRM, ENVIRON, ORIGIN, SIGN_IN, add, ask, show, without_password
from tests.personas import PASSWORD, House
from tests.real.authenticator import Authenticator, bytes_of, text_of
from webapp.accounts.ceremony import LIFETIME
from webapp.clock import MINUTE

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what an answer has to be; what is asked of the database, test_passkeys.py asks on both

HERE = "/settings/sign-in"


@pytest.fixture
def house_environ() -> dict[str, str]:
    return ENVIRON


@pytest.fixture
async def laptop(alice: httpx2.AsyncClient) -> Authenticator:
    """An authenticator with a passkey of alice's in it."""
    made = Authenticator(ORIGIN)
    assert (await add(alice, made)).status_code == 200
    return made


def refused(answer: httpx2.Response, sentence: str = "This passkey was not accepted") -> bool:
    return answer.status_code == 422 and sentence in answer.text and "session=" not in answer.headers.get("set-cookie", "")


def kept_by(client: httpx2.AsyncClient) -> str:
    """What the browser keeps of the ceremony that was begun last."""
    return next(cookie.value or "" for cookie in client.cookies.jar if cookie.name == "ceremony-passkey")


def carry(text: str, client: httpx2.AsyncClient) -> None:
    """Put it into another browser."""
    client.cookies.set("ceremony-passkey", text, domain="localhost.local")


LIES: list[dict[str, Any]] = [
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:8001"},
    {"origin": "http://127.0.0.1:8000"},
    {"rp_id": "evil.example"},
    {"verified": False},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_a_new_passkey_has_to_be_made_here_by_a_person(alice: httpx2.AsyncClient, lie: dict[str, Any]) -> None:
    assert refused(await add(alice, Authenticator(ORIGIN), **lie), "what the browser sent is not what was asked for")
    assert "None yet." in (await alice.get(HERE)).text


@pytest.mark.parametrize("lie", [*LIES, {"signs": False}], ids=str)
async def test_a_passkey_has_to_be_shown_here_by_a_person(
    house: House, stranger: httpx2.AsyncClient, laptop: Authenticator, lie: dict[str, Any]
) -> None:
    assert refused(await show(stranger, laptop, **lie))
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["object_name"]) == ("member.sign_in", "denied", house.alice.email)
    assert row["account_id"] == house.alice.account_id
    assert (await show(stranger, laptop)).status_code == 200, "and the true one still does"


async def test_a_challenge_is_the_browsers_own(house: House, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    said = laptop.get(await ask(stranger, SIGN_IN))
    other = await house.client()
    assert refused(await other.post(SIGN_IN, json=said), "Begin again"), "a browser that began nothing"
    await ask(other, SIGN_IN)
    assert refused(await other.post(SIGN_IN, json=said)), "a browser that began another one"


async def test_a_challenge_is_the_sessions_own(house: House, alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    """What was begun in one session ends in no other, not even of the same member."""
    phone = Authenticator(ORIGIN)
    made = phone.create(await ask(alice, ADD, name="phone"))
    for other in (await house.signed_in(house.alice), await house.signed_in(house.bob)):
        carry(kept_by(alice), other)
        assert refused(await other.post(ADD, json=made), "Begin again")
    said = laptop.get(await ask(alice, CONFIRM))
    other = await house.signed_in(house.alice)
    carry(kept_by(alice), other)
    assert refused(await other.post(CONFIRM, json=said), "Begin again")
    assert (await alice.post(CONFIRM, json=said)).status_code == 200


async def test_a_challenge_is_for_one_purpose(alice: httpx2.AsyncClient, laptop: Authenticator) -> None:
    assert refused(await alice.post(CONFIRM, json=laptop.get(await ask(alice, SIGN_IN))), "Begin again")
    assert refused(await alice.post(SIGN_IN, json=laptop.get(await ask(alice, CONFIRM))), "Begin again")


async def test_a_challenge_does_not_last(house: House, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    said = laptop.get(await ask(stranger, SIGN_IN))
    house.clock.advance(LIFETIME)
    assert refused(await stranger.post(SIGN_IN, json=said), "Begin again")


async def test_a_challenge_that_somebody_wrote_into_the_cookie_is_none(stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    said = laptop.get(await ask(stranger, SIGN_IN))
    cookie = kept_by(stranger)
    for edited in (cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "x" + cookie, "", "."):
        carry(edited, stranger)
        assert refused(await stranger.post(SIGN_IN, json=said), "Begin again")


async def test_a_copy_of_an_authenticator_shows(house: House, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    for _ in range(2):
        assert (await show(await house.client(), laptop)).status_code == 200
    laptop.keys[0].count = 0
    assert refused(await show(stranger, laptop), "there is a copy of it")
    row = (await house.audit())[-1]
    assert (row["decision"], row["detail"]) == ("denied", "the count of the passkey work laptop went back: there may be a copy")
    laptop.keys[0].count = 1
    assert refused(await show(stranger, laptop), "there is a copy of it"), "the same count twice"
    laptop.keys[0].count = 5
    assert (await show(stranger, laptop)).status_code == 200


async def test_an_authenticator_that_does_not_count_is_no_copy(alice: httpx2.AsyncClient, house: House) -> None:
    phone = Authenticator(ORIGIN, counts=False, synced=True)
    await add(alice, phone)
    assert "Synced" in (await alice.get(HERE)).text
    for _ in range(2):
        assert (await show(await house.client(), phone)).status_code == 200


async def test_confirming_takes_a_passkey_of_ones_own(
    house: House, bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    for other in (bob, charlie):
        assert (await other.post(f"{CONFIRM}/options")).status_code == 409, "there is none yet"
        await add(other, Authenticator(ORIGIN), name="phone")
    house.clock.advance(6 * MINUTE)
    for other in (bob, charlie):
        options = await ask(other, CONFIRM)
        assert refused(await other.post(CONFIRM, json=laptop.get({**options, "allowCredentials": []})))
        assert 'name="current_password"' in (await other.get(f"{ADD}/new")).text, "it is still asked"
    assert (await stranger.post(f"{CONFIRM}/options")).headers["location"] == "/login"


@pytest.mark.parametrize("column", ["public_key", "member_id", "account_id", "mac", "credential_id"])
async def test_a_row_that_somebody_else_wrote_signs_nobody_in(
    house: House, stranger: httpx2.AsyncClient, laptop: Authenticator, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    mallory = Authenticator(ORIGIN)
    mallory.keys = laptop.keys
    key = laptop.keys[0]
    stored = await house.store.database.fetch_one("SELECT public_key FROM passkeys")
    assert stored is not None
    edits: dict[str, object] = {
        "public_key": bytes(stored["public_key"])[:-1] + b"\0",
        "member_id": house.bob.member_id,
        "account_id": house.charlie.account_id,
        "mac": bytes(32),
        "credential_id": text_of(key.id[::-1]),
    }
    if column == "account_id":
        await house.tamper("UPDATE passkeys SET member_id = :id", id=house.charlie.member_id)
    await house.tamper(f"UPDATE passkeys SET {column} = :value", value=edits[column])
    if column == "credential_id":
        key.id = key.id[::-1]
    assert refused(await show(stranger, mallory))
    assert "was not written by this program" in caplog.text


async def test_a_member_whose_row_somebody_else_wrote_does_not_sign_in(
    house: House, stranger: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    await house.tamper("UPDATE members SET role = 'viewer' WHERE id = :id", id=house.alice.member_id)
    assert refused(await show(stranger, laptop))


async def test_a_removed_member_does_not_sign_in(house: House, bob: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    phone = Authenticator(ORIGIN)
    await add(bob, phone)
    said = phone.get(await ask(stranger, SIGN_IN))
    for table in ("passkeys", "sessions"):
        await house.tamper(f"DELETE FROM {table} WHERE member_id = :id", id=house.bob.member_id)
    await house.tamper("DELETE FROM members WHERE id = :id", id=house.bob.member_id)
    assert refused(await stranger.post(SIGN_IN, json=said))


async def test_a_user_handle_of_somebody_else_is_refused(house: House, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    laptop.keys[0].user = house.bob.member_id.encode()
    assert refused(await show(stranger, laptop))


NONSENSE: list[Any] = [
    {},
    {"id": "x"},
    {"id": 5},
    {"id": "\0"},
    {"id": "A" * 5000},
    {"response": None},
    {"response": {}},
    {"response": {"clientDataJSON": "!!!", "authenticatorData": "", "signature": ""}},
    {"rawId": "AAAA"},
    {"type": "password"},
    [],
    "text",
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: repr(value)[:40])
async def test_nonsense_gets_a_sentence_and_is_not_quoted(
    alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator, nonsense: Any
) -> None:
    for path, client, whole in (
        (SIGN_IN, stranger, laptop.get(await ask(stranger, SIGN_IN))),
        (CONFIRM, alice, laptop.get(await ask(alice, CONFIRM))),
        (ADD, alice, Authenticator(ORIGIN).create(await ask(alice, ADD, name="phone"))),
    ):
        answer = await client.post(path, json={**whole, **nonsense} if isinstance(nonsense, dict) and nonsense else nonsense)
        assert answer.status_code == 422, (path, answer.text)
        assert "Traceback" not in answer.text
        assert "!!!" not in answer.text


@pytest.mark.parametrize("broken", range(6))
async def test_an_attestation_that_is_cut_off_is_refused(alice: httpx2.AsyncClient, broken: int) -> None:
    made = Authenticator(ORIGIN).create(await ask(alice, ADD, name="phone"))
    whole = bytes_of(made["response"]["attestationObject"])
    made["response"]["attestationObject"] = text_of(whole[: len(whole) * broken // 6] + (b"\xff" * broken))
    assert refused(await alice.post(ADD, json=made), "Begin again")


async def test_guessing_from_one_address_ends_and_nobody_is_slowed_down_elsewhere(
    house: House, stranger: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    unknown = Authenticator(ORIGIN, keys=Authenticator(ORIGIN).keys)
    unknown.keys = [type(laptop.keys[0])(b"x", "localhost")]
    for _ in range(20):
        assert refused(await show(stranger, unknown))
    assert (await show(stranger, unknown)).status_code == 429
    assert (await show(stranger, laptop)).status_code == 200, "not even from there, with the right one"


async def test_wrong_passwords_do_not_hold_up_a_passkey(house: House, stranger: httpx2.AsyncClient, laptop: Authenticator) -> None:
    for _ in range(4):
        await stranger.post("/login", data={"email": house.alice.email, "password": "guess guess guess"})
    assert (await stranger.post("/login", data={"email": house.alice.email, "password": PASSWORD})).status_code == 429
    assert (await show(stranger, laptop)).status_code == 200


@pytest.mark.parametrize("path", [ADD, CONFIRM, SIGN_IN])
@pytest.mark.parametrize("end", ["", "/options"])
async def test_another_site_cannot_begin_or_end_it(alice: httpx2.AsyncClient, path: str, end: str) -> None:
    answer = await alice.post(path + end, json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("next_url", ["https://evil.example/", "//evil.example", "/\\evil.example", 5, None])
async def test_it_leads_to_no_other_site(stranger: httpx2.AsyncClient, laptop: Authenticator, next_url: Any) -> None:
    said = laptop.get(await ask(stranger, SIGN_IN))
    answer = await stranger.post(SIGN_IN, json={**said, "next": next_url}, headers=AS_SCRIPT)
    assert answer.headers["hx-redirect"] == "/registry-credentials"


async def test_without_script_the_form_says_what_it_takes(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post(f"{ADD}/options", data={"name": "phone"})
    assert (answer.status_code, "takes JavaScript" in answer.text, 'value="phone"' in answer.text) == (422, True, True)


async def test_a_full_disk_adds_nothing_and_signs_nobody_in(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, laptop: Authenticator
) -> None:
    said, made = laptop.get(await ask(stranger, SIGN_IN)), Authenticator(ORIGIN).create(await ask(alice, ADD, name="phone"))
    await house.refuse_writes()
    assert (await stranger.post(SIGN_IN, json=said)).status_code >= 500
    assert (await alice.post(ADD, json=made)).status_code >= 500
    await house.take_writes()
    assert (await stranger.post(SIGN_IN, json=said)).status_code == 303, "the challenge was not spent either"
    assert (await alice.post(ADD, json=made)).status_code == 303


async def test_who_has_neither_password_nor_passkey_is_told_what_to_do(house: House, alice: httpx2.AsyncClient) -> None:
    await without_password(house, house.alice)
    house.clock.advance(6 * MINUTE)
    asked = await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})
    assert asked.status_code == 422
    assert "Sign out and in again, then come back: this hands out keys" in asked.text
    assert 'id="field-confirmation"' in asked.text
    assert "data-passkey=" not in asked.text


async def test_the_slow_library_waits_until_a_passkey_is_asked_for() -> None:
    program = "import sys, webapp.app; print('webauthn' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"False\n"
