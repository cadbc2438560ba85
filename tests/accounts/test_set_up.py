"""Set-up: the one-time link makes the account and its first admin; and the command that does the same."""

import asyncio

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from webapp.accounts.account import Account
from webapp.accounts.member import parse_email
from webapp.actor import Actor
from webapp.errors import Conflict, Invalid, NotFound
from webapp.names import parse_name
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

EMAIL = "ana@example.com"
ROOT = Actor("", "command_line", "0", "command line (root)")


def token(house: House) -> str:
    return house.store.vault.setup_token().reveal().decode()


async def set_up(client: httpx2.AsyncClient, house: House, **fields: str) -> httpx2.Response:
    return await client.post("/setup", data={"token": token(house), "email": EMAIL, "password": PASSWORD, **fields})


async def test_the_link_leads_to_an_empty_list_of_credentials(empty_house: House) -> None:
    client = await empty_house.client()
    page = await client.get("/setup", params={"token": token(empty_house)})
    assert page.status_code == 200
    for name in ("email", "password", "account_name"):
        assert f'name="{name}"' in page.text
    answer = await set_up(client, empty_house)
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    listed = await client.get("/registry-credentials")
    assert listed.status_code == 200
    assert "My organization" in listed.text
    assert "Your account is ready" in listed.text
    rows = await empty_house.audit()
    assert [(row["action"], row["actor_label"]) for row in rows] == [
        ("account.set_up", "set-up link"),
        ("member.create", "set-up link"),
        ("member.sign_in", EMAIL),
    ]
    assert len({row["account_id"] for row in rows}) == 1


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_program_may_post_to_the_link_itself(empty_house: House) -> None:
    client = await empty_house.client()
    answer = await client.post("/setup", params={"token": token(empty_house)}, data={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 303


async def test_afterwards_the_link_is_404(empty_house: House) -> None:
    client = await empty_house.client()
    await set_up(client, empty_house)
    for browser in (client, await empty_house.client()):
        assert (await browser.get("/setup", params={"token": token(empty_house)})).status_code == 404
        assert (await set_up(browser, empty_house, email="eve@example.com")).status_code == 404
    assert len(await empty_house.store.database.fetch_all("SELECT id FROM members")) == 1


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("wrong", ["", "x", "0" * 43, "ä\u20ac"])
async def test_without_the_token_it_is_404(empty_house: House, wrong: str) -> None:
    client = await empty_house.client()
    assert (await client.get("/setup", params={"token": wrong})).status_code == 404
    assert (await set_up(client, empty_house, token=wrong)).status_code == 404
    assert (await client.get("/setup")).status_code == 404
    assert not await empty_house.store.members.has_members()


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_page_keeps_the_token_out_of_addresses(empty_house: House) -> None:
    page = await (await empty_house.client()).get("/setup", params={"token": token(empty_house)})
    assert page.text.count(token(empty_house)) == 1, "in the hidden field, and nowhere else"
    assert 'action="/setup"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"


async def test_two_at_once_make_one_account(empty_house: House) -> None:
    clients = [await empty_house.client() for _ in range(4)]
    answers = await asyncio.gather(*(set_up(client, empty_house, email=f"m{n}@example.com") for n, client in enumerate(clients)))
    assert sorted(answer.status_code for answer in answers) == [303, 404, 404, 404]
    for table in ("members", "accounts", "sessions"):
        assert len(await empty_house.store.database.fetch_all(f"SELECT * FROM {table}")) == 1


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"email": ""}, "Enter an email address."),
        ({"email": "ana"}, "one @"),
        ({"password": "too short"}, "at least 15"),
        ({"password": ""}, "Choose a password"),
        ({"password": EMAIL, "email": EMAIL}, "is the email address"),
        ({"password_again": "correct horse battery stable"}, "not the same as the password"),
        ({"account_name": "x" * 64}, "Use at most 63"),
    ],
)
async def test_what_is_wrong_is_said_and_the_password_is_not(empty_house: House, fields: dict[str, str], says: str) -> None:
    client = await empty_house.client()
    answer = await set_up(client, empty_house, **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert PASSWORD not in answer.text
    assert not await empty_house.store.members.has_members()
    assert (await set_up(client, empty_house)).status_code == 303, "and it can be tried again"


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_with_htmx_it_is_led_on_and_signed_in(empty_house: House) -> None:
    client = await empty_house.client()
    answer = await client.post(
        "/setup", data={"token": token(empty_house), "email": EMAIL, "password": PASSWORD}, headers={"HX-Request": "true"}
    )
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/registry-credentials")
    assert (await client.get("/registry-credentials")).status_code == 200


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_another_site_cannot_set_up(empty_house: House) -> None:
    client = await empty_house.client()
    client.headers["sec-fetch-site"] = "cross-site"
    assert (await set_up(client, empty_house)).status_code == 403


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_before_the_set_up_the_sign_in_page_says_so(empty_house: House) -> None:
    client = await empty_house.client()
    page = await client.get("/login")
    assert page.status_code == 200
    assert "not set up" in page.text
    assert token(empty_house) not in page.text
    await set_up(client, empty_house)
    assert "not set up" not in (await (await empty_house.client()).get("/login")).text


async def test_the_command_makes_an_account_and_an_admin_who_can_sign_in(empty_house: House) -> None:
    accounts, members = empty_house.store.accounts, empty_house.store.members
    assert await accounts.only_account_id() is None
    member = await members.create_admin(ROOT, " Ana@Example.com ", Secret(PASSWORD.encode()))
    assert (member.email, member.role) == ("Ana@Example.com", "admin")
    assert await accounts.only_account_id() == member.account_id
    actor = Actor(member.account_id, "member", member.id, member.email)
    assert await accounts.account(actor) == Account(member.account_id, "Example.com", None, None, 1)
    client = await empty_house.client()
    answer = await client.post("/login", data={"email": "ana@example.com", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    assert [row["account_id"] for row in await empty_house.audit()] == [member.account_id] * 3


async def test_a_second_admin_joins_the_account_that_there_is(empty_house: House) -> None:
    members = empty_house.store.members
    first = await members.create_admin(ROOT, EMAIL, Secret(PASSWORD.encode()))
    second = await members.create_admin(ROOT, "bo@example.org", Secret(PASSWORD.encode()))
    assert second.account_id == first.account_id
    with pytest.raises(Invalid, match=r"ANA@example\.com already"):
        await members.create_admin(ROOT, "ANA@example.com", Secret(PASSWORD.encode()))
    with pytest.raises(Invalid, match="at least 15"):
        await members.create_admin(ROOT, "cy@example.com", Secret(b"short"))
    with pytest.raises(Invalid, match="one @"):
        await members.create_admin(ROOT, "cy", Secret(PASSWORD.encode()))
    assert len(await empty_house.store.database.fetch_all("SELECT id FROM members")) == 2


async def test_with_several_accounts_the_command_does_not_guess(house: House) -> None:
    with pytest.raises(Conflict, match="several accounts"):
        await house.store.members.create_admin(ROOT, EMAIL, Secret(PASSWORD.encode()))


async def test_a_member_ends_the_set_up_in_the_transaction(house: House) -> None:
    with pytest.raises(NotFound):
        await house.store.members.set_up(ROOT, parse_name("Mine"), parse_email(EMAIL), Secret(PASSWORD.encode()))
    assert len(await house.store.database.fetch_all("SELECT id FROM accounts")) == 2
