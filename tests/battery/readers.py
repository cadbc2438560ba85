"""Agents that ask for their hand-over again and again, each on a connection that it keeps; how long each answer took."""

import asyncio
import random
import re
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress

_LENGTH = re.compile(rb"content-length: (\d+)")


class Readers:
    """So many agents; `expected` is what has to be in every answer. What takes how long (seconds) goes `into` a list, if there is one."""

    def __init__(self, tokens: Sequence[str], expected: bytes, pause: float) -> None:
        self._tokens, self._expected, self._pause = tokens, expected, pause
        self._chance = random.Random(1)  # noqa: S311  a fair choice
        self._tasks: list[asyncio.Task[None]] = []
        self.into: array[float] | None = None
        self.reads = 0
        self.failed: list[str] = []

    def start(self, url: str) -> None:
        """All of them ask the server at this address, until they are stopped or it dies."""
        self._tasks = [asyncio.create_task(self._ask(url, token)) for token in self._tokens]

    @property
    def asking(self) -> int:
        """How many still ask: one whose connection has ended does not."""
        return sum(not task.done() for task in self._tasks)

    async def stop(self) -> None:
        """No more of it. What is under way when a server is killed is neither read nor failed."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self.failed.append(f"a reader broke: {type(result).__name__}")
        self._tasks = []

    async def _ask(self, url: str, token: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        request = f"GET /api/v1/provision HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        await asyncio.sleep(self._pause * self._chance.random())  # not all at once
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                while True:
                    into, began = self.into, time.perf_counter()
                    writer.write(request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = _LENGTH.search(head)
                    body = await reader.readexactly(int(length[1]) if length else 0)
                    if into is not None and into is self.into:  # it began and ended in the same phase
                        into.append(time.perf_counter() - began)
                    self._note(head, body)
                    await asyncio.sleep(self._pause * (0.5 + self._chance.random()))
            finally:
                writer.close()

    def _note(self, head: bytes, body: bytes) -> None:
        self.reads += 1
        if not head.startswith(b"HTTP/1.1 200 ") or self._expected not in body:
            self.failed.append(f"a read was answered with {head[9:12].decode()}")


def percentile(took: Sequence[float], share: float) -> float:
    """The value below which that share of them is; 0 of none."""
    return sorted(took)[min(len(took) - 1, int(len(took) * share))] if took else 0.0
