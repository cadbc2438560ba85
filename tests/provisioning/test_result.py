"""What an agent reports of a hand-over: what is taken, what is cleaned, and what its row then shows."""

import json
from typing import Any

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import add_image, bearer, enrolled, provision, store_credential
from webapp.clock import MINUTE
from webapp.errors import Invalid
from webapp.provisioning.provision_id import HandedAt, place_of, provision_id_of
from webapp.provisioning.result import MOST_ERROR, Result, parse_result, shortened

pytestmark = pytest.mark.anyio

ID = "0123456789abcdef0123456789abcdef"
DIGEST = "sha256:" + "0a" * 32

WRONG: dict[str, list[Any]] = {
    "provision_id": [None, 7, "", ID[:-1], ID + "0", ID.upper(), ID + "\n", [ID]],
    "outcome": [None, "", "Pulled", "ok", True, ["pulled"], {"pulled": 1}],
    "digest": ["", "sha256:", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "md5:" + "0a" * 16, DIGEST + "\n", 7, []],
    "error": [7, False, ["x"], {}],
}


def body(**members: Any) -> dict[str, Any]:
    return {"provision_id": ID, "outcome": "failed", "digest": None, "error": None, **members}


async def report(house: House, token: str, **members: Any) -> httpx2.Response:
    client = await house.client()
    return await client.post("/api/v1/provision/result", content=json.dumps(body(**members)), headers=bearer(token))


@pytest.mark.parametrize("digest", [None, DIGEST, "sha384:" + "0a" * 48, "sha512:" + "0a" * 64])
@pytest.mark.parametrize("outcome", ["pulled", "failed"])
def test_a_result_is_what_was_sent(outcome: str, digest: str | None) -> None:
    parsed = parse_result(body(outcome=outcome, digest=digest, error="no route to host"))
    assert (parsed.provision_id, parsed.outcome, parsed.digest, parsed.error) == (ID, outcome, digest, "no route to host")


def test_digest_and_error_may_be_left_out() -> None:
    assert parse_result({"provision_id": ID, "outcome": "pulled"}) == Result(ID, "pulled", None, None)


@pytest.mark.parametrize(
    ("member", "value"),
    [(member, value) for member, values in WRONG.items() for value in values],
)
def test_what_is_wrong_is_named_and_not_quoted(member: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        parse_result(body(**{member: value}))
    assert list(caught.value.errors) == [member]
    assert caught.value.errors[member].startswith(f"{member}: send ")


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse_result({"digest": 1, "error": 1})
    assert list(caught.value.errors) == ["provision_id", "outcome", "digest", "error"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", None),
        (" a\r\n\tb  c ", "a b c"),
        ("\x1b[31mred\x1b[0m\x00", "[31mred [0m"),
        ("a\u202eb\u200bc\ufeff", "abc"),
        ("line\u2028sep\u2029end", "line sep end"),
        ("half \ud800 a pair", "half a pair"),
        ("für – 你好 🐎", "für – 你好 🐎"),
        ("<script>", "<script>"),
    ],
)
def test_an_error_is_kept_as_one_line_that_anyone_may_read(text: str, kept: str | None) -> None:
    assert parse_result(body(error=text)).error == kept


def test_of_a_long_error_the_beginning_is_kept() -> None:
    read = parse_result(body(error="x" * 60_000)).error
    assert read is not None
    assert len(read) > 2 * MOST_ERROR, "what it quotes is withheld before it is cut off"
    assert shortened(read) == "x" * MOST_ERROR


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("content", "says"), [(b"", "not JSON"), (b"[]", "no object"), (b"\xff", "not JSON"), (b"[" * 100_000, "not JSON")]
)
async def test_a_body_that_is_no_object_is_refused(house: House, alice: httpx2.AsyncClient, content: bytes, says: str) -> None:
    _, token = await enrolled(house, alice)
    client = await house.client()
    answer = await client.post("/api/v1/provision/result", content=content, headers=bearer(token))
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


