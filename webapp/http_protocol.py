"""HTTP/1.1 as uvicorn speaks it with httptools, with limits on what a client may send and keep waiting, and a short way for one address.

uvicorn makes a task, an event and a dozen other things for every request, and a Starlette route as many again. The hand-over, which
every machine of a rack asks for at once, is answered without them: the lifespan's state names under `direct` the addresses whose plain
GET is handed to a function. Whatever is unusual about a request takes the usual way, and so does what the function does not answer.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from webapp.connections import NO_ROOM, OpenConnections, Seen, short_answer
from webapp.http_cycles import Direct, DirectRequest, WayOut
from webapp.log import get_logger

_logger = get_logger(__name__)

MOST_HEAD = 32 * 1024
"""Bytes of a request's head, beyond what came in the read in which it began."""

MOST_AT_ONCE = 16 * 1024
"""Bytes that the parser gets at once: what is counted is counted to within so many."""

MOST_FRAMING = 16 * 1024
"""Bytes of a body's chunk headers, their extensions and the trailers, and eight more for each byte of the body itself ..."""
FRAMING_PER_BYTE = 8
"""... which is more than a client needs that sends each byte as a chunk."""

MOST_REST = 16 * 1024 * 1024
"""Bytes of a body that are read past after its request was answered, so that a client that only sends then reads the answer."""

MOST_WAITING = 100
"""Requests that a client may send ahead of their answers."""

_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"})
"""Headers that need more of uvicorn than a short way has: a body, a question before it, another protocol, an end of the connection."""


class HttpProtocol(HttpToolsProtocol):
    """One connection. What is beyond a limit is answered with 400, 408, 431 or 503, and the connection is closed."""

    in_message = in_head = _closes = False
    number = received = drained = holds = _head = _wire = 0
    seen: Seen
    _running: RequestResponseCycle | None = None
    _seen: list[tuple[bytes, bytes]] | None = None
    _joined = b""

    def __init__(
        self, config: Config, server_state: OpenConnections, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._direct: Mapping[bytes, Direct] = app_state.get("direct", {})
        self._open = server_state
        super().__init__(config, server_state, {name: value for name, value in app_state.items() if name != "direct"}, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """It is open; it may be one too many."""
        super().connection_made(transport)
        self._out: Any = WayOut(self)
        self.seen = Seen(self._open.swept)
        if not self._open.has_room_for(self):
            transport.write(NO_ROOM)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, and with it what waited."""
        super().connection_lost(exc)
        self._end_running()
        self._release()
        self.pipeline.clear()
        if self._running is None or self._running.response_complete:
            # It and its last request have each other, and the collector comes too seldom for what bodies hold.
            self.cycle = self._running = None  # type: ignore[assignment]  # as it was at first

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if len(data) > MOST_AT_ONCE:
            for start in range(0, len(data), MOST_AT_ONCE):
                if self.transport.is_closing():
                    return
                self.data_received(data[start : start + MOST_AT_ONCE])
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if it had not asked, and was the last
        except httptools.HttpParserError:
            self.refuse(short_answer(b"400 Bad Request", "Invalid HTTP request received."))
            return
        if self.in_message and not self.transport.is_closing():
            self._count(len(data))

    def _count(self, size: int) -> None:
        """So much has come, and the request has not ended with it."""
        if not self.in_head:
            self._wire += size
            if self._wire - self.received > MOST_FRAMING + FRAMING_PER_BYTE * self.received:
                self.refuse(short_answer(b"400 Bad Request", "The chunk headers and trailers of the body are too large."))
            return
        # What came together with the end of the request before is not of this one: it is not counted, and it is one read at most.
        self._head = 0 if self._head < 0 else self._head + size
        if self._head > MOST_HEAD:
            self.refuse(short_answer(b"431 Request Header Fields Too Large", "The head of the request is too large."))
        elif self._head:
            self._hold(size)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.in_message = self.in_head = True
        self._head = -1
        self.number += 1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers behind a body are none, whatever they say."""
        if self.in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head has come. Raises ValueError when it is not to be answered: the parser ends the connection then, with 400."""
        if self._closes:
            raise ValueError("something comes behind the last request")
        if len(self.pipeline) >= MOST_WAITING:
            raise ValueError("too many requests were sent ahead")
        direct = self._direct.get(self.url)
        if direct is None or not self._is_plain():
            if self.transport.is_closing():
                raise ValueError("something comes behind the end")
            self.received = self._wire = 0
            super().on_headers_complete()
            self.in_head = False
            if self.parser.should_upgrade():
                self.cycle.keep_alive = False  # what follows might be meant for another protocol
            return
        self.in_head = False
        self.scope |= {"method": "GET", "path": self.url.decode("ascii"), "raw_path": self.url, "query_string": b""}
        request = DirectRequest(self)
        self.cycle = request  # type: ignore[assignment]  # it has what the protocol asks of a cycle
        direct(request)

    def on_body(self, body: bytes) -> None:
        """A part of a body: kept, or read past when its request is answered already."""
        size, cycle = len(body), self.cycle
        self.received += size
        if cycle.response_complete:
            if self.received > MOST_REST:
                self.transport.close()
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()
        self._hold(size)

    def on_message_complete(self) -> None:
        """A request is here as a whole."""
        self.in_message = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        elif self._closes:
            self.transport.close()

    def on_response_complete(self) -> None:
        """An answer has gone; more is read when nothing waits any more."""
        self._open.total_requests += 1
        if self.holds:
            self._release()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline and not self._closes:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if self.pipeline:
                self.flow.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        self.drained += 1
        super().resume_writing()

    def close_behind(self) -> None:
        """Close, but when all of the answer has gone and the client still sends for it, only after that (RFC 9112, section 9.6)."""
        running = self._running
        if self.in_message and running is not None and running is self.cycle and running.response_complete:
            self._closes = True
        else:
            self.transport.close()

    def refuse(self, answer: bytes) -> None:
        """Close, with this answer to the request that is half sent; without one when it has its own, or another's is on its way."""
        running, in_body = self._running, self.in_message and not self.in_head
        if in_body and self.cycle.response_complete:
            answered = True
        elif running is None or running.response_complete:
            answered = self._closes
        else:
            answered = not in_body or running is not self.cycle or running.response_started
        if not answered:
            self._end_running()
            if not self.transport.is_closing():
                self.transport.write(answer)
        self.transport.close()
        _logger.info("a connection was closed", status=int(answer[9:12]))

    def _hold(self, size: int) -> None:
        self.holds += size
        self._open.hold(size)

    def _release(self) -> None:
        self._open.held -= self.holds
        self.holds = 0

    def _end_running(self) -> None:
        """Tell the request that is being answered that its client is gone."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = self._out  # it has what a cycle asks of a transport

        async def answered(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:  # the server ends, and waits no longer: no fault of the application's
                cycle.disconnected = True
                self.transport.abort()
            finally:
                if self not in self.connections:
                    self.cycle = self._running = None  # type: ignore[assignment]  # see connection_lost

        super()._start_asgi_task(cycle, answered)

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
