"""The log: structured records, a line each, on standard error, without secrets even where another part forgot itself.

Every record goes through the same processors of structlog, whether it comes from `get_logger`, from the standard library's `logging`, from
a warning or from what ends the program: a redaction, and then the layout that WEBAPP_LOG_FORMAT chooses. Where several processes
serve, each line names its own; see `name_process`.

Only the program's own loggers follow the chosen level. Everybody else's stay at WARNING, because at DEBUG
the libraries print what is in statements and bodies (`databases` and `aiosqlite` print bound values).
"""

import contextlib
import logging
import sys
import threading
from types import TracebackType

import structlog
from structlog.processors import StackInfoRenderer, format_exc_info
from structlog.stdlib import BoundLogger, ProcessorFormatter, filter_by_level
from structlog.typing import Processor

from webapp.log.lines import RENDERERS, name_process, with_origin
from webapp.log.redaction import redact, redacted
from webapp.log.requests import REQUESTS, log_request
from webapp.setting_values import LogFormat

__all__ = ["get_logger", "log_request", "name_process", "redact", "set_up_logging"]

OURS = "webapp"

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

# Tracebacks as Python prints them. structlog's other renderers of them show the values of variables.
_TRACEBACKS: tuple[Processor, ...] = (StackInfoRenderer(), format_exc_info)


def get_logger(name: str) -> BoundLogger:
    """A logger for records with facts: `logger.warning("a connection was lost", error="ConnectionResetError")`."""
    processors: list[Processor] = [filter_by_level, *_TRACEBACKS, ProcessorFormatter.wrap_for_formatter]
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=BoundLogger, context_class=dict, cache_logger_on_first_use=True
    )
    return logger


def set_up_logging(level: str, layout: LogFormat = "text") -> None:
    """Log to standard error from `level` (a name such as `info`) on; uncaught exceptions go the same way."""
    handler = _StandardError()
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=_TRACEBACKS, processors=[with_origin, redacted, RENDERERS[layout]]))
    REQUESTS.layout = layout
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda caught: _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to standard error; what cannot be formatted is named, and not quoted as the standard library would."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind = sys.exc_info()[0]
        if kind is not None and not issubclass(kind, OSError):
            with contextlib.suppress(OSError, ValueError):  # it is closed: whoever logs is not to suffer from that
                self.stream.write(f"a record of the logger {record.name} could not be written ({kind.__name__})\n")


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        return
    logging.getLogger(OURS).critical("the program ends with an error that nobody foresaw", exc_info=(kind, error, traceback))
