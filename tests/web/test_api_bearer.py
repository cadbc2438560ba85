"""API tokens at the API's door: which are taken, and what the log says of it. What each may do is in `matrix.py`."""

import httpx2
import pytest

from tests.personas import House, Persona
from tests.stories import api_token, bearer, bootstrap_token, enrolled, program, store_credential
from webapp.accounts.api_token import USED_EVERY, token_owner
from webapp.accounts.member import member_mac
from webapp.clock import DAY
from webapp.vault import mint
from webapp.web.denials import MOST_UNKNOWN
from webapp.web.permissions import Permission, token_kind

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # who may do what; the tokens' own tests ask the database on both

ME = "/api/v1/me"


async def ask(house: House, headers: dict[str, str], path: str = ME, method: str = "GET") -> httpx2.Response:
    return await (await house.client()).request(method, path, headers=headers)


async def change_role(house: House, persona: Persona, role: str) -> None:
    """Give a member another role, as an admin does."""
    row = await house.store.database.fetch_one("SELECT * FROM members WHERE id = :id", {"id": persona.member_id})
    assert row is not None
    mac = member_mac(house.store.vault, {**row, "role": role})
    await house.tamper("UPDATE members SET role = :role, mac = :mac WHERE id = :id", role=role, mac=mac, id=persona.member_id)


@pytest.mark.parametrize(
    ("needs", "api", "kind"),
    [
        *[(needs, api, None) for needs in (Permission.PUBLIC, Permission.SEE, Permission.EDIT, Permission.ADMINISTER) for api in (False,)],
        *[(needs, True, "p") for needs in (Permission.PUBLIC, Permission.SEE, Permission.EDIT, Permission.ADMINISTER)],
        *[(Permission.PROBE, api, None) for api in (False, True)],
        *[(Permission.AGENT, api, "a") for api in (False, True)],
        *[(Permission.BOOTSTRAP, api, "b") for api in (False, True)],
    ],
)
def test_each_door_has_its_own_kind_of_token(needs: Permission, api: bool, kind: str | None) -> None:
    assert token_kind(needs, api=api) == kind


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_an_api_token_opens_the_api(house: House, alice: httpx2.AsyncClient, method: str) -> None:
    _, agent = await enrolled(house, alice)
    cookie = {"Cookie": f"session={alice.cookies['session']}", "Sec-Fetch-Site": "same-origin"}
    for headers in ({}, cookie, bearer(alice.cookies["session"]), bearer(agent), bearer(await bootstrap_token(alice))):
        answer = await ask(house, headers, "/api/v1/registry-credentials", method)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"] == 'Bearer realm="registry-credentials"'
        assert "Make a new one in Settings, API tokens" in answer.json()["detail"]


async def test_it_opens_no_page_and_no_door_of_agents(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice, role="admin")
    assert (await ask(house, bearer(token), "/images")).status_code == 303
    assert (await ask(house, bearer(token), "/settings", "POST")).status_code == 303
    assert (await ask(house, bearer(token), "/api/v1/provision")).status_code == 401
    assert (await ask(house, bearer(token), "/api/v1/enroll", "POST")).status_code == 401


async def test_it_says_whose_it_is_and_what_it_may(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice, role="editor", lifetime="7d")
    assert (await ask(house, bearer(token))).json() == {
        "account": {"id": house.alice.account_id, "name": "Acme"},
        "member": "alice@example.com",
        "role": "editor",
        "token": {"name": "deploy-pipeline", "accessor": token.split("_")[2], "role": "editor", "expires_at": "2026-11-10T14:05:00Z"},
    }


async def test_it_never_does_more_than_its_member_may_now(house: House, alice: httpx2.AsyncClient) -> None:
    client = await program(house, alice, role="admin")
    assert (await client.get(ME)).json()["role"] == "admin"
    await change_role(house, house.alice, "viewer")
    assert ((await client.get(ME)).json()["role"], (await client.get(ME)).json()["token"]["role"]) == ("viewer", "admin")
    assert (await client.post("/api/v1/registry-credentials", json={})).status_code == 403
    page = (await (await house.signed_in(house.alice)).get("/settings/api-tokens")).text
    assert "Acts as viewer" in page
    await change_role(house, house.alice, "editor")
    assert (await client.get(ME)).json()["role"] == "editor"


async def test_a_lesser_token_does_not_rise_with_its_member(house: House, bob: httpx2.AsyncClient) -> None:
    client = await program(house, bob)
    await change_role(house, house.bob, "admin")
    assert (await client.get(ME)).json()["role"] == "viewer"


async def test_its_last_use_is_written_down_at_first_and_then_once_a_minute(house: House) -> None:
    house.clock.now = 1000
    client = await program(house, await house.signed_in(house.alice))
    for later, told in ((0, 0), (USED_EVERY - 1, 0), (1, USED_EVERY), (2 * USED_EVERY, 3 * USED_EVERY)):
        house.clock.advance(later)
        assert (await client.get(ME)).status_code == 200
        row = await house.store.database.fetch_one("SELECT last_used_at FROM api_tokens")
        assert row is not None
        assert row["last_used_at"] == 1000 + told


