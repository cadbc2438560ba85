"""Settings → API tokens: shown once, never more than their member may, ended at once."""

import re

import httpx2
import pytest

from tests.engines import on_postgresql, on_sqlite
from tests.markup import beside, says, summary
from tests.personas import PASSWORD, House, Persona
from tests.stories import TOKEN, api_token, bearer
from webapp.accounts.api_token import LIFETIMES, MOST_ACTIVE
from webapp.clock import DAY, MINUTE
from webapp.roles import ROLES

pytestmark = pytest.mark.anyio

TOKENS = "/settings/api-tokens"


async def me(house: House, token: str) -> httpx2.Response:
    return await (await house.client()).get("/api/v1/me", headers=bearer(token))


def row(page: str, name: str) -> str:
    """What the row of this token says; nothing where there is none."""
    found = re.search(rf'<tr>\s*<th scope="row">{name}</th>.*?</tr>', page, re.DOTALL)
    return "" if found is None else says(found[0])


async def id_of(house: House, token: str) -> str:
    found = await house.store.database.fetch_one("SELECT id FROM api_tokens WHERE accessor = :accessor", {"accessor": token.split("_")[2]})
    assert found is not None
    return str(found["id"])


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "fragment"])
async def test_it_is_shown_in_one_answer_and_in_no_page_after_it(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await alice.post(TOKENS, data={"name": "deploy", "role": "editor", "lifetime": "7d"}, headers=headers)
    assert ("<html" in answer.text) == (not headers)
    token = TOKEN.findall(answer.text)[0]
    assert token.startswith("rc_p_")
    assert "It is shown this once" in answer.text
    assert "$TOKEN" in answer.text
    assert (await me(house, token)).status_code == 200
    token_id = await id_of(house, token)
    for path in (TOKENS, f"{TOKENS}?show=ended", f"{TOKENS}/new", f"{TOKENS}/{token_id}/revoke", "/audit", "/audit.csv"):
        page = await alice.get(path)
        assert page.status_code == 200
        assert token.split("_")[3] not in page.text
    stored = await house.store.database.fetch_all("SELECT * FROM api_tokens")
    assert token.split("_")[3] not in str([dict(each) for each in stored])


async def test_a_form_that_is_sent_twice_makes_one(house: House, alice: httpx2.AsyncClient) -> None:
    data = {"name": "deploy", "form_nonce": "a-nonce-of-this-form"}
    token = TOKEN.findall((await alice.post(TOKENS, data=data)).text)[0]
    again = await alice.post(TOKENS, data=data)
    assert again.status_code == 200
    assert TOKEN.search(again.text) is None
    assert "made one token" in again.text
    assert token.split("_")[2] in again.text


async def test_the_list_says_what_there_is_to_know(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice, name="deploy", role="editor", lifetime="7d")
    said = row((await alice.get(TOKENS)).text, "deploy")
    assert said.startswith(f"deploy {token.split('_')[2]} alice@example.com editor never Active expires in 7 d")
    await me(house, token)
    house.clock.advance(2 * MINUTE)
    assert "2 min ago" in row((await alice.get(TOKENS)).text, "deploy")


async def test_it_is_said_to_be_used_once_a_minute_at_most(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice)
    seen = []
    for wait in (0, MINUTE - 1, 1):
        house.clock.advance(wait)
        await me(house, token)
        found = await house.store.database.fetch_one("SELECT last_used_at FROM api_tokens")
        assert found is not None
        seen.append(found["last_used_at"])
    assert seen == [house.clock() - MINUTE, house.clock() - MINUTE, house.clock()]


@on_postgresql  # where a trigger can say that the disk is full, as the server would
async def test_a_full_disk_does_not_keep_a_program_from_reading(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice)
    await house.refuse_writes("api_tokens", "UPDATE")
    assert (await me(house, token)).status_code == 200
    await house.take_writes()


@pytest.mark.parametrize("code", LIFETIMES)
async def test_it_opens_the_api_until_it_expires(house: House, alice: httpx2.AsyncClient, code: str) -> None:
    token = await api_token(alice, lifetime=code)
    house.clock.advance(LIFETIMES[code][1] - 1)
    assert (await me(house, token)).status_code == 200
    house.clock.advance(1)
    assert (await me(house, token)).status_code == 401
    fresh = await house.signed_in(house.alice)
    assert row((await fresh.get(TOKENS)).text, "deploy-pipeline") == ""
    assert "Expired" in row((await fresh.get(f"{TOKENS}?show=ended")).text, "deploy-pipeline")


@pytest.mark.parametrize("role", ROLES)
async def test_the_form_offers_ones_own_role_and_those_below(house: House, role: str) -> None:
    persona = Persona(f"dana-{role}", role, house.alice.account_id, "Acme")
    await house.move_in(persona)
    page = (await (await house.signed_in(persona)).get(f"{TOKENS}/new")).text
    assert re.findall(r'<option value="(viewer|editor|admin)"', page) == list(ROLES[: ROLES.index(role) + 1])
    assert '<option value="viewer" selected>' in page
    assert '<option value="30d" selected>' in page


@pytest.mark.parametrize(
    ("fields", "field", "says_so"),
    [
        ({"role": "admin"}, "role", "Your role is editor"),
        ({"role": "root"}, "role", "Choose a role of the list: viewer, editor, admin."),
        ({"lifetime": "999d"}, "lifetime", "7 days, 30 days, 90 days, 365 days"),
        ({"name": ""}, "name", "Enter a name."),
        ({"name": "x" * 64}, "name", "at most 63"),
        ({"name": "a\u202eb"}, "name", "Character 2"),
        ({"name": "TAKEN"}, "name", "Another active token of yours has this name."),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_made(
    house: House, erin: httpx2.AsyncClient, fields: dict[str, str], field: str, says_so: str
) -> None:
    await api_token(erin, name="taken")
    answer = await erin.post(TOKENS, data={"name": "deploy", "role": "editor", "lifetime": "90d", **fields})
    assert answer.status_code == 422
    assert TOKEN.search(answer.text) is None
    assert says_so in beside(answer.text, field)
    assert says_so in summary(answer.text)
    assert len(await house.store.database.fetch_all("SELECT id FROM api_tokens")) == 1


async def test_a_name_is_free_again_when_its_token_has_ended(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    first = await api_token(alice)
    await api_token(bob)
    await alice.post(f"{TOKENS}/{await id_of(house, first)}/revoke")
    await api_token(alice)


async def test_there_are_not_more_than_can_be_looked_through(house: House, alice: httpx2.AsyncClient) -> None:
    for number in range(MOST_ACTIVE):
        await api_token(alice, name=f"token {number}")
    answer = await alice.post(TOKENS, data={"name": "one more"})
    assert answer.status_code == 422
    assert "Revoke one that nothing uses any more." in summary(answer.text)


async def test_it_asks_again_who_somebody_is(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(6 * MINUTE)
    assert "current_password" in (await alice.get(f"{TOKENS}/new")).text
    data = {"name": "deploy"}
    for password in ({}, {"current_password": "wrong"}):
        answer = await alice.post(TOKENS, data={**data, **password})
        assert answer.status_code == 422
        assert beside(answer.text, "current_password")
        assert TOKEN.search(answer.text) is None
    assert TOKEN.search((await alice.post(TOKENS, data={**data, "current_password": PASSWORD})).text)


async def test_a_member_sees_and_revokes_their_own_and_an_admin_all(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, erin: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    made = {name: await api_token(client, name=name) for name, client in (("of-bob", bob), ("of-erin", erin), ("of-charlie", charlie))}
    ids = {name: await id_of(house, token) for name, token in made.items()}
    seen = {who: [name for name in ids if row((await client.get(TOKENS)).text, name)] for who, client in (("alice", alice), ("bob", bob))}
    assert seen == {"alice": ["of-bob", "of-erin"], "bob": ["of-bob"]}
    for client, name in ((bob, "of-erin"), (alice, "of-charlie"), (erin, "of-bob"), (charlie, "of-bob")):
        path = f"{TOKENS}/{ids[name]}/revoke"
        assert ((await client.get(path)).status_code, (await client.post(path)).status_code) == (404, 404)
    assert [(await me(house, token)).status_code for token in made.values()] == [200, 200, 200]
    for client, name in ((bob, "of-bob"), (alice, "of-erin")):
        for _ in range(2):
            answer = await client.post(f"{TOKENS}/{ids[name]}/revoke")
            assert (answer.status_code, answer.headers["location"]) == (303, TOKENS)
    assert [(await me(house, token)).status_code for token in made.values()] == [401, 401, 200]
    assert "Revoked" in row((await alice.get(f"{TOKENS}?show=ended")).text, "of-erin")


async def test_the_audit_log_names_the_token_by_its_accessor(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    token = await api_token(bob, lifetime="7d")
    accessor, token_id = token.split("_")[2], await id_of(house, token)
    await alice.post(f"{TOKENS}/{token_id}/revoke")
    made, ended = [each for each in await house.audit() if str(each["action"]).startswith("api_token.")]
    assert (made["action"], made["actor_label"], made["object_id"], made["object_name"], made["detail"]) == (
        "api_token.create",
        "bob@example.com",
        token_id,
        "deploy-pipeline",
        f"accessor {accessor}; role: viewer; lifetime 7 days",
    )
    assert (ended["action"], ended["actor_label"], ended["detail"]) == (
        "api_token.revoke",
        "alice@example.com",
        f"accessor {accessor}; of bob@example.com",
    )


@on_sqlite  # PostgreSQL takes no such role from anybody
async def test_a_role_that_there_is_not_opens_nothing_and_leaves_the_list_readable(house: House, alice: httpx2.AsyncClient) -> None:
    token = await api_token(alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("PRAGMA ignore_check_constraints = ON")
        await transaction.execute("UPDATE api_tokens SET role = 'root'")
    assert (await me(house, token)).status_code == 401
    assert (await alice.get("/settings/api-tokens")).status_code == 200


async def test_a_list_goes_on_on_the_next_page(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    for number in range(MOST_ACTIVE):
        await api_token(bob, name=f"token-{number}")
        house.clock.advance(1)
    await api_token(alice, name="newest")
    first = (await alice.get(TOKENS)).text
    assert row(first, "newest")
    assert not row(first, "token-0")
    onward = re.search(r'href="([^"]+)" rel="next"', first)
    assert onward is not None
    assert row((await alice.get(onward[1].replace("&amp;", "&"))).text, "token-0")


async def test_an_empty_list_says_what_a_token_is_for(alice: httpx2.AsyncClient) -> None:
    assert "No API tokens" in (await alice.get(TOKENS)).text
    assert "No token has ended" in (await alice.get(f"{TOKENS}?show=ended")).text
    assert "Nothing matches" in (await alice.get(f"{TOKENS}?q=x")).text


async def test_a_year_is_the_longest(house: House) -> None:
    assert max(milliseconds for _, milliseconds in LIFETIMES.values()) == 365 * DAY
