"""Answers past ASGI, for an address that every machine of a rack asks at once (`http_protocol.py` has the other half).

Only what goes well is answered here, with the headers and the log line of every answer. Anything else falls back on the application,
which begins anew and has the words for it.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from webapp.log import log_request
from webapp.settings import Settings
from webapp.web.answers import always, client_address, new_request_id, request_id_of


class Answerable(Protocol):
    """What the server hands over: a GET without a body."""

    scope: dict[str, Any]

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer: the status line and the headers, each with its line's end, and the body."""

    def fall_back(self) -> None:
        """Let the application answer."""


class Asked:
    """A request, with what every answer needs."""

    __slots__ = ("_head", "_request", "_started", "address", "request_id", "scope")

    def __init__(self, request: Answerable, head: bytes, address: str | None, request_id: str) -> None:
        self._started = time.perf_counter()
        self._request, self._head = request, head
        self.scope = request.scope
        self.address = address
        self.request_id = request_id

    @property
    def waited(self) -> float:
        """Seconds since it came."""
        return time.perf_counter() - self._started

    def answer(self, body: bytes, *, name: bytes, value: bytes, accessor: str) -> None:
        """Answer an agent, whose token has this accessor, with a JSON document and one header of its own."""
        own = b"content-length: %d\r\nx-request-id: %b\r\n%b: %b\r\n" % (len(body), self.request_id.encode(), name, value)
        self._request.answer(self._head + own, body)
        seconds = time.perf_counter() - self._started
        log_request("GET", self.scope["path"], 200, seconds, self.request_id, self.address, "agent", accessor)

    def fall_back(self, failed: Exception | None = None) -> None:
        """Let the application answer; with what has `failed`, when it must not begin anew."""
        state = self.scope["state"]
        state["request_id"], state["failed"] = self.request_id, failed
        self._request.fall_back()


def directly(answer: Callable[[Asked], None], settings: Settings) -> Callable[[Answerable], None]:
    """What the server calls for each request, out of what the slice does with it."""
    headers = [*always(settings), (b"cache-control", b"no-store"), (b"content-type", b"application/json")]
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers)
    trusted = settings.trusted_proxies
    if not trusted:
        return lambda request: answer(Asked(request, head, client_address(request.scope, ()), new_request_id()))
    return lambda request: answer(Asked(request, head, client_address(request.scope, trusted), request_id_of(request.scope, trusted)))
