"""The log: one line a record on standard error, without secrets even where another part forgot itself.

Where several processes serve, each line names its own; see `name_process`.

Only the program's own loggers follow the chosen level. Everybody else's stay at WARNING, because at DEBUG
the libraries print what is in statements and bodies (`databases` and `aiosqlite` print bound values).
"""

import asyncio
import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType

OURS = "webapp"

_LONGEST_PATH = 200
_MOST_AT_ONCE = 4096
"""Bytes that a pipe takes in one piece, also when several processes write to it (PIPE_BUF, pipe(7))."""

_process = ""  # `[PID]` where several processes write to one log

_TALKATIVE = (
    "aiosqlite",
    "asyncpg",
    "asyncio",
    "boto3",
    "botocore",
    "databases",
    "google",
    "httpcore2",
    "httpx",
    "httpx2",
    "multipart",
    "python_multipart",
    "sqlalchemy",
    "urllib3",
    "uvicorn",
)

_WITHHELD = "[withheld]"

_SECRET_NAME = r"[A-Za-z_.-]*(?:token|password|passwd|passphrase|secret|private_key|session|_auth|service_account_key)"  # noqa: S105  a pattern

_REDACTIONS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), _WITHHELD),
    # A header: `Authorization: Basic …`, or in the repr of a mapping or of a pair.
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*)(b?(['\"])(?:\\.|(?!\4).)*\4|[^\r\n]*)"),
        rf"\1\2{_WITHHELD}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {_WITHHELD}"),
    # All kinds of token; the accessor, which may be logged, stays.
    (re.compile(r"(?:\b|(?<=%[0-9A-Fa-f]{2}))rc_([a-z])_([0-9A-Za-z]{16}_)?[0-9A-Za-z_%-]+"), rf"rc_\1_\2{_WITHHELD}"),
    (re.compile(rf"(?i)\b({_SECRET_NAME})=(?!=)[^&;\s'\"]+"), rf"\1={_WITHHELD}"),
    (re.compile(rf"(?i)(['\"]{_SECRET_NAME}['\"]\s*[:,]\s*)b?(['\"])(?:\\.|(?!\2).)*\2"), rf"\1{_WITHHELD}"),
    (re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:'\"]*:)[^\s/@'\"]+@"), rf"\1{_WITHHELD}@"),
)


def set_up_logging(level: str) -> None:
    """Log to standard error from `level` (a name such as `info`) on; uncaught exceptions go the same way."""
    handler = _StandardError()
    handler.setFormatter(_OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda caught: _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def name_process() -> None:
    """Have every line of this process name it, behind the logger: `INFO webapp.request[4711]: …`."""
    global _process  # noqa: PLW0603  a property of the process
    _process = f"[{os.getpid()}]"


def redact(text: str) -> str:
    """The text without anything that has the shape of a token, a password or a private key.

    The last line of defence: nothing that is logged should hold any.
    """
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


class _RequestLines:
    """The log's line for each request: one write for all that were served in one turn of the event loop.

    Such a line is written at every hand-over, so that it does not take the long way through `logging`; it has the same form.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._second, self._shown = -1, ""

    def add(self, method: str, path: str, status: int, seconds: float, request_id: str) -> None:
        """Write a line, soon."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._shown = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        if not path.isascii() or not path.isprintable() or len(path) > _LONGEST_PATH:
            path = _on_one_line(path[:_LONGEST_PATH])
        if "_" in path or "%" in path or "=" in path:  # none of our addresses holds anything of the kind: somebody's slip may
            path = redact(path)
        self._lines.append(
            f"{self._shown}.{int((now - second) * 1000):03}Z INFO webapp.request{_process}:"
            f" {method} {path} {status} {seconds * 1000:.1f} ms {request_id}\n"
        )
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        with contextlib.suppress(OSError, ValueError):  # whoever reads the log has gone
            for text in _pieces(lines) if _process else ("".join(lines),):
                sys.stderr.write(text)
                sys.stderr.flush()


def _pieces(lines: list[str]) -> Iterator[str]:
    """The lines, joined to as long pieces as are written whole; no line is cut in two by another process."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > _MOST_AT_ONCE:
            yield piece
            piece = ""
        piece += line
    yield piece


_requests = _RequestLines()
_request_logger = logging.getLogger("webapp.request")


def log_request(method: str, path: str, status: int, seconds: float, request_id: str) -> None:
    """Log one request, without its query: the set-up link's token is in one."""
    if _request_logger.isEnabledFor(logging.INFO):
        _requests.add(method, path, status, seconds, request_id)


class _OneLine(logging.Formatter):
    """`TIME LEVEL LOGGER: MESSAGE`, redacted. A traceback follows in lines of its own, indented, so that no text forges a record."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        lines = [
            f"{moment}.{int(record.msecs):03}Z {record.levelname} {record.name}{_process}: {_on_one_line(redact(record.getMessage()))}"
        ]
        if record.exc_info:
            lines += redact(self.formatException(record.exc_info)).splitlines()
        if record.stack_info:
            lines += redact(record.stack_info).splitlines()
        return "\n    ".join(_on_one_line(line) for line in lines)


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to standard error; what cannot be formatted is named, and not quoted as the standard library would."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind = sys.exc_info()[0]
        if kind is not None and not issubclass(kind, OSError):
            with contextlib.suppress(OSError, ValueError):  # it is closed: whoever logs is not to suffer from that
                self.stream.write(f"a record of the logger {record.name} could not be written ({kind.__name__})\n")


def _on_one_line(text: str) -> str:
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode("ascii") for character in text)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        return
    logging.getLogger(OURS).critical("the program ends with an error that nobody foresaw", exc_info=(kind, error, traceback))