async def test_what_it_does_is_written_down_in_its_name(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice, role="editor")
    credential = await store_credential(alice)
    answer = await (await house.client()).put(
        f"/api/v1/registry-credentials/{credential}/value", json={"password": "another-long-one"}, headers=bearer(token)
    )
    assert answer.json()["replaced_by"] == "deploy-pipeline (alice@example.com)"
    found = await house.store.database.fetch_one("SELECT id FROM api_tokens")
    assert found is not None
    row = (await house.audit())[-1]
    assert (row["account_id"], row["actor_kind"], row["actor_id"], row["actor_label"], row["accessor"], row["address"]) == (
        house.alice.account_id,
        "api_token",
        found["id"],
        "deploy-pipeline (alice@example.com)",
        token.split("_")[2],
        "192.0.2.7",
    )
    assert row["request_id"] == answer.headers["x-request-id"]
    assert "deploy-pipeline (alice@example.com)" in (await alice.get("/audit")).text
    assert "deploy-pipeline (alice@example.com)" in (await alice.get(f"/registry-credentials/{credential}")).text


async def refused(house: House, alice: httpx2.AsyncClient, story: str) -> str:
    """A token that is refused, for what the story says."""
    token = await api_token(alice, role="admin", lifetime="7d")
    accessor, stranger = token.split("_")[2], mint("p").text.reveal().decode("ascii")
    if story == "the token's accessor is known, the token is not":
        return f"rc_p_{accessor}_" + stranger.split("_")[3]  # whose checksum is that of another one: it has no form at all
    if story == "the token has expired":
        house.clock.advance(7 * DAY)
    elif story == "the token is revoked":
        await house.tamper("UPDATE api_tokens SET revoked_at = 1 WHERE accessor = :accessor", accessor=accessor)
    return token


@pytest.mark.parametrize("story", ["the token has expired", "the token is revoked"])
async def test_a_known_one_that_is_over_is_written_down(house: House, alice: httpx2.AsyncClient, story: str) -> None:
    token = await refused(house, alice, story)
    answers = [await ask(house, bearer(token)) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {401}
    rows = [row for row in await house.audit() if row["action"] == "token.refuse"]
    assert [(row["actor_kind"], row["actor_label"], row["accessor"], row["detail"]) for row in rows] == [
        ("api_token", "deploy-pipeline (alice@example.com)", token.split("_")[2], story)
    ], "and the others are summed up after a minute"


@pytest.mark.parametrize(
    "change",
    [
        "role = 'admin'",
        "expires_at = expires_at + 1000",
        "member_id = :bob",
        "account_id = :other, member_id = :charlie",
        "mac = x''",
    ],
)
async def test_whoever_can_write_to_the_database_raises_none(house: House, alice: httpx2.AsyncClient, change: str) -> None:
    client = await program(house, alice)
    assert (await client.get(ME)).status_code == 200
    values = {":bob": house.bob.member_id, ":other": house.charlie.account_id, ":charlie": house.charlie.member_id}
    await house.tamper(f"UPDATE api_tokens SET {change}", **{name[1:]: value for name, value in values.items() if name in change})
    assert (await client.get(ME)).status_code == 401
    row = (await house.audit())[-1]
    assert (row["action"], row["detail"]) == ("token.refuse", "the token's accessor is known, the token is not")


async def test_whoever_can_write_to_the_database_makes_none(house: House, alice: httpx2.AsyncClient) -> None:
    forged, vault = mint("p"), house.store.vault
    other = vault.token_mac(
        mint("p"),
        owner=token_owner("1", house.alice.member_id, "admin"),
        account_id=house.alice.account_id,
        expires_at=house.clock() + DAY,
    )
    row = {"account": house.alice.account_id, "member": house.alice.member_id, "accessor": forged.accessor, "mac": other}
    await house.tamper(
        "INSERT INTO api_tokens (id, account_id, member_id, accessor, mac, name, name_key, role, created_at, expires_at)"
        " VALUES ('1', :account, :member, :accessor, :mac, 'x', 'x', 'admin', 0, :expires)",
        **row,
        expires=house.clock() + DAY,
    )
    assert (await ask(house, bearer(forged.text.reveal().decode("ascii")))).status_code == 401


async def test_a_member_whose_row_was_raised_has_no_tokens(house: House, bob: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    client = await program(house, bob)
    await house.tamper("UPDATE members SET role = 'admin' WHERE id = :id", id=house.bob.member_id)
    assert (await client.get(ME)).status_code == 401
    assert "was not written by this program" in caplog.text
    assert (await house.audit())[-1]["detail"] == "the member's row was not written by this program"


async def test_the_answer_is_the_same_whatever_is_wrong(house: House, alice: httpx2.AsyncClient) -> None:
    revoked = await refused(house, alice, "the token is revoked")
    answers = [await ask(house, bearer(each)) for each in (revoked, mint("p").text.reveal().decode("ascii"), "nonsense")]
    answers.append(await ask(house, {}))
    documents = [{name: value for name, value in answer.json().items() if name != "request_id"} for answer in answers]
    assert documents == [documents[0]] * len(answers)


async def test_unknown_ones_are_counted_and_then_refused_for_a_while(house: House) -> None:
    codes = [(await ask(house, bearer(mint("p").text.reveal().decode("ascii")))).status_code for _ in range(MOST_UNKNOWN + 1)]
    assert codes == [401] * MOST_UNKNOWN + [429]
    assert await house.audit() == []


async def test_a_member_who_is_shown_as_somebody_else_has_no_tokens(house: House, alice: httpx2.AsyncClient) -> None:
    token = bearer(await api_token(alice))
    assert (await ask(house, token)).status_code == 200
    await house.tamper("UPDATE members SET email = 'bob@example.com' WHERE id = :id", id=house.alice.member_id)
    assert (await ask(house, token)).status_code == 401
