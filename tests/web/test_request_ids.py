"""One id for a request: in the answer's header, on the error page or in the problem document, and in the log."""

import asyncio
import contextlib
import io
import logging
import re
from ipaddress import ip_network
from typing import NoReturn

import httpx2
import pytest

from tests.personas import House
from tests.stories import bearer, enrolled
from webapp.database import Database
from webapp.errors import Unavailable
from webapp.web.answers import request_id_of
from webapp.web.forms import MOST_BODY

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what an answer looks like

HTMX = {"HX-Request": "true"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def shown(answer: httpx2.Response) -> str | None:
    """The id that a person or a program is shown."""
    if answer.headers["content-type"] == "application/problem+json":
        return str(answer.json()["request_id"])
    found = re.search(r"data-error>[^<]+ <span class=\"request-id\">Request <code>([^<]+)</code>", answer.text)
    return found[1] if found else None


PAGES = [
    ("GET", "/nowhere", 404),
    ("GET", "/static/nowhere.css", 404),
    ("DELETE", "/images", 405),
    ("GET", "/images/0123", 404),
    ("POST", "/images", 413),
    ("GET", "/agents", 500),
    ("GET", "/audit", 503),
]
PROGRAMS = [
    ("GET", "/api/v1/nowhere", 404),
    ("PUT", "/api/v1/provision", 405),
    ("POST", "/api/v1/enroll", 401),
    ("GET", "/api/v1/provision", 401),
    ("GET", "/api/v1/provision?check=2", 422),
    ("POST", "/api/v1/provision/result", 413),
]


CODES = {401: "unauthorized", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 422: "invalid"}
"""The same for the same, whether there is no such route or no such record."""


async def ask(client: httpx2.AsyncClient, method: str, path: str, status: int, headers: dict[str, str]) -> httpx2.Response:
    if status == 413:
        return await client.request(method, path, content=b"x" * (MOST_BODY + 1), headers=headers | FORM)
    return await client.request(method, path, headers=headers)


def broken(*arguments: object, **named: object) -> NoReturn:
    raise Unavailable("The store cannot be read just now.")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
@pytest.mark.parametrize(("method", "path", "status"), PAGES)
async def test_a_person_sees_the_id_that_the_answer_has(
    house: House,
    alice: httpx2.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    status: int,
    headers: dict[str, str],
) -> None:
    if status == 500:
        del house.app.state.agents
    if status == 503:
        monkeypatch.setattr(type(house.store.audit), "page", broken)
    answer = await ask(alice, method, path, status, headers)
    assert (answer.status_code, shown(answer)) == (status, answer.headers["x-request-id"])


@pytest.mark.parametrize(("method", "path", "status"), PROGRAMS)
async def test_a_program_is_told_the_id_that_the_answer_has(stranger: httpx2.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await ask(stranger, method, path, status, {})
    assert (answer.status_code, shown(answer)) == (status, answer.headers["x-request-id"])
    assert answer.json()["type"].rpartition("/")[2] == CODES[status]


async def test_a_program_is_told_it_when_there_are_too_many_and_when_nothing_works(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await enrolled(house, alice)
    for _ in range(21):
        answer = await stranger.get("/api/v1/provision")
    assert (answer.status_code, shown(answer)) == (429, answer.headers["x-request-id"])
    monkeypatch.setattr(Database, "submit", broken)
    answer = await stranger.get("/api/v1/provision", headers=bearer(token))
    assert (answer.status_code, shown(answer)) == (503, answer.headers["x-request-id"])


async def test_htmx_is_led_to_the_sign_in_with_an_id(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/images", headers=HTMX)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["x-request-id"]


@pytest.fixture
def house_environ() -> dict[str, str]:
    return {"WEBAPP_TRUSTED_PROXIES": "192.0.2.0/24"}


GOOD = ["0123456789abcdef", "Req-1.2_3-abc", "x" * 64]
BAD = ["short", "x" * 65, "with blank in it", "<script>alert(1)</script>", "rc_a_0123456789", "späte-anfrage"]


@pytest.mark.parametrize("said", [*GOOD, *BAD])
async def test_a_trusted_proxy_may_say_the_id_and_it_has_to_be_one(stranger: httpx2.AsyncClient, said: str) -> None:
    answer = await stranger.get("/nowhere", headers={b"X-Request-ID": said.encode("utf-8")})
    used = answer.headers["x-request-id"]
    assert (used == said) == (said in GOOD)
    assert shown(answer) == used


@pytest.mark.parametrize(
    ("peer", "said", "trusted", "taken"),
    [
        ("192.0.2.7", [b"0123456789-from-a-proxy"], True, True),
        ("198.51.100.1", [b"0123456789-from-a-proxy"], True, False),
        (None, [b"0123456789-from-a-proxy"], True, False),
        ("192.0.2.7", [b"0123456789-from-a-proxy"], False, False),
        ("192.0.2.7", [b"0123456789-from-a-proxy", b"another-one-of-a-client"], True, False),
        ("192.0.2.7", [], True, False),
    ],
    ids=["trusted", "another", "a socket", "nobody trusted", "two", "none"],
)
def test_nobody_but_a_trusted_proxy_says_it(peer: str | None, said: list[bytes], trusted: bool, taken: bool) -> None:
    scope = {"client": (peer, 1) if peer else None, "headers": [(b"x-request-id", value) for value in said]}
    found = request_id_of(scope, (ip_network("192.0.2.0/24"),) if trusted else ())
    assert (found == "0123456789-from-a-proxy") == taken
    assert taken or re.fullmatch("[0-9a-f]{16}", found)


async def test_the_log_and_the_audit_log_have_the_same_id_and_who_asked(
    house: House, alice: httpx2.AsyncClient, stranger: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webapp.request")
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        added = await alice.post("/secrets", data={"name": "DEPLOY_KEY", "value": "hunter2"})
        refused = await stranger.get("/api/v1/provision")
        await alice.get("/livez?token=hunter2")
        await asyncio.sleep(0)  # they are written together
    lines = written.getvalue().splitlines()
    (audited,) = [row for row in await house.audit() if row["request_id"] == added.headers["x-request-id"]]
    accessor = alice.cookies["session"].split("_")[2]
    assert "method=POST path=/secrets status=303 ms=" in lines[0]
    assert lines[0].endswith(f" request_id={audited['request_id']} address=192.0.2.7 actor=member accessor={accessor}")
    assert lines[1].endswith(f" request_id={refused.headers['x-request-id']} address=192.0.2.7"), "nobody is known"
    assert "hunter2" not in written.getvalue()
