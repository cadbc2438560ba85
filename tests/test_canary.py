"""A forced traceback tells nobody the secret that was in hand when it came: not the page, not the log at DEBUG."""

import base64
import contextlib
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

import httpx2
import pytest

from tests.personas import House
from tests.real.canary import CANARY, forms_of, found_in
from tests.real.service_account import service_account_key
from tests.stories import add_image, bearer, enrolled, provision, store_credential
from webapp.credentials.repository import CredentialRepository
from webapp.database import Database
from webapp.log import set_up_logging
from webapp.log.requests import REQUESTS
from webapp.provisioning import routes as provisioning_routes
from webapp.vault import Vault

pytestmark = pytest.mark.anyio

WHAT_IT_SAYS = "forced by the test"

FIELDS = {
    "name": "private",
    "registry_url": "registry.example",
    "auth_method": "password",
    "username": "acme-bot",
    "password": CANARY,
}


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The program's own log at DEBUG, as `serve` sets it up; and all as it was before."""
    root, ours = logging.getLogger(), logging.getLogger("webapp")
    before = (root.handlers[:], root.level, ours.level, sys.excepthook, threading.excepthook)
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        set_up_logging("debug", request.param)
    yield written
    logging.captureWarnings(capture=False)
    root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[3], before[4]
    root.setLevel(before[1])
    REQUESTS.layout = "text"
    ours.setLevel(before[2])


def fail(*arguments: object, **named: object) -> NoReturn:
    """Fail with all that was handed over in the error, as a careless message would have it."""
    raise RuntimeError(WHAT_IT_SAYS, *arguments, *named.values())


async def fail_later(*arguments: object, **named: object) -> NoReturn:
    """The same where a coroutine is called."""
    fail(*arguments, **named)


def carries_none(answer: httpx2.Response, log: io.StringIO, secret: str = CANARY) -> None:
    """The request failed with a traceback in the log, and neither has the secret."""
    assert answer.status_code == 500
    assert WHAT_IT_SAYS not in answer.text
    logged = log.getvalue()
    assert "Traceback" in logged
    assert WHAT_IT_SAYS in logged
    everything = answer.content + repr(answer.headers).encode() + logged.encode()
    assert found_in(everything, secret) == []
    assert found_in(everything + b" " + forms_of(secret)[0], secret), "the search would have found it"


def empty(log: io.StringIO) -> None:
    """Forget what was logged: the next failure's lines are its own."""
    log.seek(0)
    log.truncate()


@pytest.mark.parametrize("form", range(len(forms_of(CANARY))))
def test_the_search_finds_one_that_is_planted(form: int) -> None:
    assert found_in(b"before " + forms_of(CANARY)[form] + b" after")


@pytest.mark.parametrize("before", ["", "a", "ab", "acme-bot:"])
def test_the_search_finds_one_that_is_a_part_of_what_was_encoded(before: str) -> None:
    encoded = base64.b64encode(f"{before}{CANARY} and more".encode())
    assert found_in(b'{"auth": "' + encoded + b'"}')
    assert found_in(encoded.replace(b"+", b"-").replace(b"/", b"_"))


def test_the_search_finds_no_other_secret() -> None:
    assert not found_in(b"".join(forms_of(CANARY[::-1])))


async def test_a_create_that_fails_tells_no_password(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    places: list[tuple[type, str]] = [(Vault, "seal"), (CredentialRepository, "add"), (Database, "account")]
    for where, name in places:
        for htmx in ({}, {"HX-Request": "true"}):
            empty(log)
            with monkeypatch.context() as patch:
                patch.setattr(where, name, fail_later if name == "add" else fail)
                answer = await alice.post("/registry-credentials", data=FIELDS, headers=htmx)
            carries_none(answer, log)


@pytest.mark.parametrize("uploaded", [True, False], ids=["uploaded", "pasted"])
async def test_a_create_that_fails_tells_nothing_of_a_key_file(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO, uploaded: bool
) -> None:
    monkeypatch.setattr(Vault, "seal", fail)
    key = service_account_key()
    fields = FIELDS | {"auth_method": "gcp_service_account_key", "password": ""}
    files = {"service_account_key_file": ("key.json", key)} if uploaded else None
    answer = await alice.post(
        "/registry-credentials", data=fields | ({} if uploaded else {"service_account_key": key.decode()}), files=files
    )
    private_key = json.loads(key)["private_key"]
    for line in private_key.splitlines()[1:-1]:
        carries_none(answer, log, line)


async def test_a_replacement_that_fails_tells_neither_value(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    credential_id = await store_credential(alice, **FIELDS)
    monkeypatch.setattr(Vault, "seal", fail)
    newer = CANARY[::-1]
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=FIELDS | {"password": newer})
    for value in (CANARY, newer):
        carries_none(answer, log, value)


async def test_a_hand_over_that_fails_tells_no_password(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    image_id = await add_image(alice, await store_credential(alice, **FIELDS), docker_image_url="registry.example/acme/ubuntu")
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})
    for query in ("", "?format=docker-config"):
        handed = await provision(house, token, query)
        assert found_in(handed.content), "the agent is handed it"
        for when in ("opening", "answering"):
            empty(log)
            with monkeypatch.context() as patch:
                if when == "opening":
                    patch.setattr(Vault, "open_at", fail)
                else:  # the value is plain by then, in the variables of every frame that the traceback goes through
                    patch.setattr(provisioning_routes, "encoded", lambda document: fail(len(document)))
                answer = await provision(house, token, query)
            assert answer.headers["content-type"] == "application/problem+json", (query, when)
            assert answer.json()["type"].endswith("/internal")
            carries_none(answer, log)
            for secret in (token, alice.cookies["session"]):
                carries_none(answer, log, secret)


async def test_a_result_that_quotes_the_password_goes_into_no_log(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    _, token = await enrolled(house, alice)
    monkeypatch.setattr(Database, "account", fail)
    client = await house.client()
    result = {"provision_id": "0" * 32, "outcome": "failed", "digest": None, "error": f"unauthorized: {CANARY}"}
    carries_none(await client.post("/api/v1/provision/result", json=result, headers=bearer(token)), log)
