"""The audit log as people read it: filtered, paged and as CSV, and never another account's."""

import asyncio
import csv
import io
import json
import re
from dataclasses import replace

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import START, House
from tests.stories import add_image, bootstrap_token, enroll, enrolled, id_in_list, provision, store_credential
from webapp.actor import Actor
from webapp.audit.record import ACTIONS, COLUMNS
from webapp.audit.repository import PAGE
from webapp.chain import Event
from webapp.clock import DAY, SECOND

pytestmark = pytest.mark.anyio

HTMX = {"HX-Request": "true"}
BAD_DATE = "Write the date as 2026-11-03."


async def write(house: House, *objects: str, actor: Actor | None = None, action: str = "image.create") -> None:
    """Write a row about each of these objects, one after the other."""
    for name in objects:
        await house.store.chain.append_and_commit(actor or house.alice.actor, Event(action, "image", f"id of {name}", name))


def objects(page: str) -> list[str]:
    """The objects of the rows, in their order."""
    return [re.sub(r" <span.*", "", cell) for cell in re.findall(r'<td data-label="Object">(.*?)</td>', page)]


def link(page: str, words: str) -> str | None:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>(?:(?!</a>).)*{words}', page)
    return None if found is None else found[1].replace("&amp;", "&")


async def rows(client: httpx2.AsyncClient, **query: str) -> list[dict[str, str]]:
    """The rows of the CSV."""
    return list(csv.DictReader(io.StringIO((await client.get("/audit.csv", params=query)).text, newline="")))


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_an_empty_log_and_a_filter_that_finds_nothing_say_so(house: House, alice: httpx2.AsyncClient) -> None:
    assert "Nothing has happened yet" in (await alice.get("/audit")).text
    await write(house, "ubuntu")
    page = (await alice.get("/audit?q=nothing-like-it")).text
    assert "Nothing matches “nothing-like-it”" in page
    assert link(page, "Show all") == "/audit"
    assert "Nothing matches these filters" in (await alice.get("/audit?decision=denied")).text


async def test_what_people_and_agents_do_is_listed_in_words(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    house.clock.step = 1  # two chains know no other order
    image_id = await add_image(alice, await store_credential(alice))
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})
    await provision(house, token)
    await bob.post("/images", data={"name": "x"})
    await alice.post(f"/agents/{agent_id}/revoke")
    await provision(house, token)
    actions = {str(row["action"]) for row in await house.audit()}
    assert actions <= set(ACTIONS)
    page = (await alice.get("/audit", headers=HTMX)).text
    assert re.findall(r'<td data-label="What">([^<]+?) ?<', page) == [
        "Token refused",
        "Agent revoked",
        "Request refused",
        "Registry credential handed over",
        "Image chosen for an agent",
        "Agent enrolled",
        "Bootstrap token created",
        "Image created",
        "Registry credential created",
    ]
    assert objects(page)[3] == "ghcr-acme"
    assert "version 1" in page
    assert '<time datetime="2026-11-03T14:05:00Z">3 Nov 2026, 14:05 UTC</time>' in page
    assert "192.0.2.7" in page
    assert page.count("Denied") == 2


FOUND: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["node", "Ünïx", "100%_!", "ubuntu"]),
    ({"action": "image.delete"}, ["Ünïx"]),
    ({"decision": "denied"}, ["node"]),
    ({"decision": "allowed", "q": "U"}, ["ubuntu"]),
    ({"q": "UBUNTU"}, ["ubuntu"]),
    ({"q": "Ünï"}, ["Ünïx"]),
    ({"q": "%_!"}, ["100%_!"]),
    ({"q": "_bunt"}, []),
    ({"q": "alice@"}, ["Ünïx", "100%_!", "ubuntu"]),
    ({"q": "AAAA000011112222"}, ["node"]),
    ({"q": "AAAA0000"}, []),
    ({"q": "198.51.100.9"}, ["node"]),
    ({"q": "req-1"}, ["node"]),
    ({"q": "id of Ünïx"}, ["Ünïx"]),
    ({"action": "image.delete", "q": "ubuntu"}, []),
]


