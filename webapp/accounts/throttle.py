"""Slowing down who guesses passwords: a growing delay for each account, address, device and session, and never a lockout.

A try inside its delay is refused before any hash is computed. The first failures cost nothing; then the delay
doubles from 2 seconds to 15 minutes. It is the same for addresses that no member has. All of it is in memory:
a restart forgets it, which is worth a few guesses to nobody who cannot restart the server.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from webapp.clock import HOUR, SECOND, Clock
from webapp.errors import TooMany

Kind = Literal["account", "address", "device", "session"]

FREE: dict[Kind, int] = {"account": 3, "address": 10, "device": 3, "session": 3}
"""Failures that cost no delay. An address may be a whole office's; whom it guesses at has an allowance of their own anyway."""

LONGEST_DELAY = 900 * SECOND
FORGOTTEN_AFTER = HOUR
"""Without a failure. So strangers have 15 guesses at one account in the first hour, and 4 in each that follows without a pause."""

MOST_KEYS = 50_000
"""How many keys are remembered, a few MB; the one whose last failure is the oldest is forgotten first."""

Key = bytes


@dataclass(slots=True)
class _Failures:
    count: int
    last: int


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was let through; it counts as failed until it is said to have succeeded. Times are Unix milliseconds."""

    before: tuple[tuple[Key, int], ...]
    """Each key, and when its failure before this one was."""
    at: int


class Throttle:
    """Counts failures in memory; one for the process."""

    def __init__(self, clock: Clock, *, most_keys: int = MOST_KEYS) -> None:
        self._clock = clock
        self._most_keys = most_keys
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()

    def begin(self, subjects: Sequence[tuple[Kind, str]]) -> Try:
        """Let a try at these through, or raise TooMany, which says when the next one may be.

        It counts as failed at once, so that many tries at the same time are many; `succeeded` takes that back.
        """
        now = self._clock()
        keys = [(_key(kind, name), FREE[kind]) for kind, name in subjects]
        wait = max((self._wait(key, free, now) for key, free in keys), default=0)
        if wait > 0:
            seconds = -(-wait // SECOND)
            raise TooMany(f"Too many tries. Wait {_in_words(seconds)} before the next one.", seconds)
        return Try(tuple((key, self._count(key, now)) for key, _ in keys), now)

    def succeeded(self, attempt: Try, *, clear: Sequence[tuple[Kind, str]] = ()) -> None:
        """Take a try back: it was no failure. Of `clear` every earlier failure is forgotten too.

        What strangers did at the same account or from the same address stays: otherwise whoever can sign in
        somewhere could clear the way for guesses elsewhere.
        """
        for key, last in attempt.before:
            failures = self._failures.get(key)
            if failures is None:
                continue
            failures.count -= 1
            if failures.last == attempt.at:
                failures.last = last
            if failures.count <= 0:
                del self._failures[key]
        for kind, name in clear:
            self._failures.pop(_key(kind, name), None)

    def _wait(self, key: Key, free: int, now: int) -> int:
        failures = self._current(key, now)
        if failures is None:
            return 0
        delay = delay_after(failures.count, free)
        return min(failures.last + delay - now, delay)  # the machine's clock may have been set back

    def _count(self, key: Key, now: int) -> int:
        """Count a failure; returns when the one before it was."""
        failures = self._current(key, now) or self._failures.setdefault(key, _Failures(0, now))
        last = failures.last
        failures.count, failures.last = failures.count + 1, now
        self._failures.move_to_end(key)
        if len(self._failures) > self._most_keys:
            self._failures.popitem(last=False)
        return last

    def _current(self, key: Key, now: int) -> _Failures | None:
        failures = self._failures.get(key)
        if failures is not None and now - failures.last >= FORGOTTEN_AFTER:
            del self._failures[key]
            return None
        return failures


def delay_after(failures: int, free: int) -> int:
    """The delay after so many failures, in milliseconds: none for those that are free, then 2, 4, 8 … 900 seconds."""
    return 0 if failures <= free else min(SECOND << min(failures - free, 20), LONGEST_DELAY)


def _key(kind: Kind, name: str) -> Key:
    # A digest, so that it is as long for every name that strangers may think of.
    return hashlib.blake2b(f"{kind} {name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = -(-seconds // 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
