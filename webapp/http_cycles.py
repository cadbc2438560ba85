"""What answers a request, in the place of uvicorn's cycle or beside it."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Answering(Protocol):
    """What is asked of a connection by what answers its requests."""

    transport: asyncio.Transport
    scope: Any

    def default_headers(self) -> bytes:
        """What uvicorn adds to every answer."""

    def on_response_complete(self) -> None:
        """An answer has gone."""

    def fall_back(self, request: "DirectRequest") -> None:
        """Have the application answer this request."""

    def close_behind(self) -> None:
        """Close it, as soon as what the client still sends for the request that is answered is here."""


class DirectRequest:
    """A GET without a body that is answered past ASGI, with 200, or not at all: `fall_back` lets the application answer instead.

    uvicorn's protocol takes it for one of its own cycles, and looks at the same attributes.
    """

    __slots__ = ("_protocol", "body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete", "scope")

    def __init__(self, protocol: Answering) -> None:
        self._protocol = protocol
        self.scope: dict[str, Any] = protocol.scope
        self.message_event = _NOBODY_WAITS
        self.body = b""
        self.more_body = False
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer: the status line and the headers, each with its line's end, and the body."""
        self.response_complete = True
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        if self.keep_alive:
            protocol.transport.write(b"%b%b\r\n%b" % (head, protocol.default_headers(), body))
        else:  # the server is about to stop
            protocol.transport.write(b"%b%bconnection: close\r\n\r\n%b" % (head, protocol.default_headers(), body))
            protocol.transport.close()
        protocol.on_response_complete()

    def fall_back(self) -> None:
        """Let the application answer, as if the request had just come."""
        self._protocol.fall_back(self)


class _NobodyWaits:
    """In place of uvicorn's event: no coroutine waits for a message of this request."""

    def set(self) -> None:
        """Nobody is waiting."""


_NOBODY_WAITS = _NobodyWaits()
Direct = Callable[[DirectRequest], None]


class WayOut:
    """What uvicorn's cycle writes an answer to: the connection, unless it has ended, and with an end that does not cut the answer off.

    A client that still sends would be told by the system that the connection is broken, and never read the answer.
    """

    __slots__ = ("_protocol", "is_closing")

    def __init__(self, protocol: Answering) -> None:
        self._protocol = protocol
        self.is_closing = protocol.transport.is_closing

    def write(self, data: bytes) -> None:
        """Write, or nothing when the connection has ended."""
        if not self.is_closing():
            self._protocol.transport.write(data)

    def close(self) -> None:
        """Close it, as soon as what the client still sends for this request is here."""
        self._protocol.close_behind()