async def test_filters_find_what_they_say(house: House, alice: httpx2.AsyncClient) -> None:
    agent = Actor(house.alice.account_id, "agent", "1", "rack1", accessor="AAAA000011112222", address="198.51.100.9", request_id="req-1")
    await write(house, "ubuntu", "100%_!")
    await write(house, "Ünïx", action="image.delete")
    await house.store.chain.append_and_commit(agent, Event("agent.enroll", "agent", "x", "node", decision="denied"))
    for query, found in FOUND:
        page = (await alice.get("/audit", params=query)).text
        assert objects(page) == found, query
        assert [row["object_name"] for row in await rows(alice, **query)] == found, f"and the CSV of {query} is the same"
        if found:
            csv_link = link((await alice.get("/audit", params=query, headers=HTMX)).text, "Download CSV")
            assert csv_link is not None, "the link is in the part that a filter replaces"
            assert dict(httpx2.QueryParams(csv_link.partition("?")[2])) == query


async def test_days_begin_and_end_in_utc_and_both_are_included(house: House, alice: httpx2.AsyncClient) -> None:
    midnight = START - START % DAY
    for at, name in (
        (midnight - 1, "the day before"),
        (midnight, "first"),
        (midnight + DAY - 1, "last"),
        (midnight + DAY, "the day after"),
    ):
        house.clock.now = at
        await write(house, name)
    house.clock.now = midnight + DAY
    fresh = await house.signed_in(house.alice)
    for query, found in (
        ("since=2026-11-03&until=2026-11-03", ["last", "first"]),
        ("since=2026-11-03", ["the day after", "last", "first"]),
        ("until=2026-11-03", ["last", "first", "the day before"]),
        ("since=2026-11-05", []),
        ("since=2026-11-04&until=2026-11-03", []),
    ):
        assert objects((await fresh.get(f"/audit?{query}")).text) == found


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("since=yesterday", f"From: {BAD_DATE}"),
        ("until=2026-02-30", f"To: {BAD_DATE}"),
        ("action=agent.fly", "There is no such action"),
        ("decision=maybe", "Choose allowed or denied"),
    ],
)
async def test_a_filter_that_is_none_is_422_and_says_so(
    house: House, alice: httpx2.AsyncClient, query: str, says: str, headers: dict[str, str]
) -> None:
    await write(house, "ubuntu", "debian")
    answer = await alice.get(f"/audit?q=ubuntu&{query}", headers=headers)
    assert answer.status_code == 422
    assert says in answer.text
    assert "Not all filters were understood" in answer.text
    assert ("<html" in answer.text) == (not headers)
    assert objects(answer.text) == ["ubuntu"], "the others still filter"


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_csv_of_a_filter_that_is_none_is_not_the_whole_log(house: House, alice: httpx2.AsyncClient) -> None:
    await write(house, "ubuntu")
    for query in ("since=yesterday", "until=2026-02-30", "action=agent.fly", "decision=maybe"):
        for ending in ("csv", "jsonl"):
            answer = await alice.get(f"/audit.{ending}?{query}")
            assert answer.status_code == 422, query
            assert "ubuntu" not in answer.text
            assert "content-disposition" not in answer.headers


async def test_pages_hold_each_row_once_while_new_ones_are_written(house: House, alice: httpx2.AsyncClient) -> None:
    names = [f"image-{number:03}" for number in range(2 * PAGE + 7)]
    for number, name in enumerate(names):
        if number % 3 == 0:  # so that some rows are of one moment
            house.clock.advance(SECOND)
        await write(house, name)
    read, url, pages = [], "/audit?action=image.create", 0
    while url:
        page = (await alice.get(url)).text
        assert (link(page, "First page") is None) == (pages == 0)
        if pages:
            assert link(page, "First page") == "/audit?action=image.create"
        read += objects(page)
        pages += 1
        await write(house, f"new-{pages}")
        url = link(page, "Next page") or ""
    assert (pages, read) == (3, names[::-1])


