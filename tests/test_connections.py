"""How long a connection may keep the server waiting, and how it ends. The application and the sockets are real."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.personas import House
from tests.real.authority import Authority
from tests.wire import ALIVE, HALF_BODY, HALF_HEAD, HEAD, Wire, on_the_wire, until
from webapp import serve
from webapp.http_protocol import HttpProtocol

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what is on the wire


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Wire]:
    async with on_the_wire(house.app) as served:
        yield served


async def test_a_silent_connection_is_closed_after_ten_seconds_without_a_word(wire: Wire) -> None:
    client = await wire.connect()
    await wire.pass_by(9)
    assert len(wire.connections.connections) == 1
    await wire.pass_by(2)
    assert await client.rest() == b""


async def test_a_head_that_comes_byte_by_byte_is_told_to_be_too_slow(wire: Wire) -> None:
    client = await wire.connect(HALF_HEAD)
    for _ in range(9):
        client.send(b"a")
        await wire.pass_by(1)
    assert len(wire.connections.connections) == 1
    await wire.pass_by(3)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer


async def test_a_second_request_has_its_own_ten_seconds_for_its_head(wire: Wire) -> None:
    client = await wire.connect(ALIVE)
    assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
    await wire.pass_by(60)
    client.send(HALF_HEAD)
    await until(lambda: wire.open()[0].in_head)
    await wire.pass_by(9)
    client.send(b": x\r\n\r\n")
    assert (await client.answer()).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_that_asks_nothing_more_is_closed_after_65_seconds(wire: Wire) -> None:
    client = await wire.connect(ALIVE)
    await client.answer()
    await wire.pass_by(60)
    client.send(ALIVE)
    await client.answer()
    await wire.pass_by(60)
    assert len(wire.connections.connections) == 1
    await wire.pass_by(7)
    assert await client.rest() == b""


async def test_a_body_that_does_not_go_on_is_too_slow_after_ten_seconds(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="webapp")
    client = await wire.connect(HALF_BODY)
    await until(lambda: wire.connections.held > 0)
    await wire.pass_by(9)
    assert len(wire.connections.connections) == 1
    await wire.pass_by(3)
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
    await until(lambda: not wire.connections.tasks)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "was given up by its client" in caplog.text


async def test_a_body_that_comes_byte_by_byte_is_too_slow_after_half_a_minute(wire: Wire) -> None:
    client = await wire.connect(HALF_BODY)
    seconds = 0
    while wire.connections.connections and seconds < 40:
        held = wire.connections.held
        client.send(b"x")
        await until(lambda before=held: wire.connections.held > before or not wire.connections.connections)  # type: ignore[misc]
        await wire.pass_by(1)
        seconds += 1
    assert 29 <= seconds <= 33
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_large_body_on_a_slow_line_has_the_time_that_it_takes(wire: Wire) -> None:
    """4.5 KiB a second: a slower one is too slow for 256 KiB."""
    size, step = 250 * 1024, 4608
    client = await wire.connect(HEAD + b"Content-Length: %d\r\n\r\nemail=" % (size + 6))
    for start in range(0, size, step):
        held, part = wire.connections.held, min(step, size - start)
        client.send(b"x" * part)
        await until(lambda before=held: wire.connections.held != before)  # type: ignore[misc]
        await wire.pass_by(1)
    assert b"The field email is longer than the limit" in await client.answer(), "it was read to its end"


async def test_time_in_which_the_application_does_not_read_is_not_the_clients(wire: Wire) -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        size = 0
        more = True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await Response(str(size))(scope, receive, send)

    async with on_the_wire(app) as slow:
        client = await slow.connect(HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)
        await until(lambda: slow.connections.held > 65_536)
        await slow.pass_by(300)
        release.set()
        client.send(b"x" * 100_000)
        assert (await client.answer()).endswith(b"200000")


async def test_a_client_that_waits_to_be_asked_for_its_body_is_not_slow(wire: Wire) -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        await receive()
        await Response("ok")(scope, receive, send)

    async with on_the_wire(app) as slow:
        client = await slow.connect(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await slow.pass_by(300)
        release.set()
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_that_takes_long_is_waited_for(wire: Wire) -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        await Response("late")(scope, receive, send)

    async with on_the_wire(app) as slow:
        client = await slow.connect(ALIVE)
        await slow.pass_by(600)
        release.set()
        assert (await client.answer()).endswith(b"late")


async def test_a_client_that_does_not_read_is_cut_off_after_a_minute_and_one_that_reads_slowly_is_not() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(endless())(scope, receive, send)

    async with on_the_wire(app) as served:
        silent, slow = await served.connect(ALIVE), await served.connect(ALIVE)
        await until(lambda: all(each.transport.get_write_buffer_size() > 0 for each in served.open()))
        for _ in range(3):
            await served.pass_by(30)
            for _ in range(64):  # until room was made in the server's own memory, behind that of the system
                await slow.reader.read(1 << 20)
                await asyncio.sleep(0)
        assert len(served.connections.connections) == 1
        assert len(await silent.rest()) > 0
        await until(lambda: len(served.connections.tasks) == 1)
        await until(lambda: served.open()[0].transport.get_write_buffer_size() > 65_536)
        await served.pass_by(61)
        await until(lambda: not served.connections.tasks)


async def test_a_refused_body_is_read_past_so_that_the_answer_is_read_and_not_for_ever(wire: Wire) -> None:
    client = await wire.connect(HEAD + b"Content-Length: 10000000\r\n\r\n")
    answer = await client.answer()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    client.send(b"x" * 10_000_000)
    assert await client.rest() == b"", "it was closed in order, behind the last byte"

    client = await wire.connect(HEAD + b"Content-Length: 10000000\r\n\r\n")
    await client.answer()
    await wire.pass_by(12)
    assert not wire.connections.connections, "ten seconds are enough"

    client = await wire.connect(HEAD + b"Content-Length: 100000000\r\n\r\n")
    await client.answer()
    client.send(b"x" * 20_000_000)
    assert await client.rest() == b"", "16 MiB are enough"


async def test_an_answer_without_the_body_leaves_the_connection_as_it_was(wire: Wire) -> None:
    client = await wire.connect(HEAD.replace(b"/login", b"/nowhere") + b"Content-Length: 1000\r\n\r\n")
    assert (await client.answer()).startswith(b"HTTP/1.1 404 ")
    client.send(b"x" * 1000 + ALIVE)
    assert (await client.answer()).startswith(b"HTTP/1.1 200 ")


async def test_a_request_that_the_server_ends_without_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        waits.set()
        await asyncio.Event().wait()

    waits = asyncio.Event()
    async with on_the_wire(app) as wire:
        client = await wire.connect(ALIVE)
        await waits.wait()
        for task in list(wire.connections.tasks):
            task.cancel("Task cancelled, timeout graceful shutdown exceeded")
        assert await client.rest() == b""
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_tls_handshake_has_a_limit_of_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch, authority: Authority, tmp_path: Path
) -> None:
    monkeypatch.setattr(serve, "HANDSHAKE_SECONDS", 0.05)
    config = uvicorn.Config(house.app, http=HttpProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    files = authority.issue(tmp_path)
    config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    config.ssl.load_cert_chain(files["certificate"], files["key"])
    listening = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as own:
        server = serve._Server(config, listening.set, most_open=10)
        running = asyncio.create_task(server.serve(sockets=[own]))
        await listening.wait()
        reader, writer = await asyncio.open_connection(*own.getsockname())
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        server.should_exit = True
        await running
