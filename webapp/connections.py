"""How long a connection may keep the server waiting, how many may be open, and how much memory what is half sent or unread may hold.

Nothing here costs a request anything: a connection is no more than looked at, once a second, and what it waits for is seen from the state
that it has. So times are kept to within a second.

There is no limit by address: an office, a rack behind NAT and a proxy are one address each. When there is no room, those go that wait
longest, and they are whoever holds connections without using them.
"""

import resource
import sys
from asyncio import Transport
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum, auto
from typing import Any, Protocol, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from webapp.log import get_logger

_logger = get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
"""For a TLS handshake."""

MOST_OPEN = 10_000
"""Connections of one process, where the system lets it have so many files."""

MOST_HELD = 16 * 1024 * 1024
"""Bytes of requests that are not here as a whole or not answered yet, in one process."""

MOST_UNREAD = 32 * 1024 * 1024
"""Bytes of answers that clients have not read, in one process."""

_SHARE_SHED = 16
"""When there is no room, this part of what may be open goes at once, so that not each newcomer is paid for by a look at all the others."""


def short_answer(status: bytes, text: str, *more: bytes) -> bytes:
    """An answer past the application, after which the connection is closed. `more` are lines of headers."""
    lines = (
        b"HTTP/1.1 " + status,
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(text),
        b"x-content-type-options: nosniff",
        b"cache-control: no-store",
        b"connection: close",
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + text.encode("ascii")


NO_ROOM = short_answer(b"503 Service Unavailable", "Too many connections are open. Try again in a few seconds.\n", b"retry-after: 5")
GIVEN_UP = short_answer(b"503 Service Unavailable", "Too many requests are half sent. Try again in a few seconds.\n", b"retry-after: 5")
TOO_SLOW = short_answer(b"408 Request Timeout", "The request did not come in time. Send it again.\n")


class Wait(IntEnum):
    """What a connection waits for."""

    FIRST = auto()
    """For the first byte of its first request."""
    HEAD = auto()
    """For the end of a request's head."""
    BODY = auto()
    """For the next bytes of a body, which the application wants."""
    REST = auto()
    """For the end of a body whose request was answered without it."""
    IDLE = auto()
    """For another request."""
    READER = auto()
    """For its client to read the answer."""
    CLOSING = auto()
    """For the system to close it."""
    ANSWER = auto()
    """For the application: the client has done its part."""


SECONDS: dict[Wait, float] = {
    Wait.FIRST: 10.0,
    Wait.HEAD: 10.0,
    Wait.BODY: 10.0,
    Wait.REST: 10.0,
    Wait.IDLE: 65.0,  # longer than a proxy in front waits, so that it is the proxy that lets go first
    Wait.READER: 60.0,
    Wait.CLOSING: 10.0,
    Wait.ANSWER: float("inf"),
}
"""How long a connection may wait so, without any progress."""

BODY_SECONDS = 30.0
"""For a body as a whole ..."""
BODY_RATE = 8 * 1024
"""... and a second more for so many bytes of it that have come."""

_FOR_THE_CLIENT = frozenset({Wait.FIRST, Wait.HEAD, Wait.BODY, Wait.REST, Wait.IDLE})


_UNREAD_STEP = 32 * 1024
"""Bytes that a client has to read for it to be progress."""


class Connection(Protocol):
    """What is looked at of a connection, and what is done to one that has waited too long."""

    transport: Transport
    flow: FlowControl
    cycle: Any
    """uvicorn's for the latest request, or None."""
    in_head: bool
    in_message: bool
    number: int
    """Requests that have begun."""
    received: int
    """Bytes of the body that have come."""
    drained: int
    """Times that the client has read what was kept for it."""
    holds: int
    """Bytes of its requests that are in memory."""
    seen: "Seen"

    def refuse(self, answer: bytes) -> None:
        """Close, with this answer to what is half sent."""


class Seen:
    """What the last look at a connection saw. Times are the loop's, in seconds."""

    __slots__ = ("body_took", "looked", "mark", "since")

    def __init__(self, now: float) -> None:
        self.mark: tuple[int, ...] = (Wait.FIRST, 0, 0, 0)
        self.since = self.looked = now
        self.body_took = 0.0


def wait_of(each: Connection) -> Wait:
    """What this connection waits for."""
    cycle, transport = each.cycle, each.transport
    if transport.get_write_buffer_size():
        return Wait.READER
    if transport.is_closing():
        return Wait.CLOSING
    if cycle is not None and not cycle.response_complete:
        asks_first = getattr(cycle, "waiting_for_100_continue", False)
        return Wait.ANSWER if not each.in_message or each.in_head or each.flow.read_paused or asks_first else Wait.BODY
    if each.in_head:
        return Wait.HEAD
    if each.in_message:
        return Wait.REST
    return Wait.IDLE if each.number else Wait.FIRST


def look(each: Connection, now: float) -> int:
    """End this connection when it has waited too long. Returns how many bytes of answers wait for its client to read them."""
    wait, seen, unread = wait_of(each), each.seen, 0
    mark: tuple[int, ...]
    if wait is Wait.READER:
        unread = each.transport.get_write_buffer_size()
        mark = (wait, each.number, each.drained, unread // _UNREAD_STEP)
    elif wait is Wait.BODY:
        mark = (wait, each.number, each.received, 0)
        # A new request's time begins anew; a pause in which the application did not want to read is not its client's.
        seen.body_took = (seen.body_took if seen.mark[1] == each.number else 0.0) + now - seen.looked
    else:
        mark = (wait, each.number, 0, 0)
    if mark != seen.mark:
        seen.mark, seen.since = mark, now
    seen.looked = now
    slow = wait is Wait.BODY and seen.body_took > BODY_SECONDS + each.received / BODY_RATE
    if slow or now - seen.since >= SECONDS[wait]:
        _end(each, wait, TOO_SLOW)
    return unread


def _end(each: Connection, wait: Wait, answer: bytes) -> None:
    if wait in {Wait.READER, Wait.CLOSING}:
        each.transport.abort()
    elif wait in {Wait.HEAD, Wait.BODY}:
        each.refuse(answer)
    else:
        each.transport.close()


def _waited(each: Connection, wait: Wait, now: float) -> float:
    """Seconds that it has waited so, as far as was seen; of a body, in all."""
    seen = each.seen
    if seen.mark[0] != wait or seen.mark[1] != each.number:
        return 0.0
    return seen.body_took if wait is Wait.BODY else max(0.0, now - seen.since)


class OpenConnections(ServerState):
    """The open connections of one process, in uvicorn's place for them; `most` may be open. `now` is the loop's time."""

    def __init__(self, most: int, now: float) -> None:
        super().__init__()
        self.most = most
        self.held = 0
        """Bytes of requests that are in memory."""
        self._shed = self._refused = self._given_up = 0
        self._none_to_shed = False
        self.swept = now
        """When they were looked at, in the loop's time."""

    def sweep(self, now: float) -> None:
        """Look at each connection, and end those that have waited too long; `now` is the loop's time."""
        self._none_to_shed, self.swept = False, now
        unread = sum([look(each, now) for each in self._all()])
        if unread > MOST_UNREAD:
            self._give_up_longest(unread, MOST_UNREAD, {Wait.READER}, lambda each: each.transport.get_write_buffer_size())
        if self._shed or self._refused or self._given_up:
            facts = {"closed": self._shed, "refused": self._refused, "given_up": self._given_up}
            _logger.warning("there was no room for all connections: some that waited were closed", **facts)
            self._shed = self._refused = self._given_up = 0

    def has_room_for(self, newcomer: Connection) -> bool:
        """Whether this one, which is open already, may stay.

        Those that wait longest make room for it, and before all others those from which no whole request has ever come.
        """
        if len(self.connections) <= self.most:
            return True
        if not self._none_to_shed:
            waiting = [
                (each.number > 1 or (each.number == 1 and not each.in_message), -_waited(each, wait, self.swept), index, each)
                for index, each in enumerate(self._all())
                if each is not newcomer and (wait := wait_of(each)) in _FOR_THE_CLIENT
            ]
            waiting.sort()
            for *_, each in waiting[: max(1, self.most // _SHARE_SHED)]:
                each.transport.close()
                self.connections.discard(each)  # it counts no more, though the system closes it a little later
                self._shed += 1
            self._none_to_shed = not waiting
            if waiting:
                return True
        self._refused += 1
        return False

    def hold(self, size: int) -> None:
        """So many bytes more are held; when that is too much, the half-sent requests that have waited longest go."""
        self.held += size
        if self.held > MOST_HELD:
            self._give_up_longest(self.held, MOST_HELD, {Wait.HEAD, Wait.BODY}, lambda each: each.holds)

    def _give_up_longest(self, total: int, most: int, waits: set[Wait], size: Callable[[Connection], int]) -> None:
        """End those that wait so, the longest first, until a quarter of what may be held is free."""
        found = []
        for index, each in enumerate(self._all()):
            if (wait := wait_of(each)) in waits and size(each):
                found.append((-_waited(each, wait, self.swept), index, wait, each))
        for _, _, wait, each in sorted(found):
            if total <= most * 3 // 4:
                return
            total -= size(each)
            self._given_up += 1
            _end(each, wait, GIVEN_UP)

    def _all(self) -> list[Connection]:
        return cast("list[Connection]", list(self.connections))


def room_for_connections() -> int:
    """How many connections this process may have open: as many files as the system lets it, but for a fifth, and at most MOST_OPEN.

    The system's soft limit is raised to the hard one for that, as far as it is needed.
    """
    wanted = MOST_OPEN * 5 // 4
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):  # macOS has a limit that it does not say
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    return max(1, min(MOST_OPEN, files * 4 // 5))