async def test_a_key_that_is_none_begins_at_the_newest(house: House, alice: httpx2.AsyncClient) -> None:
    await write(house, "ubuntu")
    for before in ("x", "1", "-", "1-", "-1", "1-x", "٣-٣", "9" * 40 + "-1", "1-1-1"):
        answer = await alice.get("/audit", params={"before": before})
        assert (answer.status_code, objects(answer.text)) == (200, ["ubuntu"]), before


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_csv_is_a_table_for_programs(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(7)
    await write(house, 'a "quoted", name', "ubuntu")
    answer = await alice.get("/audit.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-log.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.split("\r\n")[0] == ",".join(COLUMNS)
    newest, oldest = await rows(alice)
    assert newest["at"] == "2026-11-03T14:05:00.007Z"
    assert (newest["actor_label"], newest["secret_version"]) == ("alice@example.com", "")
    assert oldest["object_name"] == 'a "quoted", name'


async def test_the_lines_of_json_are_the_same_rows(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(7)
    await asyncio.gather(*(write(house, f'=a "quoted" name {number}') for number in range(1001)))
    answer = await alice.get("/audit.jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-log.jsonl"'
    assert answer.text.endswith("}\n")
    read = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["seq"] for row in read] == list(range(1001, 0, -1))
    assert tuple(read[0]) == COLUMNS
    assert (read[0]["at"], read[0]["secret_version"]) == ("2026-11-03T14:05:00.007Z", None)
    assert {row["object_name"] for row in read} == {f'=a "quoted" name {number}' for number in range(1001)}, "for programs: as it is"
    chosen = await alice.get("/audit.jsonl", params={"q": "name 77"})
    assert [json.loads(line)["object_name"].rpartition(" ")[2] for line in chosen.text.splitlines()] == [
        *(str(number) for number in range(779, 769, -1)), "77",
    ]  # fmt: skip


async def test_the_csv_has_all_rows_and_not_one_page(house: House, alice: httpx2.AsyncClient) -> None:
    await asyncio.gather(*(write(house, f"image-{number}") for number in range(1001)))
    read = await rows(alice)
    assert len({row["object_name"] for row in read}) == len(read) == 1001
    assert [int(row["seq"]) for row in read] == list(range(1001, 0, -1))


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "plain", "a=1", ""])
async def test_no_cell_of_the_csv_is_a_formula(house: House, alice: httpx2.AsyncClient, name: str) -> None:
    await write(house, name, actor=replace(house.alice.actor, label=name, address=name))
    cells = (await rows(alice))[0]
    for column in ("object_name", "actor_label", "address"):
        assert cells[column] == (name if name in ("plain", "a=1", "") else f"'{name}")


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_formula_that_somebody_names_an_image_is_harmless(house: House, alice: httpx2.AsyncClient) -> None:
    await add_image(alice, name="=1+1", docker_image_url="nginx")
    assert (await rows(alice, action="image.create"))[0]["object_name"] == "'=1+1"


async def test_another_accounts_rows_are_never_shown(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await store_credential(alice)
    credential_id = await id_in_list(alice, "/registry-credentials", "ghcr-acme")
    token = await bootstrap_token(alice)
    await enroll(house, token, "alices-node")
    await write(house, "of the installation", actor=Actor("", "command_line", "0", "command line (root)"))
    await write(house, "charlies-own", actor=house.charlie.actor)
    for query in ("", "alice", "alices-node", "192.0.2.7", credential_id, token.split("_")[2], "installation", "command line", "%"):
        for path in ("/audit", "/audit.csv", "/audit.jsonl"):
            text = (await charlie.get(path, params={"q": query})).text
            text = text.replace(f"“{query}”", "").replace(f'value="{query}"', "")  # what he typed himself
            assert not any(word in text for word in ("alice", "ghcr-acme", "command line", token.split("_")[2]))
    shown = {tuple(row.items()) for client in (alice, charlie) for row in await rows(client)}
    assert len(shown) == len(await house.audit()) - 1, "and nobody's but the installation's is left out"
    assert objects((await charlie.get("/audit")).text) == ["charlies-own"]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_viewer_may_read_the_log(house: House, bob: httpx2.AsyncClient) -> None:
    await write(house, "ubuntu")
    assert objects((await bob.get("/audit")).text) == ["ubuntu"]
    assert (await bob.get("/audit.csv")).status_code == (await bob.get("/audit.jsonl")).status_code == 200
