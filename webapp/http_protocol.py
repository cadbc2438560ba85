"""HTTP/1.1 as uvicorn speaks it with httptools, with a limit on the head of a request, and with a short way for one address.

uvicorn makes a task, an event and a dozen other things for every request, and a Starlette route as many again. The hand-over, which
every machine of a rack asks for at once, is answered without them: the lifespan's state names under `direct` the addresses whose plain
GET is handed to a function. Whatever is unusual about a request takes the usual way, and so does what the function does not answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

MOST_HEAD = 32 * 1024
"""Bytes of a request's head, beyond what came in the read in which it began."""

MOST_WAITING = 100
"""Requests that a client may send ahead of their answers."""

_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"})
"""Headers that need more of uvicorn than a short way has: a body, a question before it, another protocol, an end of the connection."""


class DirectRequest:
    """A GET without a body that is answered past ASGI, with 200, or not at all: `fall_back` lets the application answer instead.

    uvicorn's protocol takes it for one of its own cycles, and looks at the same attributes.
    """

    __slots__ = ("_protocol", "body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete", "scope")

    def __init__(self, protocol: "HttpProtocol") -> None:
        self._protocol = protocol
        self.scope: dict[str, Any] = protocol.scope  # type: ignore[assignment]  # uvicorn's TypedDict of the same
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


class HttpProtocol(HttpToolsProtocol):
    """One connection. A head that does not end is answered with 400, and the connection is closed."""

    _in_head = False
    _head = 0
    _seen: list[tuple[bytes, bytes]] | None = None
    _joined = b""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._direct: Mapping[bytes, Direct] = app_state.get("direct", {})
        super().__init__(config, server_state, {name: value for name, value in app_state.items() if name != "direct"}, _loop)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, -1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers behind a body are none, whatever they say."""
        if self._in_head:
            super().on_header(name, value)

    def on_response_complete(self) -> None:
        """An answer has gone; more is read when nothing waits any more."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, and with it what waited."""
        super().connection_lost(exc)
        self.pipeline.clear()

    def on_headers_complete(self) -> None:
        """Its head has come. Raises ValueError when too many wait already: the parser ends the connection then, with 400."""
        self._in_head = False
        if len(self.pipeline) >= MOST_WAITING:
            raise ValueError("too many requests were sent ahead")
        direct = self._direct.get(self.url)
        if direct is None or not self._is_plain():
            super().on_headers_complete()
            return
        self.scope |= {"method": "GET", "path": self.url.decode("ascii"), "raw_path": self.url, "query_string": b""}
        request = DirectRequest(self)
        self.cycle = request  # type: ignore[assignment]  # it has what the protocol asks of a cycle
        direct(request)

    def _is_plain(self) -> bool:
        """Whether this is a request as agents send it, and nothing that came before it is still unanswered or unread."""
        return (
            (self.cycle is None or self.cycle.response_complete)  # type: ignore[redundant-expr]  # it is None at first
            and not self.flow.write_paused
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and _UNUSUAL.isdisjoint([name for name, _ in self.headers])
        )

    def fall_back(self, request: DirectRequest) -> None:
        """Have the application answer this request."""
        cycle = RequestResponseCycle(
            scope=request.scope,  # type: ignore[arg-type]  # uvicorn's TypedDict of the same
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        cycle.message_event.set()
        cycle.disconnected = request.disconnected
        current: object = self.cycle
        if current is request:  # unless another request came behind it
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def default_headers(self) -> bytes:
        """What uvicorn adds to every answer, the date; joined once a second."""
        headers = self.server_state.default_headers
        if headers is not HttpProtocol._seen:
            HttpProtocol._joined = b"".join(b"%b: %b\r\n" % header for header in headers)
            HttpProtocol._seen = headers
        return HttpProtocol._joined

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        # What came together with the end of the request before is not of this one: it is not counted, and it is one read at most.
        self._head = 0 if self._head < 0 else self._head + len(data)
        if self._head > MOST_HEAD:
            self.send_400_response("The head of the request is too large.")
