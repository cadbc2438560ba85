"""An agent's connection to one server, on which it asks for its hand-over again and again."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass
class Line:
    """A connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str

    async def ask(self, token: str) -> tuple[int, dict[str, Any]]:
        """Ask for the hand-over of whoever has this token; the status and the document. Raises OSError, IncompleteReadError."""
        self.writer.write(f"GET /api/v1/provision HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        assert length is not None, head
        return int(head[9:12]), json.loads(await self.reader.readexactly(int(length[1])))


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """Connect to the server at this address."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Line(reader, writer, host)
    finally:
        writer.close()
