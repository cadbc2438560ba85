"""What programs send: one object, each name once, each field of its own type; and an answer that says what is wrong where."""

import json

import httpx2
import pytest

from tests.personas import House
from tests.stories import program
from webapp.web.forms import MOST_BODY, MOST_PART

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a body may hold

CREDENTIALS = "/api/v1/registry-credentials"
GOOD = {"name": "ghcr", "registry_url": "ghcr.io", "username": "acme-bot", "password": "a-long-secret"}


@pytest.fixture
async def client(house: House, alice: httpx2.AsyncClient) -> httpx2.AsyncClient:
    return await program(house, alice, role="editor")


async def test_a_byte_order_mark_is_no_trouble(client: httpx2.AsyncClient) -> None:
    assert (await client.post(CREDENTIALS, content=b"\xef\xbb\xbf" + json.dumps(GOOD).encode())).status_code == 201


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is not JSON."),
        (b"{", "The body is not JSON."),
        (b"name=x&password=hunter2", "The body is not JSON."),
        (json.dumps(GOOD).encode("utf-16"), "The body is not JSON."),
        (b'{"name": "\xff"}', "The body is not JSON."),
        (b'{"version": NaN}', "The body is not JSON."),
        (b"[" * 100_000, "The body is not JSON."),
        (b"[]", "The body is JSON but no object."),
        (b'"x"', "The body is JSON but no object."),
        (b"null", "The body is JSON but no object."),
        (b'{"name": "a", "name": "b"}', "The body has a name twice in one object."),
        (b'{"name": {"a": 1, "a": 2}}', "The body has a name twice in one object."),
    ],
)
async def test_what_is_no_object_is_refused_and_never_quoted(client: httpx2.AsyncClient, body: bytes, sentence: str) -> None:
    answer = await client.post(CREDENTIALS, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"].startswith(sentence)
    assert list(answer.json()["errors"]) == [""]
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", 7, "name: not a string."),
        ("name", True, "name: not a string."),
        ("password", ["a"], "password: not a string."),
        ("password", {"a": "b"}, "password: not a string."),
        ("description", "\ud800", "description: holds half of a surrogate pair"),
        ("password", "a\udfffb", "password: holds half of a surrogate pair"),
        ("own_role", "yes", "own_role: neither true nor false."),
        ("own_role", 1, "own_role: neither true nor false."),
        ("pasword", "hunter2", "There is no such field here. The fields are name, description, registry_url,"),
        ("form_nonce", "x", "There is no such field here."),
        ("a\u202eb", "x", "There is no such field here."),
    ],
)
async def test_a_field_of_another_type_is_named(client: httpx2.AsyncClient, field: str, value: object, sentence: str) -> None:
    answer = await client.post(CREDENTIALS, content=json.dumps({**GOOD, field: value}))
    assert answer.status_code == 422
    ((name, said),) = answer.json()["errors"].items()
    assert name == field.replace("\u202e", "?")
    assert said.startswith(sentence)
    assert "hunter2" not in answer.text


async def test_null_is_a_field_that_is_left_out(client: httpx2.AsyncClient) -> None:
    assert (await client.post(CREDENTIALS, json={**GOOD, "description": None, "own_role": None})).status_code == 201
    answer = await client.post(CREDENTIALS, json={**GOOD, "name": None})
    assert answer.json()["errors"] == {"name": "Enter a name."}


@pytest.mark.parametrize("size", [MOST_PART + 1, MOST_BODY + 1])
async def test_what_is_too_long_is_not_read(client: httpx2.AsyncClient, size: int) -> None:
    answer = await client.post(CREDENTIALS, json={**GOOD, "description": "x" * size})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (413, "too-large")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_without_a_declared_length_is_cut_off_too(client: httpx2.AsyncClient, method: str) -> None:
    async def endless() -> object:
        while True:
            yield b"x" * 65536

    path = CREDENTIALS if method == "POST" else f"{CREDENTIALS}/x"
    answer = await client.request(method, path, content=endless())  # type: ignore[arg-type]  # it takes what it iterates over
    assert answer.status_code == 413


@pytest.mark.parametrize("key", ["x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post(CREDENTIALS, json=GOOD, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][""].startswith("Idempotency-Key: at most 255 printable ASCII characters")
