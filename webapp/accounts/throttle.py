"""Slowing down who guesses passwords: a growing delay for each account, address, device and session, and never a lockout.

A try inside its delay is refused before any hash is computed. The first failures cost nothing; then the delay
doubles from 2 seconds to 15 minutes. It is the same for addresses that no member has. The counts are in the database,
one for all processes, and outlast a restart; what they are about is there as a keyed hash only.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

from webapp.clock import HOUR, SECOND, Clock
from webapp.database import Database, Row, Transaction
from webapp.errors import TooMany, Unavailable
from webapp.vault import Vault

Kind = Literal["account", "address", "device", "session"]

FREE: dict[Kind, int] = {"account": 3, "address": 10, "device": 3, "session": 3}
"""Failures that cost no delay. An address may be a whole office's; whom it guesses at has an allowance of their own anyway."""

LONGEST_DELAY = 900 * SECOND
FORGOTTEN_AFTER = HOUR
"""Without a failure. So strangers have 15 guesses at one account in the first hour, and 4 in each that follows without a pause."""

MOST_ROWS = 50_000
"""How many subjects are remembered, about; those whose last failure is the oldest are forgotten first."""

MOST_KNOWN = 10_000
KNOWN_FOR = 5 * SECOND
"""How many delays a process knows without asking the database, and for how long: another process may have taken one back."""

_SWEEP_EVERY = 32
_MOST_SWEPT = 100
"""Tries between two looks for rows to forget, and the rows of one look. A try makes three rows at the most: there are no more of them."""

_MOST_RACES = 30
"""How often a try is counted anew since somebody else was counted meanwhile. Those are few: more than the free ones are refused."""

_FIND = "SELECT failures, last_at, next_at FROM sign_in_failures WHERE subject = :subject"
_COUNT = (
    "INSERT INTO sign_in_failures (subject, failures, last_at, next_at) VALUES (:subject, :failures, :last_at, :next_at)"
    " ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, next_at = excluded.next_at"
    " WHERE sign_in_failures.failures = :was AND sign_in_failures.last_at = :was_at RETURNING subject"
)
"""Counts a failure, if nobody has counted one since the row was read."""
_TAKE_BACK = (
    "UPDATE sign_in_failures SET failures = :failures, last_at = :last_at, next_at = :next_at"
    " WHERE subject = :subject AND failures = :was AND last_at = :was_at RETURNING subject"
)
_TAKE_ALL_BACK = "DELETE FROM sign_in_failures WHERE subject = :subject AND failures = :was AND last_at = :was_at RETURNING subject"
_SET_BACK = "UPDATE sign_in_failures SET next_at = next_at - last_at + :now, last_at = :now WHERE subject = :subject AND last_at = :was_at"
_OLDEST = "SELECT subject, last_at FROM sign_in_failures WHERE last_at <= :before ORDER BY last_at LIMIT :most"
_FORGET = "DELETE FROM sign_in_failures WHERE subject = :subject AND last_at = :was_at"

Subject = str


