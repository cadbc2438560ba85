"""Bootstrap tokens: shown once, good for as long as was chosen, ended at once, and accountable for whom they enrolled."""

import re
from dataclasses import dataclass

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import TOKEN, bootstrap_token, enroll, enrolled, provision
from webapp.agents.bootstrap_token import LIFETIMES
from webapp.agents.bootstrap_tokens import MOST_LISTED, MOST_NAMES
from webapp.clock import MINUTE

pytestmark = pytest.mark.anyio

NEW = "/agents/bootstrap-tokens"


@dataclass(frozen=True)
class Made:
    """A bootstrap token as the story knows it."""

    id: str
    text: str

    @property
    def accessor(self) -> str:
        return self.text.split("_")[2]


async def make(house: House, client: httpx2.AsyncClient, **fields: str) -> Made:
    text = await bootstrap_token(client, **fields)
    tokens = await house.store.bootstrap_tokens.newest(house.alice.actor)
    return Made(next(token.id for token in tokens if token.accessor == text.split("_")[2]), text)


def row(page: str, accessor: str) -> str:
    """The row of the token with this accessor."""
    found = re.search(rf'<tr>\s*<th scope="row"><code class="host">{accessor}</code></th>.*?</tr>', page, re.DOTALL)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "fragment"])
async def test_it_is_shown_in_one_answer_and_in_no_page_after_it(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await alice.post(NEW, data={"lifetime": "10m"}, headers=headers)
    assert ("<html" in answer.text) == (not headers)
    token = TOKEN.findall(answer.text)
    assert len(token) == 1
    assert answer.headers["cache-control"] == "no-store"
    assert "It is shown this once" in answer.text
    assert "registry-credentials agent enroll --server http://127.0.0.1:8000 --name NAME" in answer.text
    made = (await house.store.bootstrap_tokens.newest(house.alice.actor))[0]
    agent_id = (await enroll(house, token[0])).json()["agent_id"]
    for path in ("/agents", f"/agents/{agent_id}", f"{NEW}/new", f"{NEW}/{made.id}/revoke", "/audit", "/audit.csv"):
        page = await alice.get(path)
        assert page.status_code == 200
        assert TOKEN.search(page.text) is None
        assert token[0].split("_")[3] not in page.text


async def test_the_database_holds_no_token(house: House, alice: httpx2.AsyncClient) -> None:
    token = await bootstrap_token(alice)
    stored = await house.store.database.fetch_all("SELECT * FROM bootstrap_tokens")
    assert token.split("_")[2] in str([dict(each) for each in stored])
    assert token.split("_")[3] not in str([dict(each) for each in stored])


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_form_offers_the_lifetimes_and_begins_with_the_shortest(alice: httpx2.AsyncClient) -> None:
    page = (await alice.get(f"{NEW}/new")).text
    assert re.findall(r'<option value="([^"]*)"(?: selected)?>([^<]*)<', page) == [(code, words) for code, (words, _) in LIFETIMES.items()]
    assert '<option value="10m" selected>' in page


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("code", ["", *LIFETIMES])
async def test_it_enrols_until_it_expires_and_not_a_moment_longer(house: House, alice: httpx2.AsyncClient, code: str) -> None:
    token = await bootstrap_token(alice, lifetime=code)
    house.clock.advance(LIFETIMES[code or "10m"][1] - 1)
    assert (await enroll(house, token, "in-time")).status_code == 201
    house.clock.advance(1)
    assert (await enroll(house, token, "too-late")).status_code == 401
    fresh = await house.signed_in(house.alice)
    assert "Expired" in row((await fresh.get("/agents")).text, token.split("_")[2])


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lifetime": "2h"}, "Choose a lifetime of the list: 10 minutes, 1 day, 7 days, 30 days, 90 days, 365 days."),
        ({"lifetime": "600000"}, "Choose a lifetime of the list"),
        ({"description": "x" * 501}, "at most 500"),
        ({"description": "rack\u202e1"}, "Character 5"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    house: House, alice: httpx2.AsyncClient, fields: dict[str, str], says: str
) -> None:
    answer = await alice.post(NEW, data={"lifetime": "7d", "description": "rack 1", "allow_reenrolment": "1", **fields})
    assert answer.status_code == 422
    assert says in answer.text
    assert TOKEN.search(answer.text) is None
    assert re.search(r'name="allow_reenrolment"[^>]* checked', answer.text)
    assert f'value="{fields.get("description", "rack 1")}"' in answer.text
    assert ('<option value="7d" selected>' in answer.text) == ("lifetime" not in fields)
    assert await house.store.bootstrap_tokens.newest(house.alice.actor) == []


async def test_a_revoked_one_enrols_nobody_and_its_agents_stay(house: House, alice: httpx2.AsyncClient) -> None:
    made = await make(house, alice, description="rack 1")
    agent_token = (await enroll(house, made.text, "rack1-a")).json()["agent_token"]
    page = (await alice.get(f"{NEW}/{made.id}/revoke")).text
    assert made.accessor in page
    assert "The agents that it has enrolled stay." in page
    for _ in range(2):
        answer = await alice.post(f"{NEW}/{made.id}/revoke")
        assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
    assert (await enroll(house, made.text, "rack1-b")).status_code == 401
    assert (await provision(house, agent_token)).status_code == 409, "it is let in; there is no image yet"
    page = (await alice.get("/agents")).text
    assert "Revoked" in row(page, made.accessor)
    assert "/revoke" not in row(page, made.accessor)
    assert len([each for each in await house.audit() if each["action"] == "bootstrap_token.revoke"]) == 1


async def test_the_audit_log_says_who_made_it_and_for_how_long(house: House, alice: httpx2.AsyncClient) -> None:
    made = await make(house, alice, lifetime="1d", allow_reenrolment="1")
    last = (await house.audit())[-1]
    assert (last["action"], last["actor_label"], last["object_id"], last["object_name"]) == (
        "bootstrap_token.create",
        "alice@example.com",
        made.id,
        made.accessor,
    )
    assert last["detail"] == "lifetime 1440 min, allows re-enrolment"


async def test_each_says_whom_it_enrolled_and_no_other(house: House, alice: httpx2.AsyncClient) -> None:
    many, one, none = [await make(house, alice, description=words) for words in ("many", "one", "none")]
    for number in range(MOST_NAMES + 2):
        await enroll(house, many.text, f"node-{number}")
    await enroll(house, one.text, "alone")
    page = (await alice.get("/agents")).text
    assert "node-0, node-1, node-2, node-3, node-4" in row(page, many.accessor)
    assert "node-5" not in row(page, many.accessor)
    assert "alone" in row(page, one.accessor)
    assert '<span class="muted">none</span>' in row(page, none.accessor)
    link = re.search(r'<a href="([^"]+)">and 2 more</a>', row(page, many.accessor))
    assert link is not None
    listed = (await alice.get(link[1], headers={"HX-Request": "true"})).text
    assert all(f">node-{number}</a>" in listed for number in range(MOST_NAMES + 2))
    assert "alone" not in listed


async def test_an_active_one_never_drops_out_of_sight(house: House, alice: httpx2.AsyncClient) -> None:
    old = await make(house, alice, lifetime="365d")
    house.clock.advance(MINUTE)
    for _ in range(MOST_LISTED):
        await house.store.bootstrap_tokens.create(house.alice.actor, description="", lifetime=MINUTE, allow_reenrolment=False)
    house.clock.advance(10 * MINUTE)
    tokens = await house.store.bootstrap_tokens.newest(house.alice.actor)
    assert (len(tokens), tokens[0].id) == (MOST_LISTED, old.id)


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_viewer_sees_them_and_cannot_end_one(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    made = await make(house, alice)
    assert "/revoke" in row((await alice.get("/agents")).text, made.accessor)
    assert "/revoke" not in row((await bob.get("/agents")).text, made.accessor)
    assert (await bob.get(f"{NEW}/{made.id}/revoke")).status_code == 403
    assert (await bob.post(f"{NEW}/{made.id}/revoke")).status_code == 403
    assert (await enroll(house, made.text)).status_code == 201


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_to_another_account_it_is_not_there(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    made = await make(house, alice)
    await enrolled(house, charlie, "theirs")
    for token_id in (made.id, "0" * 32):
        assert (await charlie.get(f"{NEW}/{token_id}/revoke")).status_code == 404
        assert (await charlie.post(f"{NEW}/{token_id}/revoke")).status_code == 404
    assert made.accessor not in (await charlie.get("/agents")).text
    assert "theirs" not in (await alice.get("/agents")).text
    assert (await enroll(house, made.text)).status_code == 201


async def test_a_form_that_is_sent_twice_makes_one_token_and_shows_it_once(house: House, alice: httpx2.AsyncClient) -> None:
    form = {"lifetime": "10m", "form_nonce": "n" * 22}
    first, second = [await alice.post("/agents/bootstrap-tokens", data=form) for _ in range(2)]
    assert TOKEN.search(first.text) is not None
    assert second.status_code == 200
    assert TOKEN.search(second.text) is None
    assert "sent twice" in second.text
    rows = await house.store.database.fetch_all("SELECT id FROM bootstrap_tokens")
    assert len(rows) == 1
    assert f"/agents/bootstrap-tokens/{rows[0]['id']}/revoke" in second.text
