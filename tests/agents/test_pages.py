"""The pages of the agents: the list and its states, the choice of an image, revoking, and letting a machine come back."""

import re

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from tests.stories import add_image, bearer, bootstrap_token, enroll, enrolled, provision
from webapp.clock import HOUR, MINUTE

pytestmark = pytest.mark.anyio

HTMX = {"HX-Request": "true"}
ASKS = 'name="current_password"'
NOT_IT = "not the password at all"


def names(page: str) -> list[str]:
    """The agents in a list, in its order."""
    return re.findall(r'<th scope="row"><a href="/agents/[^"]+">([^<]+)</a>', page)


def link(page: str, words: str) -> str | None:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>(?:(?!</a>).)*{words}', page)
    return None if found is None else found[1].replace("&amp;", "&")


async def rack(house: House, client: httpx2.AsyncClient, *agents: str) -> str:
    """Enrol these agents with one bootstrap token; returns it."""
    token = await bootstrap_token(client)
    for agent in agents:
        assert (await enroll(house, token, agent)).status_code == 201
    return token


async def choose(client: httpx2.AsyncClient, agent_id: str, image_id: str, **fields: str) -> httpx2.Response:
    return await client.post(f"/agents/{agent_id}", data={"image_id": image_id, **fields})


async def version(client: httpx2.AsyncClient, agent_id: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', (await client.get(f"/agents/{agent_id}")).text)
    assert found is not None
    return found[1]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_an_empty_list_says_what_to_do(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    page = (await alice.get("/agents")).text
    assert "No agents yet" in page
    assert link(page, "New bootstrap token") == "/agents/bootstrap-tokens/new"
    theirs = (await bob.get("/agents")).text
    assert "No agents yet" in theirs
    assert link(theirs, "New bootstrap token") is None, "he may not make one"
    assert "No agent is revoked" in (await alice.get("/agents?show=revoked")).text


async def test_a_row_says_what_an_agent_is_handed_and_when_it_was_here(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    row = (await alice.get("/agents", headers=HTMX)).text
    assert all(words in row for words in ("No image", "never", "none yet"))
    await alice.post("/settings", data={"account_name": "Acme", "default_image_id": await add_image(alice, docker_image_url="nginx")})
    row = (await alice.get("/agents", headers=HTMX)).text
    assert "ubuntu-custom" in row
    assert "account default" in row
    await choose(alice, agent_id, await add_image(alice, name="its own", docker_image_url="busybox"))
    assert (await provision(house, token)).status_code == 200
    await house.app.state.parts.activity.write()  # a second later, it would be
    house.clock.advance(5 * MINUTE)
    row = (await alice.get("/agents", headers=HTMX)).text
    assert "its own" in row
    assert "account default" not in row
    assert "5 min ago" in row


async def test_a_search_finds_a_part_of_a_name(house: House, alice: httpx2.AsyncClient) -> None:
    await rack(house, alice, "Rack1-B", "rack1-a", "50%", "a_b", "straße 4")
    searches: dict[str, list[str]] = {
        "RACK1": ["rack1-a", "Rack1-B"],
        "-b": ["Rack1-B"],
        " rack1-a ": ["rack1-a"],
        "%": ["50%"],
        "_": ["a_b"],
        "!": [],
        "STRASSE": ["straße 4"],
        "rack2": [],
    }
    for query, found in searches.items():
        page = (await alice.get("/agents", params={"q": query})).text
        assert names(page) == found, query
        assert ("Nothing matches" in page) == (not found), query
        assert f'value="{query.strip()}"' in page, "what was typed is still there"


async def test_a_search_finds_the_agents_of_one_bootstrap_token(house: House, alice: httpx2.AsyncClient) -> None:
    token = await rack(house, alice, "rack1-a", "rack1-b")
    await rack(house, alice, "rack2-a")
    assert names((await alice.get("/agents", params={"q": token.split("_")[2]})).text) == ["rack1-a", "rack1-b"]


async def test_51_agents_are_two_pages_and_there_is_a_way_back(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    await rack(house, charlie, "node-00", "node-99")
    expected = [f"node-{number:02}" for number in range(51)]
    await rack(house, alice, *reversed(expected))
    first = (await alice.get("/agents?q=node")).text
    assert names(first) == expected[:50]
    assert link(first, "First page") is None
    onward = link(first, "Next page")
    assert onward is not None
    assert "q=node" in onward, "the search goes along"
    second = (await alice.get(onward)).text
    assert names(second) == expected[50:]
    assert link(second, "Next page") is None
    assert names((await alice.get(onward, headers=HTMX)).text) == expected[50:]
    back = link(second, "First page")
    assert back == "/agents?q=node"
    assert names((await alice.get(back)).text) == expected[:50]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_exactly_50_agents_are_one_page(house: House, alice: httpx2.AsyncClient) -> None:
    await rack(house, alice, *(f"node-{number:02}" for number in range(50)))
    page = (await alice.get("/agents")).text
    assert len(names(page)) == 50
    assert link(page, "Next page") is None


async def test_revoked_agents_are_kept_in_a_list_of_their_own(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice, "gone")
    await rack(house, alice, "standing")
    await alice.post(f"/agents/{agent_id}/revoke")
    assert names((await alice.get("/agents")).text) == ["standing"]
    page = (await alice.get("/agents?show=revoked")).text
    assert names(page) == ["gone"]
    assert "Actions for gone" not in page, "there is nothing left to do with it"
    assert names((await alice.get("/agents?show=revoked&q=stand")).text) == []
    assert ASKS not in (await alice.get(f"/agents/{agent_id}")).text


async def test_choosing_an_image_is_what_the_next_provision_hands_over(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image_id = await add_image(alice, docker_image_url="nginx")
    assert ASKS not in (await alice.get(f"/agents/{agent_id}")).text, "she has just signed in"
    answer = await choose(alice, agent_id, image_id, version="1")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/agents/{agent_id}")
    page = (await alice.get(f"/agents/{agent_id}")).text
    assert "Agent saved." in page
    assert f'value="{image_id}" selected' in page
    assert (await provision(house, token)).json()["image"]["name"] == "ubuntu-custom"
    row = next(row for row in await house.audit() if row["action"] == "agent.assign_image")
    assert (row["actor_label"], row["object_name"], row["detail"]) == ("alice@example.com", "rack1-node07", "image: ubuntu-custom")
    await choose(alice, agent_id, "")
    assert (await provision(house, token)).json()["type"].endswith("/no-image"), "back to the account's default, which there is not"


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("path", ["", "/allow-reenrolment"])
async def test_after_five_minutes_the_password_is_asked_for_once(house: House, alice: httpx2.AsyncClient, path: str) -> None:
    agent_id, _ = await enrolled(house, alice)
    fields = {"image_id": await add_image(alice, docker_image_url="nginx"), "version": "1"}
    house.clock.advance(5 * MINUTE)
    assert ASKS not in (await alice.get(f"/agents/{agent_id}{path}")).text
    house.clock.advance(1)
    assert ASKS in (await alice.get(f"/agents/{agent_id}{path}")).text
    for password, says in (("", "Enter your password"), (NOT_IT, "That is not your password")):
        answer = await alice.post(f"/agents/{agent_id}{path}", data=fields | {"current_password": password})
        assert answer.status_code == 422
        assert says in answer.text
        assert NOT_IT not in answer.text
        if not path:
            assert f'value="{fields["image_id"]}" selected' in answer.text, "what was chosen is still there"
    agent = await house.store.agents.get(house.alice.actor, agent_id)
    assert (agent.image_id, agent.reenrol_until, agent.version) == (None, None, 1)
    assert (await alice.post(f"/agents/{agent_id}{path}", data=fields | {"current_password": PASSWORD})).status_code == 303
    assert ASKS not in (await alice.get(f"/agents/{agent_id}{path}")).text, "and then not for five minutes"


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
async def test_two_people_choosing_is_412_with_what_it_is_now(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    agent_id, _ = await enrolled(house, alice)
    mine, theirs = await add_image(alice), await add_image(alice, name="theirs", docker_image_url="nginx")
    read = await version(alice, agent_id)
    await choose(alice, agent_id, theirs, version=read)
    answer = await alice.post(f"/agents/{agent_id}", data={"image_id": mine, "version": read}, headers=headers)
    assert answer.status_code == 412
    assert ("<html" in answer.text) == (not headers)
    assert "changed this while you were editing" in answer.text
    assert re.search(r"<dt>Image</dt><dd>theirs</dd>", answer.text)
    assert f'value="{mine}" selected' in answer.text, "what was chosen is still there"
    assert (await house.store.agents.get(house.alice.actor, agent_id)).image_id == theirs
    assert (await choose(alice, agent_id, mine, version=await version(alice, agent_id))).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("story", ["nonsense", "another account's"])
async def test_it_refuses_an_image_that_is_not_there_to_choose(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, story: str
) -> None:
    agent_id, token = await enrolled(house, alice)
    image_id = "0" * 32 if story == "nonsense" else await add_image(charlie, docker_image_url="nginx")
    answer = await choose(alice, agent_id, image_id)
    assert answer.status_code == 422
    assert "There is no such image any more." in answer.text
    assert image_id not in (await alice.get(f"/agents/{agent_id}")).text
    assert (await provision(house, token)).status_code == 409


async def test_a_revoked_agent_is_refused_at_once_everywhere(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, docker_image_url="nginx")
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, image_id)
    provision_id = (await provision(house, token)).json()["provision_id"]
    confirm = (await alice.get(f"/agents/{agent_id}/revoke", headers=HTMX)).text
    assert "Its token stops working at once" in confirm
    assert "<html" not in confirm
    for _ in range(2):
        answer = await alice.post(f"/agents/{agent_id}/revoke")
        assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
    assert (await provision(house, token)).status_code == 401
    result = {"provision_id": provision_id, "outcome": "pulled", "digest": None, "error": None}
    client = await house.client()
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(token))).status_code == 401
    assert [row["actor_label"] for row in await house.audit() if row["action"] == "agent.revoke"] == ["alice@example.com"], "once"


@pytest.mark.parametrize("path", ["", "/allow-reenrolment"])
async def test_a_revoked_agent_is_not_changed_any_more(house: House, alice: httpx2.AsyncClient, path: str) -> None:
    agent_id, _ = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    answer = await alice.post(f"/agents/{agent_id}{path}", data={"image_id": await add_image(alice)}, headers=HTMX)
    assert answer.status_code == 409
    assert "rack1-node07 is revoked" in answer.text
    assert "<html" not in answer.text, "htmx puts it where the form was"


async def test_re_enrolment_is_allowed_once_and_keeps_the_image(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, old = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, docker_image_url="nginx"))
    await provision(house, old)
    token = await bootstrap_token(alice, lifetime="1d")
    await alice.post(f"/agents/{agent_id}/allow-reenrolment")
    page = (await alice.get(f"/agents/{agent_id}")).text
    assert "Re-enrolment allowed, once, for one hour." in page
    assert "3 Nov 2026, 15:05 UTC" in page
    house.clock.advance(HOUR - 1)
    again = await enroll(house, token)
    assert again.json()["agent_id"] == agent_id
    assert (await provision(house, again.json()["agent_token"])).json()["image"]["name"] == "ubuntu-custom"
    fresh = await house.signed_in(house.alice)
    assert "Allowed until" not in (await fresh.get(f"/agents/{agent_id}")).text, "it is used up"
    assert (await enroll(house, token)).json()["type"].endswith("/agent-name-taken")


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_viewer_sees_agents_and_finds_nothing_to_press(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice)
    for path in ("/agents", f"/agents/{agent_id}"):
        page = (await bob.get(path)).text
        assert "rack1-node07" in page
        assert not any(word in page for word in ("/revoke", "/allow-reenrolment", "Actions for", "/agents/bootstrap-tokens/new", ASKS))
        assert 'id="agents-form"' not in page
    for path in ("/revoke", "/allow-reenrolment"):
        assert (await bob.get(f"/agents/{agent_id}{path}")).status_code == 403


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("path", ["", "/revoke", "/allow-reenrolment"])
async def test_to_another_account_an_agent_is_not_there(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, path: str
) -> None:
    agent_id, _ = await enrolled(house, alice)
    before = await house.store.agents.get(house.alice.actor, agent_id)
    assert (await charlie.get(f"/agents/{agent_id}{path}")).status_code == 404
    assert (await charlie.post(f"/agents/{agent_id}{path}", data={"image_id": ""})).status_code == 404
    assert names((await charlie.get("/agents")).text) == []
    assert await house.store.agents.get(house.alice.actor, agent_id) == before
