"""Enrolment: who gets a token, and who takes a name back."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import TOKEN, bearer, bootstrap_token, enroll, enrolled, provision
from webapp.clock import HOUR, MINUTE

pytestmark = pytest.mark.anyio


async def test_a_bootstrap_token_is_shown_once_and_nowhere_again(alice: httpx2.AsyncClient) -> None:
    token = await bootstrap_token(alice)
    assert token.startswith("rc_b_")
    page = (await alice.get("/agents")).text
    assert TOKEN.search(page) is None
    assert token.split("_")[2] in page, "its accessor may be shown"


async def test_an_agent_enrols_and_is_listed(house: House, alice: httpx2.AsyncClient) -> None:
    answer = await enroll(house, await bootstrap_token(alice))
    assert answer.status_code == 201
    assert set(answer.json()) == {"agent_id", "agent_token"}
    assert answer.json()["agent_token"].startswith("rc_a_")
    assert answer.headers["cache-control"] == "no-store"
    assert "rack1-node07" in (await alice.get("/agents")).text


async def test_a_bootstrap_token_enrols_many_agents_and_says_which(house: House, alice: httpx2.AsyncClient) -> None:
    token = await bootstrap_token(alice, description="rack 1")
    for name in ("rack1-a", "rack1-b", "rack1-c"):
        assert (await enroll(house, token, name)).status_code == 201
    assert "rack1-a, rack1-b, rack1-c" in (await alice.get("/agents")).text


@pytest.mark.parametrize("story", ["nonsense", "typing error", "expired", "revoked", "an agent's token", "no token"])
async def test_it_refuses_a_bad_token_and_says_nothing_about_which(house: House, alice: httpx2.AsyncClient, story: str) -> None:
    token = await bootstrap_token(alice)
    match story:
        case "nonsense":
            token = "rc_b_nonsense"
        case "typing error":
            token = token[:-1] + ("a" if token[-1] != "a" else "b")
        case "expired":
            house.clock.advance(10 * MINUTE)
        case "revoked":
            made = (await house.store.bootstrap_tokens.newest(house.alice.actor))[0]
            assert (await alice.post(f"/agents/bootstrap-tokens/{made.id}/revoke")).status_code == 303
        case "an agent's token":
            token = (await enrolled(house, alice, "another"))[1]
    client = await house.client()
    headers = {} if story == "no token" else bearer(token)
    answer = await client.post("/api/v1/enroll", json={"name": "rack1-node07"}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    document.pop("request_id")
    assert document == {
        "type": "http://127.0.0.1:8000/problems/unauthorized",
        "title": "Not signed in",
        "status": 401,
        "detail": "The token is not valid here. Enrol the agent again, or ask for a new bootstrap token.",
    }


async def test_a_name_that_is_taken_is_refused(house: House, alice: httpx2.AsyncClient) -> None:
    _, agent_token = await enrolled(house, alice)
    assert (await provision(house, agent_token)).status_code == 409  # no image yet; but now the token was used
    answer = await enroll(house, await bootstrap_token(alice), "Rack1-NODE07")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/agent-name-taken")
    denied = [row for row in await house.audit() if row["action"] == "agent.enroll" and row["decision"] == "denied"]
    assert len(denied) == 1


async def test_a_lost_answer_may_be_asked_for_again_with_the_same_bootstrap_token(house: House, alice: httpx2.AsyncClient) -> None:
    token = await bootstrap_token(alice)
    first = (await enroll(house, token)).json()
    second = (await enroll(house, token)).json()
    assert second["agent_id"] == first["agent_id"]
    assert (await provision(house, first["agent_token"])).status_code == 401
    assert (await provision(house, second["agent_token"])).status_code == 409


async def test_another_bootstrap_token_does_not_take_an_unused_name(house: House, alice: httpx2.AsyncClient) -> None:
    await enrolled(house, alice)
    assert (await enroll(house, await bootstrap_token(alice))).status_code == 409


async def test_a_member_allows_re_enrolment_once_and_for_an_hour(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, old = await enrolled(house, alice)
    await provision(house, old)
    assert (await alice.post(f"/agents/{agent_id}/allow-reenrolment", data={})).status_code == 303
    again = await enroll(house, await bootstrap_token(alice))
    assert again.status_code == 201
    assert again.json()["agent_id"] == agent_id, "it keeps its id"
    assert (await provision(house, old)).status_code == 401, "the old token died in the same transaction"
    await provision(house, again.json()["agent_token"])
    assert (await enroll(house, await bootstrap_token(alice))).status_code == 409, "one use"


async def test_the_permission_to_re_enrol_ends_after_an_hour(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, old = await enrolled(house, alice)
    await provision(house, old)
    await alice.post(f"/agents/{agent_id}/allow-reenrolment", data={})
    house.clock.advance(HOUR)
    fresh = await house.signed_in(house.alice)
    assert (await enroll(house, await bootstrap_token(fresh))).status_code == 409


async def test_a_bootstrap_token_may_allow_re_enrolment(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, old = await enrolled(house, alice)
    await provision(house, old)
    again = await enroll(house, await bootstrap_token(alice, allow_reenrolment="1"))
    assert again.status_code == 201
    assert again.json()["agent_id"] == agent_id


async def test_a_revoked_agent_is_out_at_once_and_its_name_is_free(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    assert (await alice.post(f"/agents/{agent_id}/revoke")).status_code == 303
    assert (await provision(house, token)).status_code == 401
    answer = await enroll(house, await bootstrap_token(alice))
    assert answer.status_code == 201
    assert answer.json()["agent_id"] != agent_id


async def test_two_accounts_may_have_agents_of_one_name(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    first, _ = await enrolled(house, alice)
    second, _ = await enrolled(house, charlie)
    assert first != second
    assert (await charlie.get(f"/agents/{first}")).status_code == 404
    assert (await charlie.post(f"/agents/{first}/revoke")).status_code == 404


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "no object"),
        (b"{}", "name: missing"),
        (b'{"name": 7}', "name: not a string"),
        (b'{"name": " "}', "name: "),
    ],
)
async def test_bad_input_is_named(house: House, alice: httpx2.AsyncClient, body: bytes, words: str) -> None:
    client = await house.client()
    answer = await client.post("/api/v1/enroll", content=body, headers=bearer(await bootstrap_token(alice)))
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_it_refuses_a_viewer(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice)
    assert (await bob.get("/agents")).status_code == 200
    assert (await bob.get("/agents/bootstrap-tokens/new")).status_code == 403
    assert (await bob.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})).status_code == 403
    for path in ("", "/revoke", "/allow-reenrolment"):
        assert (await bob.post(f"/agents/{agent_id}{path}", data={})).status_code == 403


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_keys_are_handed_out_only_with_a_fresh_password(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice)
    house.clock.advance(6 * MINUTE)
    for path in ("/agents/bootstrap-tokens", f"/agents/{agent_id}", f"/agents/{agent_id}/allow-reenrolment"):
        answer = await alice.post(path, data={})
        assert answer.status_code == 422
        assert "Enter your password" in answer.text
    answer = await alice.post("/agents/bootstrap-tokens", data={"current_password": "not it at all"})
    assert answer.status_code == 422
    assert "not it at all" not in answer.text
    assert TOKEN.search((await alice.post("/agents/bootstrap-tokens", data={"current_password": "correct horse battery staple"})).text)


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_stranger_with_unknown_tokens_is_slowed_down_and_fills_no_log(house: House) -> None:
    client = await house.client()
    before = len(await house.audit())
    answers = [(await client.get("/api/v1/provision", headers=bearer("rc_a_guess"))).status_code for _ in range(25)]
    assert answers == [401] * 20 + [429] * 5
    assert len(await house.audit()) == before
    house.clock.advance(MINUTE)
    assert (await client.get("/api/v1/provision", headers=bearer("rc_a_guess"))).status_code == 401


async def test_a_known_refusal_is_one_row_and_not_a_thousand(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    for _ in range(30):
        assert (await provision(house, token)).status_code == 401
    assert len([row for row in await house.audit() if row["action"] == "token.refuse"]) == 1
    await house.app.state.denials.close()
    rows = [row for row in await house.audit() if row["action"] == "token.refuse"]
    assert len(rows) == 2
    assert "29 more" in str(rows[1]["detail"])
