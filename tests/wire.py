"""The application on a real socket of this process, with connections whose time a test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from webapp.connections import OpenConnections
from webapp.http_protocol import HttpProtocol

ALIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
HALF_HEAD = b"GET /livez HTTP/1.1\r\nHost"
HALF_BODY = HEAD + b"Content-Length: 1000\r\n\r\nemail=x"
"""Requests that are whole, or of which a part has come."""

SECONDS = 10
"""How long anything may take by the real clock."""


@dataclass
class Client:
    """A client's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Send, without waiting."""
        self.writer.write(data)

    async def answer(self) -> bytes:
        """The next answer's head and, when it says how long it is, body."""
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            return head + (await self.reader.readexactly(int(lengths[0])) if lengths else b"")

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@dataclass
class Wire:
    """A server: its connections, and the time that they are shown."""

    connections: OpenConnections
    port: int
    now: float
    made: list[HttpProtocol]
    clients: list[Client] = field(default_factory=list)

    async def connect(self, data: bytes = b"") -> Client:
        """Connect, and send something; the server has it when this returns."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        client.send(data)
        name = client.writer.get_extra_info("sockname")
        await until(lambda: any(each.client == name and (each.number >= bool(data) or each.transport.is_closing()) for each in self.made))
        return client

    def open(self) -> list[HttpProtocol]:
        """The server's ends of those that are open."""
        return [each for each in self.made if each in self.connections.connections]

    async def pass_by(self, seconds: int) -> None:
        """Let so many seconds go by, in each of which the connections are looked at."""
        for _ in range(seconds):
            self.now += 1.0
            self.connections.sweep(self.now)
        for _ in range(20):  # what was closed is told to both ends
            await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Go on when it is so."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  it is a state of sockets, which nobody tells
            await asyncio.sleep(0)


@asynccontextmanager
async def on_the_wire(app: ASGIApp, most: int = 100) -> AsyncIterator[Wire]:
    """Serve this application on a free port of 127.0.0.1; `most` connections may be open."""
    config = uvicorn.Config(app, http=HttpProtocol, ws="none", lifespan="off", access_log=False, log_config=None, proxy_headers=False)
    config.load()
    loop, connections = asyncio.get_running_loop(), OpenConnections(most, asyncio.get_running_loop().time())
    made: list[HttpProtocol] = []

    def make() -> HttpProtocol:
        made.append(HttpProtocol(config, connections, {}, loop))
        return made[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    wire = Wire(connections, server.sockets[0].getsockname()[1], connections.swept, made)
    try:
        yield wire
    finally:
        for client in wire.clients:
            client.writer.transport.abort()
        server.close()
        await until(lambda: not connections.connections and not connections.tasks)
        assert connections.held == 0, "nothing is counted that is gone"
