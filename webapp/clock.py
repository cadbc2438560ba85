"""The time, as something that is handed in, so that tests can move it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Gives the current Unix time in milliseconds, UTC."""

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_LAST = 253_402_300_799
"""The last second of the year 9999."""


def in_words(at: int) -> str:
    """A Unix time in milliseconds as people read it: `3 Nov 2026, 14:05 UTC`."""
    moment = _moment(at)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def rfc3339(at: int) -> str:
    """A Unix time in milliseconds as programs read it (RFC 3339, UTC, whole seconds): `2026-11-03T14:05:00Z`."""
    return _moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(at: int) -> datetime:
    # A value's own expiry may be beyond what a date can say.
    return datetime.fromtimestamp(min(max(at // SECOND, 0), _LAST), UTC)


def system_clock() -> int:
    """The machine's own time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
