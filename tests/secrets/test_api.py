"""Secrets and variables through the API: names come out, values go in."""

import asyncio

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import id_in_list, program
from webapp.secrets.named_value import MOST_VALUE
from webapp.secrets.repository import Reading
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

SECRETS, VARIABLES = "/api/v1/secrets", "/api/v1/variables"


@pytest.fixture
async def client(house: House, alice: httpx2.AsyncClient) -> httpx2.AsyncClient:
    return await program(house, alice, role="editor")


async def given(alice: httpx2.AsyncClient, kind: str = "secrets", name: str = "DB_PASSWORD", value: str = "hunter2-but-long") -> str:
    await alice.post(f"/{kind}", data={"name": name, "value": value, "description": "of the main database"})
    return await id_in_list(alice, f"/{kind}", name)


async def opened(house: House, name: str) -> bytes:
    """The value as a hand-over opens it."""
    row = await house.store.database.fetch_one("SELECT id, secret_version, sealed FROM secrets WHERE name = :name", {"name": name})
    assert row is not None
    reading = Reading(row["id"], name, row["secret_version"], bytes(row["sealed"]))
    found: Secret = house.store.secrets.open(house.alice.account_id, reading)
    return found.reveal()


async def test_of_secrets_the_names_are_told_and_of_variables_the_values(alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    secret, variable = await given(alice), await given(alice, "variables", "STAGE", "production")
    answer = await client.get(SECRETS)
    (shown,) = answer.json()["secrets"]
    assert "hunter2" not in answer.text
    assert "value" not in shown
    assert (shown["id"], shown["name"], shown["description"], shown["version"]) == (secret, "DB_PASSWORD", "of the main database", 1)
    assert (shown["replaced_at"], shown["replaced_by"]) == ("2026-11-03T14:05:00Z", "alice@example.com")
    (shown,) = (await client.get(VARIABLES)).json()["variables"]
    assert (shown["id"], shown["name"], shown["value"]) == (variable, "STAGE", "production")
    assert (await client.get(SECRETS, params={"q": "nothing"})).json() == {"secrets": [], "next": None}


@pytest.mark.parametrize("value", ["a newer one", "two\r\nlines\r\n", " spaces ", "ünïcödé \u2028", "x" * MOST_VALUE])
async def test_a_value_is_replaced_byte_for_byte(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient, value: str) -> None:
    secret = await given(alice)
    answer = await client.put(f"{SECRETS}/{secret}/value", json={"value": value})
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.json()["replaced_by"]) == (2, "deploy-pipeline (alice@example.com)")
    assert value not in answer.text
    assert await opened(house, "DB_PASSWORD") == value.encode()
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_kind"], row["secret_version"]) == ("secret.replace", "api_token", 2)


@pytest.mark.parametrize("value", ["two\nlines", "two\r\nlines", ""])
async def test_so_is_a_variables(alice: httpx2.AsyncClient, client: httpx2.AsyncClient, value: str) -> None:
    variable = await given(alice, "variables", "STAGE", "two\nlines")
    answer = await client.put(f"{VARIABLES}/{variable}/value", json={"value": value})
    assert answer.json()["value"] == value
    assert (await client.get(VARIABLES)).json()["variables"][0]["value"] == value


@on_sqlite  # what the form's own tests ask on both
@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "value", "value: missing."),
        ({"value": None}, "value", "value: missing."),
        ({"value": 7}, "value", "value: not a string."),
        ({"value": ""}, "value", "value: empty. Send the new value of this secret."),
        ({"value": "a\0b"}, "value", "The value holds a NUL byte"),
        ({"value": "x" * (MOST_VALUE + 1)}, "value", "The value has 65537 bytes."),
        ({"value": "x", "name": "OTHER"}, "name", "There is no such field here. The fields are value, version."),
        ({"value": "x", "version": "1"}, "version", "version: not a whole number."),
    ],
)
async def test_what_is_no_value_is_refused(
    house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient, body: dict[str, object], field: str, sentence: str
) -> None:
    secret = await given(alice)
    answer = await client.put(f"{SECRETS}/{secret}/value", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][field].startswith(sentence)
    assert await opened(house, "DB_PASSWORD") == b"hunter2-but-long"


async def test_a_stale_version_replaces_nothing(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    secret = await given(alice)
    assert (await client.put(f"{SECRETS}/{secret}/value", json={"value": "second", "version": 1})).status_code == 200
    answer = await client.put(f"{SECRETS}/{secret}/value", json={"value": "third", "version": 1})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (412, "stale")
    assert await opened(house, "DB_PASSWORD") == b"second"


async def test_another_accounts_is_no_such_thing(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    secret = await given(alice)
    theirs = await program(house, charlie, role="admin")
    assert (await theirs.get(SECRETS)).json()["secrets"] == []
    assert (await theirs.put(f"{SECRETS}/{secret}/value", json={"value": "x"})).status_code == 404
    assert await opened(house, "DB_PASSWORD") == b"hunter2-but-long"


async def test_values_that_are_replaced_at_once_come_one_after_the_other(alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    secret = await given(alice)
    answers = await asyncio.gather(*(client.put(f"{SECRETS}/{secret}/value", json={"value": value}) for value in ("a", "b", "c")))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert (await client.get(SECRETS)).json()["secrets"][0]["version"] == 4
