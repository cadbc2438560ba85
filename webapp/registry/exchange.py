"""One question and its answer by HTTP/1.1 over an open connection, by h11, within bounds."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import h11

from webapp import __version__

MOST_BODY = 64 * 1024
"""Bytes; h11 holds the head to 16 KiB by itself."""

MOST_PARTS = 1000
"""Of one answer: what comes before it (1xx), and its chunks. Each costs h11 some 20 µs, in which this server does nothing else."""

_PIECE = 16 * 1024
_A_WHILE = 100
"""Parts, until others have a turn: what has come already is read without waiting."""

_OURS = {"User-Agent": f"registry-credentials/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}


class TooMuch(Exception):
    """The body is longer than `MOST_BODY`, or comes in more than `MOST_PARTS`."""


class Unreadable(Exception):
    """What came, or what was to be sent, is no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. The body and the headers are its own words: in no page, no message and no log."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The header's value, or None; several of one name are joined as RFC 9110, section 5.3, says."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Ask, and read the whole answer. Raises TooMuch, Unreadable, and OSError or EOFError where the connection broke."""
    try:
        return await _exchange(reader, writer, method, path, headers, body)
    except (h11.ProtocolError, UnicodeError):
        problem = Unreadable()
    raise problem  # outside: theirs may quote a header


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    sent = {**_OURS, **headers, **({"Content-Length": str(len(body))} if body or method == "POST" else {})}
    asked = h11.Request(method=method, target=path, headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()])
    for part in (asked, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    answer: h11.Response | None = None
    pieces, length, parts = [], 0, 0
    while True:
        event = connection.next_event()
        if isinstance(event, type):  # NEED_DATA; PAUSED comes only after the end
            connection.receive_data(await reader.read(_PIECE))
            continue
        parts += 1
        if parts > MOST_PARTS:
            raise TooMuch
        if parts % _A_WHILE == 0:
            await asyncio.sleep(0)
        if isinstance(event, h11.Response):
            answer = event
        elif isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
            length += len(event.data)
            if length > MOST_BODY:
                raise TooMuch
        elif isinstance(event, h11.EndOfMessage) and answer is not None:
            told = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in answer.headers)
            return Answer(answer.status_code, told, b"".join(pieces))
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError
