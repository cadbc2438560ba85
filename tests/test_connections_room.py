"""What goes when too many connections are open, or too much is half sent or unread. The application and the sockets are real."""

import asyncio
import resource
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.personas import House
from tests.wire import ALIVE, HALF_HEAD, HEAD, Wire, on_the_wire, until
from webapp import connections
from webapp.connections import MOST_OPEN, room_for_connections

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what is on the wire


@pytest.fixture
async def wire(house: House) -> AsyncIterator[Wire]:
    async with on_the_wire(house.app) as served:
        yield served


async def test_when_there_is_no_room_those_go_that_wait_longest_and_strangers_first(house: House) -> None:
    async with on_the_wire(house.app, most=32) as wire:  # two go at a time
        known = await wire.connect(ALIVE)
        await known.answer()
        first, half = await wire.connect(), await wire.connect(HALF_HEAD)
        await wire.pass_by(3)
        later = [await wire.connect() for _ in range(29)]
        await wire.pass_by(1)
        newcomer = await wire.connect(ALIVE)
        assert (await newcomer.answer()).startswith(b"HTTP/1.1 200 ")
        assert (await first.rest(), await half.rest()) == (b"", b"")
        known.send(ALIVE)
        assert (await known.answer()).startswith(b"HTTP/1.1 200 ")
        assert not any(client.reader.at_eof() for client in later)


async def test_when_all_are_at_work_a_new_one_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        await Response("done")(scope, receive, send)

    async with on_the_wire(app, most=4) as wire:
        working = [await wire.connect(ALIVE) for _ in range(4)]
        await until(lambda: len(wire.connections.tasks) == 4)
        for _ in range(3):
            answer = await (await wire.connect(ALIVE)).rest()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in answer
        await wire.pass_by(2)
        assert [record.levelname for record in caplog.records if "no room" in record.message] == ["WARNING"], "one line a second at most"
        release.set()
        for client in working:
            assert (await client.answer()).endswith(b"done")
        assert (await (await wire.connect(ALIVE)).answer()).endswith(b"done")


async def test_half_sent_requests_hold_no_more_than_their_share(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_HELD", 270_000)
    heads = [await wire.connect(HALF_HEAD + b": x\r\nX-Long: " + b"x" * 40_000) for _ in range(3)]
    await until(lambda: wire.connections.held >= 60_000)
    await wire.pass_by(2)
    bodies = [await wire.connect(HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000) for _ in range(2)]
    await until(lambda: len(wire.open()) == 2)
    assert wire.connections.held <= 270_000
    assert (await heads[0].rest()).startswith(b"HTTP/1.1 503 ")
    bodies[-1].send(b"x" * 100_000)
    assert (await bodies[-1].answer()).startswith(b"HTTP/1.1 422 ")
    for client in (*heads, *bodies):
        client.writer.transport.abort()
    await until(lambda: not wire.connections.connections)
    assert wire.connections.held == 0


async def test_what_nobody_reads_holds_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_UNREAD", 8_000_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"x" * 10_000_000)(scope, receive, send)

    async with on_the_wire(app) as wire:
        first = await wire.connect(ALIVE)
        await wire.pass_by(1)
        for _ in range(3):
            await wire.connect(ALIVE)
        await until(lambda: all(each.transport.get_write_buffer_size() > 0 for each in wire.open()))
        await wire.pass_by(1)
        await until(lambda: sum(each.transport.get_write_buffer_size() for each in wire.open()) <= 8_000_000)
        assert len(await first.rest()) < 10_000_000


def test_as_many_may_be_open_as_the_system_has_files_for_but_for_a_fifth() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        room = room_for_connections()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft > 256 or hard == 256
        assert room == min(MOST_OPEN, soft * 4 // 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
