"""Several processes on one port: a parent that only supervises, and workers that serve.

The parent has no event loop, no thread and nothing open but sockets that nobody has connected to, so that a fork copies nothing that two
processes must not share. Between it and each worker is a pair of sockets. Over it the worker says that it is ready, or why it cannot start,
and the parent when to end; and when one of the two has gone, however it went, the other one sees it there.

Signals would not do for this: a terminal sends Ctrl-C, and systemd SIGTERM (systemd.kill(5)), to all processes at once, and a worker could
not tell a second signal, which means "at once", from the first one passed on.
"""

import asyncio
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from webapp.errors import AppError, ConfigurationError
from webapp.log import get_logger, name_process

DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a worker is started again that ended early once, twice, … in a row."""

EARLY_SECONDS = 10.0
"""A worker that ends sooner after its start than this ends early."""

_ENDS = (signal.SIGINT, signal.SIGTERM)
_HANDLED = (*_ENDS, signal.SIGCHLD)
_READY, _REFUSED, _DONE = b"+", b"-", b"\0"  # a worker's messages: one of the first two, the text, and _DONE
_IN_ORDER, _AT_ONCE = b".", b"!"
_MOST_READ = 64 * 1024

_logger = get_logger(__name__)


class Parent:
    """What a worker has of the process that started it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def ready(self, announcement: str) -> None:
        """Say that this worker serves. The parent announces the first one that does, with this text, and no other."""
        self._say(_READY, announcement)

    def refused(self, sentence: str) -> None:
        """Say which setting is wrong."""
        self._say(_REFUSED, sentence)

    @contextmanager
    def heard_by(self, end: Callable[[bool], None]) -> Iterator[None]:
        """While the block runs, the event loop calls `end(False)` when it is time to end or the parent has gone, `end(True)`: at once."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            said = self._line.recv(_MOST_READ)
            if not said:
                loop.remove_reader(self._line)
            end(_AT_ONCE in said)

        loop.add_reader(self._line, hear)
        try:
            yield
        finally:
            loop.remove_reader(self._line)

    def _say(self, kind: bytes, text: str) -> None:
        with suppress(OSError):  # it has gone: that is heard, too
            self._line.sendall(kind + text.encode() + _DONE)


Worker = Callable[[Parent], None]


def supervise(
    worker: Worker,
    count: int,
    *,
    listeners: Sequence[socket.socket] = (),
    announce: Callable[[str], None],
    delays: Sequence[float] = DELAYS,
    early_seconds: float = EARLY_SECONDS,
) -> None:
    """Run `worker` in so many processes until SIGINT or SIGTERM comes, and start each one again that ends before.

    The first one is started alone, so that one process makes what a new installation needs, and what is wrong is said once; the others when
    it is ready. The second signal ends the workers at once, the third kills them. `listeners` are closed at the first.

    Raises ConfigurationError with the worker's sentence when it raised that before any worker was ready.
    """
    gc.collect()
    gc.freeze()  # so that no worker's collector writes to, and copies, the pages that all of them share
    with _signals() as wake:
        _Supervisor(worker, count, listeners, announce, delays, early_seconds, wake).run()


@dataclass(slots=True)
class _Place:
    """Where a worker runs, and after it the next one. Times are of the monotonic clock, in seconds."""

    due: float | None = None
    """When the next worker starts."""
    pid: int = 0
    """The worker's, or 0."""
    started: float = 0.0
    early: int = 0
    """How many workers in a row have ended early."""
    line: socket.socket | None = None
    heard: bytes = b""


