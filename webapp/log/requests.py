"""The log's line for each request: one write for all that were served in one turn of the event loop.

Such a line is written at every hand-over, so that it does not take the long way through `logging`. It goes through the same processors,
which redact it and lay it out, unless they would leave every part of it as it is: a look at its characters tells.
"""

import asyncio
import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator

from webapp.log import lines
from webapp.log.lines import RENDERERS
from webapp.log.redaction import redacted
from webapp.setting_values import LogFormat

_LONGEST_PATH = 200
_MOST_AT_ONCE = 4096
"""Bytes that a pipe takes in one piece, also when several processes write to it (PIPE_BUF, pipe(7))."""

NAME = "webapp.request"


_HARMLESS = re.compile(
    rf"[A-Z]+ [A-Za-z0-9/.-]{{1,{_LONGEST_PATH}}} [A-Za-z0-9.-]+ [0-9a-f.:]+ (?:[a-z]+(?:_[a-z]+)? [A-Za-z0-9]+| )"
).fullmatch
"""What both processors leave as it is: nothing in it has the shape of a secret, and nothing is to be quoted or escaped.

Of such parts the line is made without them, in a tenth of their time; a test holds it to be the same line.
"""


class RequestLines:
    """The lines that wait to be written."""

    def __init__(self) -> None:
        self.layout: LogFormat = "text"
        self._lines: list[str] = []
        self._second, self._shown = -1, ""

    def add(
        self, method: str, path: str, status: int, seconds: float, request_id: str, address: str | None, kind: str = "", accessor: str = ""
    ) -> None:
        """Log one request, soon, and without its query: the set-up link's token is in one.

        `kind` and `accessor` are the actor's, where one is known.
        """
        if not _logger.isEnabledFor(logging.INFO):
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._shown = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        moment = f"{self._shown}.{int((now - second) * 1000):03}Z"
        if not _HARMLESS(f"{method} {path} {request_id} {address} {kind} {accessor}"):
            line = self._processed(moment, method, path, status, seconds * 1000, request_id, address, kind, accessor)
        elif self.layout == "json":
            line = _quick_json(moment, method, path, status, seconds * 1000, request_id, address, kind, accessor)
        else:
            line = (
                f"{moment} INFO {NAME}{lines.process and f'[{lines.process}]'}: answered"
                f" method={method} path={path} status={status} ms={seconds * 1000:.1f} request_id={request_id} address={address}"
                f"{kind and f' actor={kind} accessor={accessor}'}\n"
            )
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def _processed(
        self, moment: str, method: str, path: str, status: int, ms: float, request_id: str, address: str | None, kind: str, accessor: str
    ) -> str:
        event: dict[str, object] = {"time": moment, "level": "INFO", "logger": NAME, "event": "answered", "method": method}
        event |= {"path": path[:_LONGEST_PATH], "status": status, "ms": round(ms, 1), "request_id": request_id, "address": address}
        event |= {"actor": kind, "accessor": accessor} if kind else {}
        return RENDERERS[self.layout](None, "info", redacted(None, "info", event)) + "\n"

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._lines = self._lines, []
        with contextlib.suppress(OSError, ValueError):  # whoever reads the log has gone
            for text in _pieces(waiting) if lines.process else ("".join(waiting),):
                sys.stderr.write(text)
                sys.stderr.flush()


def _pieces(waiting: list[str]) -> Iterator[str]:
    """The lines, joined to as long pieces as are written whole; no line is cut in two by another process."""
    piece = ""
    for line in waiting:
        if piece and len(piece) + len(line) > _MOST_AT_ONCE:
            yield piece
            piece = ""
        piece += line
    yield piece


def _quick_json(
    moment: str, method: str, path: str, status: int, ms: float, request_id: str, address: str | None, kind: str, accessor: str
) -> str:
    process = f'"process":{lines.process},' if lines.process else ""
    actor = f',"actor":"{kind}","accessor":"{accessor}"' if kind else ""
    return (
        f'{{"time":"{moment}","level":"INFO","logger":"{NAME}",{process}"event":"answered","method":"{method}","path":"{path}",'
        f'"status":{status},"ms":{ms:.1f},"request_id":"{request_id}","address":"{address}"{actor}}}\n'
    )


_logger = logging.getLogger(NAME)

REQUESTS = RequestLines()
log_request = REQUESTS.add
