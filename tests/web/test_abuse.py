"""What is known to have brought servers like this one down, on a real socket: the answer, and that it costs little.

Work is counted as time of this thread on the processor. A case that takes the square or more of its length would need minutes; all of
these need hundredths of a second, most of them for the page of the answer.
"""

import time
from collections.abc import AsyncIterator
from importlib.metadata import version

import httpx2
import pytest

from tests.abusive import ALIVE, END, FORMS, FRAMING, HEADS, JSON, MULTIPART, SMUGGLED, post
from tests.personas import House
from tests.stories import bootstrap_token
from tests.wire import Client, Wire, on_the_wire, until

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what is on the wire

WORK = 0.5
"""Seconds of this thread's: client and server are one here."""


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Wire]:
    async with on_the_wire(house.app) as served:
        yield served


async def answered(wire: Wire, data: bytes) -> bytes:
    """What is answered, in little time; and after it the server is as well as ever."""
    client = await wire.connect()
    before = time.thread_time()
    client.send(data)
    answer = await client.answer()
    took = time.thread_time() - before
    assert took < WORK, f"{took:.2f} s"
    client.writer.transport.abort()
    await is_well(wire)
    return answer


async def is_well(wire: Wire) -> None:
    """Another client is answered."""
    client = await wire.connect(ALIVE)
    assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
    client.writer.transport.abort()


def test_the_parsers_are_those_in_which_it_is_mended() -> None:
    """CVE-2026-53537 and later ones; CVE-2026-48710."""
    for name, mended in (("python-multipart", (0, 0, 31)), ("starlette", (1, 0, 1))):
        assert tuple(int(part) for part in version(name).split(".")[:3]) >= mended


@pytest.mark.parametrize("case", FORMS)
async def test_a_form_that_is_made_to_cost_much_costs_little(wire: Wire, case: str) -> None:
    content_type, body, status = FORMS[case]
    answer = await answered(wire, post(body, content_type))
    assert int(answer[9:12]) == status, answer[:200]
    assert b"<h1" in answer, "the page is for people"


async def test_an_extended_name_is_not_the_name(wire: Wire) -> None:
    """CVE-2026-53537: what stands in front of this server would read another one."""
    extended = b"--b\r\nContent-Disposition: form-data; name=\"other\"; name*=utf-8''email\r\n\r\nsmuggled\r\n"
    assert b"smuggled" not in await answered(wire, post(extended + END, MULTIPART))
    plain = extended.replace(b"other", b"email").replace(b"''email", b"''other")
    assert b"smuggled" in await answered(wire, post(plain + END, MULTIPART)), "what was typed stays in the form"


@pytest.mark.parametrize("case", JSON)
async def test_a_document_that_is_made_to_cost_much_costs_little(wire: Wire, alice: httpx2.AsyncClient, case: str) -> None:
    token = await bootstrap_token(alice)
    answer = await answered(wire, post(JSON[case], b"application/json", b"/api/v1/enroll", b"Authorization: Bearer " + token.encode()))
    assert int(answer[9:12]) == 422, answer[:200]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("path", [b"/login", b"/setup", b"/images", b"/api/v1/enroll", b"/nowhere", b"/static/app.css"])
async def test_ten_mebibytes_are_refused_unread_when_they_are_declared(wire: Wire, path: bytes) -> None:
    client = await wire.connect(post(b"", b"text/plain", path).replace(b"Content-Length: 0", b"Content-Length: 10485760"))
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"256 KiB" in answer
    assert wire.connections.held == 0


@pytest.mark.parametrize("path", [b"/login", b"/setup", b"/api/v1/enroll"])
async def test_ten_mebibytes_in_chunks_are_cut_at_the_limit(wire: Wire, alice: httpx2.AsyncClient, path: bytes) -> None:
    token = (await bootstrap_token(alice)).encode()
    head = post(b"", b"application/x-www-form-urlencoded", path, b"Authorization: Bearer " + token)
    client = await wire.connect(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    for _ in range(320):
        client.send(chunk)
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"256 KiB" in answer
    assert wire.connections.held == 0
    client.send(b"0\r\n\r\n")
    await is_well(wire)


@pytest.mark.parametrize("case", HEADS)
async def test_a_head_that_is_made_to_cost_much_costs_little(wire: Wire, case: str) -> None:
    data, status = HEADS[case]
    answer = await answered(wire, data)
    if status is None:
        assert int(answer[9:12]) in {200, 400, 416}, "it is one range, or none"
        assert len(answer) < 200_000
    else:
        assert int(answer[9:12]) == status, answer[:200]


@pytest.mark.parametrize("case", SMUGGLED)
async def test_what_two_servers_might_read_differently_is_refused_and_nothing_behind_it_is_read(wire: Wire, case: str) -> None:
    """RFC 9112, sections 2.2, 5.1, 5.2, 6.1, 6.3, 7.1 and 11.2."""
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    client = await wire.connect(head + SMUGGLED[case] + ALIVE)
    everything = await client.rest()
    assert everything.startswith(b"HTTP/1.1 400 "), everything[:200]
    assert everything.count(b"HTTP/1.1 ") == 1
    await is_well(wire)


async def test_an_encoding_of_http_1_0_is_the_end_of_its_connection(wire: Wire) -> None:
    client = await wire.connect(
        post(b"", b"text/plain").replace(b"1.1", b"1.0").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    )
    client.send(b"0\r\n\r\n" + ALIVE)
    assert (await client.rest()).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("case", FRAMING)
async def test_chunk_extensions_and_trailers_have_a_limit(wire: Wire, case: str) -> None:
    head = post(b"", b"application/x-www-form-urlencoded").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    client = await wire.connect(head)
    client.send(FRAMING[case])
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"too large" in answer


async def test_a_body_of_chunks_of_one_byte_is_read(wire: Wire) -> None:
    head = post(b"", b"application/x-www-form-urlencoded").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = b"".join(b"1\r\n%c\r\n" % letter for letter in b"email=" + b"x" * 30_000)
    assert (await answered(wire, head + body + b"0\r\nX-Trailer: a\r\n\r\n")).startswith(b"HTTP/1.1 422 ")


async def test_requests_that_are_sent_ahead_and_left_cost_no_error(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    login = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"
    for requests in (2, 20, 90):
        client = await wire.connect(login * requests)
        client.writer.transport.abort()
    await until(lambda: not wire.connections.tasks and not wire.connections.connections)
    client = await wire.connect(login * 90)
    for _ in range(90):
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_what_comes_behind_a_request_that_closes_is_not_done(wire: Wire) -> None:
    client: Client = await wire.connect(ALIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + ALIVE)
    assert (await client.rest()).count(b"HTTP/1.1 ") == 1