async def test_the_row_and_the_log_say_what_became_of_it(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/settings", data={"account_name": "Acme", "default_image_id": await add_image(alice, docker_image_url="nginx")})
    agent_id, token = await enrolled(house, alice)
    provision_id = (await provision(house, token)).json()["provision_id"]
    cause = "reading the manifest: " * 20 + "<b>unauthorized</b>"
    assert (await report(house, token, provision_id=provision_id, error=cause)).status_code == 200
    row, page = [(await alice.get(path)).text for path in ("/agents", f"/agents/{agent_id}")]
    assert "… reading the manifest" in row
    assert "&lt;b&gt;unauthorized&lt;/b&gt;" in row
    assert "reading the manifest: " * 20 in page, "the agent's page has all of it"
    again = (await provision(house, token)).json()["provision_id"]
    assert (await report(house, token, provision_id=again, outcome="pulled", digest=DIGEST)).status_code == 200
    last = (await house.audit())[-1]
    assert (last["action"], last["actor_label"], last["decision"]) == ("agent.report", "rack1-node07", "allowed")
    assert last["detail"] == f"pulled: docker.io/library/nginx:latest {DIGEST}"


async def test_a_late_result_of_an_older_hand_over_does_not_hide_the_newer_one(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/settings", data={"account_name": "Acme", "default_image_id": await add_image(alice, docker_image_url="nginx")})
    agent_id, token = await enrolled(house, alice)
    older = (await provision(house, token)).json()["provision_id"]
    house.clock.advance(MINUTE)
    newer = (await provision(house, token)).json()["provision_id"]
    assert (await report(house, token, provision_id=newer, outcome="pulled", digest=DIGEST)).json()["recorded"] == "now"
    assert (await report(house, token, provision_id=older, error="timeout")).json()["recorded"] == "now"
    agent = await house.store.agents.get(house.alice.actor, agent_id)
    assert (agent.last_outcome, agent.last_error) == ("pulled", None)
    assert [row["detail"] for row in (await house.audit())[-2:]] == [
        f"pulled: docker.io/library/nginx:latest {DIGEST}",
        "failed: docker.io/library/nginx:latest",
    ]


@pytest.mark.parametrize("second", [{"outcome": "pulled"}, {"error": "another"}, {"digest": DIGEST}])
async def test_a_result_stands_once_it_is_given(house: House, alice: httpx2.AsyncClient, second: dict[str, str]) -> None:
    await alice.post("/settings", data={"account_name": "Acme", "default_image_id": await add_image(alice, docker_image_url="nginx")})
    agent_id, token = await enrolled(house, alice)
    provision_id = (await provision(house, token)).json()["provision_id"]
    first = {"provision_id": provision_id, "error": "no  space\nleft"}
    assert (await report(house, token, **first)).json()["recorded"] == "now"
    assert (await report(house, token, **first)).json()["recorded"] == "before", "also where it had to be cleaned"
    answer = await report(house, token, **(first | second))
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/result-stands")
    assert (await house.store.agents.get(house.alice.actor, agent_id)).last_error == "no space left"


@pytest.mark.parametrize(
    ("writer", "told"),
    [(0, "01a1a1ba3ee000000000000000000007"), (3, "01a1a1ba3ee000030000000000000007"), (65535, "01a1a1ba3ee0ffff0000000000000007")],
)
def test_an_id_holds_the_time_the_writer_and_the_number(writer: int, told: str) -> None:
    place = HandedAt(1_793_714_700_000, writer, 7)
    assert provision_id_of(place.at, place.writer, place.number) == told
    assert place_of(told) == place


async def test_an_image_whose_name_says_that_a_secret_was_read_keeps_no_result_back(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, await store_credential(alice), name="x; user data secrets.A (version 99999999999999999999)")
    await house.tamper("UPDATE agents SET image_id = :image WHERE id = :id", image=image, id=agent_id)
    handed = (await provision(house, token)).json()
    assert (await report(house, token, provision_id=handed["provision_id"], error="no route to host")).status_code == 200