@dataclass(frozen=True, slots=True)
class _Failures:
    """A subject's row; of one that has none, `count` is 0. Times are Unix milliseconds."""

    count: int = 0
    last: int = 0
    next: int = 0

    @classmethod
    def of(cls, row: Row | None) -> Self:
        return cls() if row is None else cls(row["failures"], row["last_at"], row["next_at"])

    @property
    def was(self) -> dict[str, int]:
        """What a statement that changes it makes sure of."""
        return {"was": self.count, "was_at": self.last}


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was let through; it counts as failed until it is said to have succeeded. Times are Unix milliseconds."""

    before: tuple[tuple[Subject, int, int], ...]
    """Each subject, how many failures cost it nothing, and when its failure before this one was."""
    at: int


class _Raced(Exception):
    """Somebody else was counted meanwhile."""


class Throttle:
    """Counts failures in the database; several processes may, at the same time."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, *, most_rows: int = MOST_ROWS, most_known: int = MOST_KNOWN) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._most_rows, self._most_known = most_rows, most_known
        self._known: OrderedDict[Subject, tuple[int, int]] = OrderedDict()  # when that was found out, and until when it is delayed
        self._tries = 0

    def refuse_known(self, subjects: Sequence[tuple[Kind, str]]) -> None:
        """Raise TooMany for what this process knows to be delayed, without asking the database: so a flood costs nothing."""
        now = self._clock()
        _refuse(max((self._known_wait(self._subject(kind, name), now) for kind, name in subjects), default=0))

    async def begin(self, subjects: Sequence[tuple[Kind, str]]) -> Try:
        """Let a try at these through, or raise TooMany, which says when the next one may be. Raises Unavailable.

        It counts as failed at once, so that many tries at the same time are many, in several processes, too; `succeeded` takes that back.
        """
        # In one order everywhere: two that held one row each, and waited for the other's, would both fail.
        free = dict(sorted((self._subject(kind, name), FREE[kind]) for kind, name in subjects))
        for _ in range(_MOST_RACES):
            now = self._clock()
            _refuse(max((self._known_wait(subject, now) for subject in free), default=0))
            found = {subject: _Failures.of(await self._database.fetch_one(_FIND, {"subject": subject})) for subject in free}
            for subject, failures in found.items():
                if failures.last > now:
                    found[subject] = await self._set_back(subject, failures, now)
            for subject, failures in found.items():
                if failures.next > now:
                    self._know(subject, now, failures.next)
            _refuse(max((failures.next - now for failures in found.values()), default=0))
            with suppress(_Raced):
                return await self._count(found, free, now)
        _refuse(SECOND)
        raise AssertionError

    async def succeeded(self, attempt: Try, *, clear: Sequence[tuple[Kind, str]] = ()) -> None:
        """Take a try back: it was no failure. Of `clear` every earlier failure is forgotten too. Raises Unavailable.

        What strangers did at the same account or from the same address stays: otherwise whoever can sign in
        somewhere could clear the way for guesses elsewhere.
        """
        cleared = {self._subject(kind, name) for kind, name in clear}
        for subject, free, last in attempt.before:
            for _ in range(_MOST_RACES):
                with suppress(_Raced):
                    await self._take_back(subject, free, None if subject in cleared else last, attempt.at)
                    break
            self._known.pop(subject, None)

    async def write_in_place_of_a_row(self) -> None:
        """Write as much as an audit row is, which will be forgotten: for a guess about nobody, of whom no row is kept.

        Who guesses about a member could tell it from how long the next answers take, otherwise. Raises Unavailable.
        """
        at = self._clock() - FORGOTTEN_AFTER
        row = (secrets.token_hex(32), 1, at, at)
        await self._database.submit(lambda batch: batch.insert("sign_in_failures", ("subject", "failures", "last_at", "next_at"), row))

    async def _count(self, found: dict[Subject, _Failures], free: dict[Subject, int], now: int) -> Try:
        before = []
        async with self._database.transaction(next(iter(found))) as transaction:
            for subject, failures in found.items():
                current = failures if failures.count and now - failures.last < FORGOTTEN_AFTER else _Failures(0, now)
                await _write(transaction, _COUNT, subject, failures, _Failures(current.count + 1, now), free[subject])
                before.append((subject, free[subject], current.last))
        self._tries += 1
        if self._tries % _SWEEP_EVERY == 0:
            with suppress(Unavailable):  # there is another time for that
                await self._sweep(now)
        return Try(tuple(before), now)

    async def _take_back(self, subject: Subject, free: int, last: int | None, at: int) -> None:
        """Take one failure of the subject back, or all of them where there is no `last`."""
        async with self._database.transaction(subject) as transaction:
            failures = _Failures.of(await transaction.fetch_one(_FIND, {"subject": subject}))
            if failures.count == 0:
                return
            left = failures.count - 1 if last is not None else 0
            moment = failures.last if last is None or failures.last != at else last
            await _write(transaction, _TAKE_BACK if left else _TAKE_ALL_BACK, subject, failures, _Failures(left, moment), free)

    async def _set_back(self, subject: Subject, failures: _Failures, now: int) -> _Failures:
        """The machine's clock was set back, which is to keep nobody waiting for longer than the delay."""
        async with self._database.transaction(subject) as transaction:
            await transaction.execute(_SET_BACK, {"subject": subject, "now": now, "was_at": failures.last})
        return _Failures(failures.count, now, now + failures.next - failures.last)

    async def _sweep(self, now: int) -> None:
        """Forget some of what is old, and of what is too much."""
        rows = await self._database.fetch_all(_OLDEST, {"before": now - FORGOTTEN_AFTER, "most": _MOST_SWEPT})
        if not rows:
            counted = await self._database.fetch_one("SELECT count(*) AS n FROM sign_in_failures")
            beyond = min(int(counted["n"] if counted else 0) - self._most_rows, _MOST_SWEPT)
            rows = await self._database.fetch_all(_OLDEST, {"before": now, "most": beyond}) if beyond > 0 else []
        if not rows:
            return
        async with self._database.transaction("sign_in_failures") as transaction:
            for row in sorted(rows, key=lambda row: str(row["subject"])):  # in the order of those who count
                await transaction.execute(_FORGET, {"subject": row["subject"], "was_at": row["last_at"]})

    def _known_wait(self, subject: Subject, now: int) -> int:
        since, until = self._known.get(subject, (0, 0))
        return until - now if since <= now < since + KNOWN_FOR else 0

    def _know(self, subject: Subject, now: int, until: int) -> None:
        self._known[subject] = (now, until)
        self._known.move_to_end(subject)
        if len(self._known) > self._most_known:
            self._known.popitem(last=False)

    def _subject(self, kind: Kind, name: str) -> Subject:
        return self._vault.cookie_mac("throttle", f"{kind} {name}".encode("utf-8", "surrogatepass")).hex()


def delay_after(failures: int, free: int) -> int:
    """The delay after so many failures, in milliseconds: none for those that are free, then 2, 4, 8 … 900 seconds."""
    return 0 if failures <= free else min(SECOND << min(failures - free, 20), LONGEST_DELAY)


async def _write(transaction: Transaction, sql: str, subject: Subject, found: _Failures, new: _Failures, free: int) -> None:
    """Write the subject's new row in the place of the one that was found. Raises _Raced when that is not there any more."""
    values = {"failures": new.count, "last_at": new.last, "next_at": new.last + delay_after(new.count, free)}
    bound = {name: value for name, value in {**values, "subject": subject, **found.was}.items() if f":{name}" in sql}
    if await transaction.fetch_one(sql, bound) is None:
        raise _Raced


def _refuse(wait: int) -> None:
    """Raise TooMany when there is something to wait for, in milliseconds."""
    if wait > 0:
        seconds = -(-wait // SECOND)
        raise TooMany(f"Too many tries. Wait {_in_words(seconds)} before the next one.", seconds)


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = -(-seconds // 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
