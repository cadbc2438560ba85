"""The time, as something that is handed in, so that tests can move it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the current Unix time in milliseconds, UTC."""

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def system_clock() -> int:
    """The machine's own time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
