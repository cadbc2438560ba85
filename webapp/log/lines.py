"""What a record looks like: a line for people, or a JSON object for collectors. Both are made of a record that is redacted already."""

import json
import os
import re
import time
from collections.abc import Callable

import orjson
from structlog.typing import EventDict, WrappedLogger

from webapp.setting_values import LogFormat

_BARE = re.compile(r"[!#-<>-\[\]-~]+").fullmatch
"""Text that stands for itself behind a name: printable ASCII without blanks, quotes, `=` and backslashes."""
_FIRST = ("time", "level", "logger", "process", "event")

process = ""
"""This process's id where several write to one log."""


def name_process() -> None:
    """Have every line of this process name it, behind the logger: `INFO webapp.request[4711]: …`."""
    global process  # noqa: PLW0603  a property of the process
    process = str(os.getpid())


def moment(at: float) -> str:
    """A Unix time in seconds as the log shows it: RFC 3339 with milliseconds, UTC."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03}Z"


def with_origin(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say when, how important and from which logger, as the standard library's record does."""
    record = event.pop("_record")
    del event["_from_structlog"]
    origin = {"time": moment(record.created), "level": record.levelname, "logger": record.name}
    return {**{name: value for name, value in event.items() if name not in _FIRST}, **origin, "event": event.get("event", "")}


def as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`TIME LEVEL LOGGER: EVENT name=value …`. A traceback follows in lines of its own, indented, so that no text forges a record."""
    head = f"{event.pop('time')} {event.pop('level')} {event.pop('logger')}{process and f'[{process}]'}:"
    line = f"{head} {on_one_line(str(event.pop('event')))}"
    behind = [text for name in ("exception", "stack") if (text := event.pop(name, None))]
    pairs = "".join([f" {_shown(name)}={_shown(value)}" for name, value in event.items()])
    return line + pairs + "".join([f"\n    {on_one_line(each)}" for text in behind for each in str(text).splitlines()])


def as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """An object on one line, which begins with `time`, `level`, `logger`, `process` where there are several, and `event`."""
    document = {name: event.pop(name) for name in ("time", "level", "logger")}
    if process:
        document["process"] = int(process)
    document = {**document, "event": event.pop("event"), **event}
    try:
        return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half of a character, or a number that is too large for it
        return json.dumps(document)


RENDERERS: dict[LogFormat, Callable[[WrappedLogger, str, EventDict], str]] = {"text": as_text, "json": as_json}


def on_one_line(text: str) -> str:
    """The text with what is not printable escaped."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode("ascii") for character in text)


def _shown(value: object) -> str:
    text = str(value)
    return text if _BARE(text) else on_one_line(json.dumps(text, ensure_ascii=False))
