"""Signing in and out: one answer for all who fail, delays for who guesses, and a session of one's own."""

import re

import httpx2
import pytest
from argon2 import PasswordHasher

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from webapp.accounts import signing_in
from webapp.accounts.member import member_mac
from webapp.accounts.password import verify
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.command import DONE, Command
from webapp.commands import execute
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # whom it lets in; set-up, sessions and the journeys ask for members and sessions on both

ALICE = "alice@example.com"
WRONG = "wrong horse battery staple"


async def sign_in(client: httpx2.AsyncClient, email: str = ALICE, password: str = PASSWORD, **fields: str) -> httpx2.Response:
    return await client.post("/login", data={"email": email, "password": password, **fields})


async def fail(client: httpx2.AsyncClient, times: int, email: str = ALICE) -> None:
    for _ in range(times):
        assert (await sign_in(client, email, WRONG)).status_code == 422


async def test_a_member_signs_in_and_out(house: House, stranger: httpx2.AsyncClient) -> None:
    answer = await sign_in(stranger, "  Alice@EXAMPLE.com ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    assert (await stranger.get("/images")).status_code == 200
    assert (await stranger.get("/")).headers["location"] == "/registry-credentials"
    assert (await stranger.get("/login")).headers["location"] == "/registry-credentials", "no need to sign in again"
    session = stranger.cookies["session"]
    out = await stranger.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert "session" not in stranger.cookies
    assert "You are signed out." in (await stranger.get("/login")).text
    thief = await house.client(session)
    assert (await thief.get("/images")).status_code == 303, "the session has ended, not only its cookie"
    assert [row["action"] for row in await house.audit()] == ["member.sign_in", "member.sign_out"]


@pytest.mark.parametrize("change", ["reset", "removed"])
async def test_what_ends_sessions_ends_one_that_is_just_beginning(
    house: House, stranger: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async def slowly(stored: str | None, password: Secret) -> bool:
        right = await verify(stored, password)
        if change == "reset":
            command = Command("reset-password", {"email": "bob@example.com"}, Secret(b"another horse battery staple"))
            assert (await execute(house.store, command, 0)).exit == DONE
        else:
            await house.store.team.remove(house.alice.actor, house.bob.member_id, revoke_bootstrap_tokens=False)
        return right

    monkeypatch.setattr(signing_in, "verify", slowly)
    answer = await sign_in(stranger, "bob@example.com")
    assert (answer.status_code, "session" in stranger.cookies) == (422, False)


async def test_signing_out_without_a_session_is_no_error(stranger: httpx2.AsyncClient) -> None:
    assert (await stranger.post("/logout")).status_code == 303


async def test_the_cookies_are_of_our_site_and_of_no_script(house: House, stranger: httpx2.AsyncClient) -> None:
    cookies = (await sign_in(stranger)).headers.get_list("set-cookie")
    assert {cookie.split("=")[0] for cookie in cookies} == {"session", "device"}
    for cookie in cookies:
        assert {"httponly", "path=/", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
        assert "secure" not in cookie.lower(), "plain http is for loopback only"
    house.app.state.settings = Settings.from_environ(
        {"WEBAPP_DATA_DIR": str(house.settings.data_dir), "WEBAPP_PUBLIC_URL": "https://keys.example"}
    )
    for cookie in (await sign_in(stranger)).headers.get_list("set-cookie"):
        assert cookie.startswith(("__Host-session=", "__Host-device="))
        assert "secure" in cookie.lower()
        assert "domain" not in cookie.lower()


@pytest.mark.parametrize(
    ("email", "password"), [(ALICE, WRONG), ("nobody@example.com", PASSWORD), ("not an address", WRONG), ("ä" * 400, WRONG)]
)
async def test_one_answer_for_wrong_passwords_and_unknown_people(
    house: House, stranger: httpx2.AsyncClient, email: str, password: str
) -> None:
    known = await sign_in(stranger, ALICE, WRONG)
    answer = await sign_in(stranger, email, password)
    assert answer.status_code == known.status_code == 422
    assert "The email address or the password is not right." in answer.text
    assert answer.text.replace(email, "E") == known.text.replace(ALICE, "E")
    assert {name for name in answer.headers if name != "set-cookie"} == set(known.headers)
    assert password not in answer.text


async def test_what_is_not_filled_in_is_said_beside_the_field(stranger: httpx2.AsyncClient) -> None:
    answer = await sign_in(stranger, "", "")
    assert answer.status_code == 422
    assert "Enter your email address." in answer.text
    assert "Enter your password." in answer.text
    assert (await stranger.post("/login")).status_code == 422


async def test_a_wrong_password_is_in_the_audit_log_and_an_unknown_address_is_not(house: House, stranger: httpx2.AsyncClient) -> None:
    await sign_in(stranger, ALICE, WRONG)
    await sign_in(stranger, "nobody@example.com", WRONG)
    rows = await house.audit()
    assert [(row["action"], row["decision"], row["object_name"], row["actor_kind"], row["address"]) for row in rows] == [
        ("member.sign_in", "denied", ALICE, "nobody", "192.0.2.7")
    ]
    assert rows[0]["account_id"] == house.alice.account_id


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/images?q=x", "/images?q=x"),
        ("//evil.example", "/registry-credentials"),
        ("https://evil.example/", "/registry-credentials"),
        ("/\\evil.example", "/registry-credentials"),
        ("/a\nSet-Cookie: x=y", "/registry-credentials"),
        ("javascript:alert(1)", "/registry-credentials"),
        ("", "/registry-credentials"),
    ],
)
async def test_it_leads_on_to_a_path_of_ours_only(stranger: httpx2.AsyncClient, target: str, leads_to: str) -> None:
    page = (await stranger.get("/login", params={"next": target})).text
    assert not any(word in page for word in ("evil", "javascript:", "Set-Cookie"))
    assert ('name="next"' in page) == (leads_to == target)
    assert (await sign_in(stranger, next=target)).headers["location"] == leads_to
    assert (await stranger.get("/login", params={"next": target})).headers["location"] == leads_to


async def test_the_page_that_asked_for_it_comes_back_after_a_wrong_password(stranger: httpx2.AsyncClient) -> None:
    asked = (await stranger.get("/images?kind=custom")).headers["location"]
    assert 'value="/images?kind=custom"' in (await stranger.get(asked)).text
    answer = await sign_in(stranger, password=WRONG, next="/images?kind=custom")
    assert 'name="next" value="/images?kind=custom"' in answer.text


async def test_a_sign_in_makes_a_new_session_and_ends_the_browsers_old_one(house: House, stranger: httpx2.AsyncClient) -> None:
    await sign_in(stranger)
    first = stranger.cookies["session"]
    await sign_in(stranger, house.charlie.email)
    assert stranger.cookies["session"] != first
    assert (await (await house.client(first)).get("/images")).status_code == 303
    assert "charlie@example.com" in (await stranger.get("/images")).text


async def test_a_session_that_somebody_planted_is_not_taken_over(house: House, stranger: httpx2.AsyncClient) -> None:
    planted = "rc_s_" + "A" * 16 + "_" + "B" * 49
    stranger.cookies.set("session", planted)
    answer = await sign_in(stranger)
    assert planted not in "".join(answer.headers.get_list("set-cookie"))
    assert (await (await house.client(planted)).get("/images")).status_code == 303


async def test_the_database_holds_no_token_and_knows_who_asked(house: House, stranger: httpx2.AsyncClient) -> None:
    stranger.headers["user-agent"] = "Browser/1 " + "x" * 500
    await sign_in(stranger)
    row = await house.store.database.fetch_one("SELECT * FROM sessions")
    assert row is not None
    assert stranger.cookies["session"].split("_")[3] not in str(dict(row))
    assert (row["address"], row["user_agent"][:10], len(row["user_agent"])) == ("192.0.2.7", "Browser/1 ", 200)
    assert row["expires_at"] == house.clock() + 12 * HOUR


async def test_old_sessions_are_cleared_away(house: House, stranger: httpx2.AsyncClient) -> None:
    await sign_in(stranger)
    house.clock.advance(31 * DAY)
    await sign_in(stranger)
    assert len(await house.store.database.fetch_all("SELECT accessor FROM sessions")) == 1


async def test_guessing_is_slowed_down_before_any_hash_is_computed(
    house: House, stranger: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail(stranger, 4)

    async def never(*_: object) -> bool:
        raise AssertionError("a hash was computed")

    with monkeypatch.context() as patch:
        patch.setattr(signing_in, "verify", never)
        answer = await sign_in(stranger, ALICE, PASSWORD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "Too many tries. Wait 2 seconds" in answer.text
    assert f'value="{ALICE}"' in answer.text, "what was typed is still there"
    htmx = await stranger.post("/login", data={"email": ALICE, "password": PASSWORD}, headers={"HX-Request": "true"})
    assert (htmx.status_code, htmx.headers["retry-after"]) == (429, "2")
    assert re.search(r"data-error>Too many tries", htmx.text)
    house.clock.advance(2 * SECOND)
    assert (await sign_in(stranger)).status_code == 303, "never a lockout"


async def test_an_unknown_address_is_slowed_down_just_so(house: House, stranger: httpx2.AsyncClient) -> None:
    await fail(stranger, 4, "nobody@example.com")
    answer = await sign_in(stranger, "nobody@example.com", WRONG)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


async def test_guessing_at_many_accounts_from_one_address_is_slowed_down_too(stranger: httpx2.AsyncClient) -> None:
    for n in range(11):
        await fail(stranger, 1, f"member{n}@example.com")
    assert (await sign_in(stranger, "another@example.com", WRONG)).status_code == 429


async def test_strangers_do_not_delay_the_owners_own_browser(house: House, stranger: httpx2.AsyncClient) -> None:
    owner = await house.client()
    await sign_in(owner)
    await owner.post("/logout")
    await fail(stranger, 4)
    elsewhere = await house.client()
    assert (await sign_in(elsewhere)).status_code == 429
    assert (await sign_in(owner)).status_code == 303, "a device that signed in before has its own allowance"
    await owner.post("/logout")
    await fail(owner, 4)
    assert (await sign_in(owner)).status_code == 429, "which is no larger than anybody's"


async def test_a_sign_in_elsewhere_does_not_clear_the_way_for_guesses(house: House, stranger: httpx2.AsyncClient) -> None:
    for n in range(11):
        await fail(stranger, 1, f"member{n}@example.com")
    house.clock.advance(2 * SECOND)
    assert (await sign_in(stranger, house.charlie.email)).status_code == 303
    fresh = await house.client()
    await fail(fresh, 1, "another@example.com")
    assert (await sign_in(fresh, "other@example.com", WRONG)).headers["retry-after"] == "4"


async def test_a_hash_of_older_parameters_is_made_anew(house: House, stranger: httpx2.AsyncClient) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        row = await transaction.fetch_one(
            "SELECT * FROM members WHERE account_id = :account_id AND id = :id", {"id": house.alice.member_id}
        )
        assert row is not None
        mac = member_mac(house.store.vault, {**row, "password_hash": old})
        await transaction.update("members", house.alice.member_id, {"password_hash": old, "mac": mac})
    await sign_in(stranger)
    row = await house.store.database.fetch_one("SELECT password_hash FROM members WHERE id = :id", {"id": house.alice.member_id})
    assert row is not None
    assert "m=47104,t=1,p=1" in row["password_hash"]
    assert (await sign_in(await house.client())).status_code == 303


async def test_who_writes_to_the_database_gives_nobody_a_password_or_a_role(house: House, stranger: httpx2.AsyncClient) -> None:
    bob = await house.signed_in(house.bob)
    assert (await bob.get("/images")).status_code == 200
    mallorys = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1).hash("mallory knows this one")
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.update("members", house.alice.member_id, {"password_hash": mallorys})
        await transaction.update("members", house.bob.member_id, {"role": "admin"})
    assert (await sign_in(stranger, house.alice.email, "mallory knows this one")).status_code == 422
    assert (await bob.get("/images")).status_code == 303, "the session of a member whose row was changed is none"


async def test_a_read_is_no_write(house: House, alice: httpx2.AsyncClient) -> None:
    async def seen() -> int:
        row = await house.store.database.fetch_one("SELECT seen_at FROM sessions")
        assert row is not None
        return int(row["seen_at"])

    before = await seen()
    house.clock.advance(59 * SECOND)
    await alice.get("/images")
    assert await seen() == before, "at most once a minute"
    house.clock.advance(1 * SECOND)
    await alice.get("/images")
    assert await seen() == before + MINUTE
