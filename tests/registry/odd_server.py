"""A server on 127.0.0.1 that answers as no real part of these tests does: each path with the bytes that a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from webapp.registry.dialer import Dialer
from webapp.settings import Settings


@dataclass
class OddServer:
    """`answers` maps the beginning of a request line (`GET /v2/ `) to the whole answer, the longest one first; else it is 404.

    An answer may be made from the request's head. `requests` are the heads that came.
    """

    host: str
    answers: dict[str, bytes | Callable[[str], bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    @property
    def dialer(self) -> Dialer:
        """One that may ask this server."""
        return Dialer.of(Settings.from_environ({"WEBAPP_ALLOWED_REGISTRIES": f"http://{self.host}"}))

    def answer(self, request: str, status: int, *headers: str, body: str = "") -> None:
        """Answer this beginning of a request line with a status, headers and a body (left out for HEAD)."""
        self.answers[request] = answer(status, *headers, body="" if request.startswith("HEAD") else body)


def answer(status: int, *headers: str, body: str = "") -> bytes:
    """An answer's bytes."""
    lines = [f"HTTP/1.1 {status} Odd", f"Content-Length: {len(body.encode())}", *headers, "", body]
    return "\r\n".join(lines).encode()


@contextlib.asynccontextmanager
async def odd_server() -> AsyncIterator[OddServer]:
    """Serve until the block ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            made.requests.append(head)
            found = max((start for start in made.answers if head.startswith(start)), key=len, default="")
            given = made.answers.get(found, answer(404))
            writer.write(given(head) if callable(given) else given)
            await writer.drain()

    async with listening(serve) as port:
        made = OddServer(f"127.0.0.1:{port}")
        yield made


@contextlib.asynccontextmanager
async def listening(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A port of 127.0.0.1 on which every connection is handed to `serve` and closed after it; all are closed when the block ends."""
    serving: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            serving.discard(task)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
        server.close()
        await asyncio.gather(*serving)