@dataclass
class _Supervisor:
    worker: Worker
    count: int
    listeners: Sequence[socket.socket]
    announce: Callable[[str], None]
    delays: Sequence[float]
    early_seconds: float
    wake: tuple[socket.socket, socket.socket]

    def __post_init__(self) -> None:
        self._places = [_Place() for _ in range(self.count)]
        self._any_ready = False
        self._asked = 0
        self._refusal: str | None = None

    def run(self) -> None:
        """Supervise until the last worker has ended."""
        self._places[0].due = time.monotonic()
        while not self._asked or any(place.pid for place in self._places):
            now = time.monotonic()
            for place in self._places:
                if place.due is not None and place.due <= now and not self._asked:
                    self._start(place)
            self._wait()
            for place in self._places:
                self._hear(place)
                self._reap(place)
        if self._refusal is not None:
            raise ConfigurationError(self._refusal)

    def _wait(self) -> None:
        """Until a signal comes, a worker says something or goes, or the next one is due."""
        dues = [place.due for place in self._places if place.due is not None and not self._asked]
        lines = [place.line for place in self._places if place.line is not None]
        select.select([self.wake[0], *lines], [], [], max(0.0, min(dues) - time.monotonic()) if dues else None)
        with suppress(BlockingIOError):
            for number in self.wake[0].recv(_MOST_READ):
                if number in _ENDS:
                    self._end()

    def _end(self) -> None:
        """Tell the workers to end: in order, at the second time at once; at the third they are killed."""
        self._asked += 1
        for listener in self.listeners:
            listener.close()  # nobody is to wait here for who will not come
        for place in self._places:
            if self._asked > 2 and place.pid:
                os.kill(place.pid, signal.SIGKILL)
            elif place.line is not None:
                with suppress(OSError):
                    place.line.send(_IN_ORDER if self._asked == 1 else _AT_ONCE)

    def _start(self, place: _Place) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()  # or both processes would write it
        place.due, place.started, place.heard = None, time.monotonic(), b""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)  # the child is not to take one for its parent
        try:
            ours, theirs = socket.socketpair()
            place.pid = os.fork()
            if place.pid == 0:
                ours.close()
                self._be_worker(theirs, before)
        except OSError as error:
            self._again(place, "a process could not be started; it is tried again", error=error.strerror)
        else:
            theirs.close()
            ours.setblocking(False)
            place.line = ours
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _be_worker(self, line: socket.socket, mask: set[int | signal.Signals]) -> NoReturn:
        """In the child: run the worker, and end without what the parent has still to do."""
        status = os.EX_SOFTWARE
        try:
            for other in (*self.wake, *(place.line for place in self._places)):
                if other is not None:
                    other.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, for all of them: the parent passes it on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            name_process()
            status = _status(self.worker, Parent(line))
        finally:
            os._exit(status)

    def _hear(self, place: _Place) -> None:
        """Read what the worker has said."""
        while place.line is not None:
            try:
                said = place.line.recv(_MOST_READ)
            except BlockingIOError:
                break
            except ConnectionResetError:  # it ended without having read that it should
                said = b""
            place.heard += said
            if not said:
                place.line.close()
                place.line = None
        if place.heard.startswith(_READY) and place.heard.endswith(_DONE):
            text, place.heard = place.heard[1:-1].decode(), b""
            _logger.info("a process serves", pid=place.pid)
            if not self._any_ready:
                self._any_ready = True
                self.announce(text)
                for other in self._places:
                    if not other.pid:
                        other.due = time.monotonic()

    def _reap(self, place: _Place) -> None:
        """Look whether the worker has ended; unless it was asked to, it is started again."""
        if not place.pid:
            return
        ended, code = os.waitpid(place.pid, os.WNOHANG)
        if not ended:
            return
        self._hear(place)
        status, pid = os.waitstatus_to_exitcode(code), place.pid
        place.pid = 0
        if self._asked:
            return
        why = place.heard[1:-1].decode() if place.heard.startswith(_REFUSED) and place.heard.endswith(_DONE) else ""
        if status == os.EX_CONFIG and why and not self._any_ready:
            self._refusal = why
            self._end()
            return
        how = {"status": status} if status >= 0 else {"signal": signal.Signals(-status).name}
        self._again(place, "a process ended; another one is started", pid=pid, **how, **({"why": why} if why else {}))

    def _again(self, place: _Place, what: str, **facts: str | int | None) -> None:
        now = time.monotonic()
        place.early = place.early + 1 if now - place.started < self.early_seconds else 0
        delay = self.delays[min(place.early, len(self.delays)) - 1] if place.early else 0.0
        _logger.warning(what, **facts, in_seconds=delay)
        place.due = now + delay


def _status(worker: Worker, parent: Parent) -> int:
    """Run the worker; returns the status that the command line would end with."""
    try:
        worker(parent)
    except ConfigurationError as error:
        parent.refused(str(error))
        return os.EX_CONFIG
    except AppError as error:
        _logger.error(str(error))
        return os.EX_TEMPFAIL
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else os.EX_SOFTWARE
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return os.EX_SOFTWARE
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
    return os.EX_OK


@contextmanager
def _signals() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The numbers of the signals that come can be read from the first socket while the block runs; nothing else happens at one."""
    wake = socket.socketpair()
    for each in wake:
        each.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _HANDLED}
    previous = signal.set_wakeup_fd(wake[1].fileno(), warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in wake:
            each.close()
