"""Times as people read them: UTC, and saying so, in a `<time>` that programs read too."""

from datetime import UTC, datetime

from markupsafe import Markup

from webapp.clock import DAY, HOUR, MINUTE, in_words, rfc3339

SOON = 14 * DAY
"""From then on an expiry is worth a warning."""

_UNKNOWN = "at no time that is known"
"""Of what the database holds and is no time: it keeps anything in any column, and a page is no place to fail for it."""

_LATEST = 253_402_300_800_000
"""The end of the year 9999, which is as far as `datetime` goes."""


def when(at: int | None) -> Markup | str:
    """A Unix time in milliseconds as `<time>`: `3 Nov 2026, 14:05 UTC`; "never" for None."""
    if at is None:
        return "never"
    if not _is_time(at):
        return _UNKNOWN
    return Markup('<time datetime="{}">{}</time>').format(_machine(at), in_words(at))


def ago(at: int | None, now: int) -> Markup | str:
    """How long ago, in a `<time>` whose title is the full time: `5 min ago`; "never" for None."""
    if at is None:
        return "never"
    return _titled(at, _distance(now - at)) if _is_time(at) else _UNKNOWN


def expires(at: int, now: int) -> Markup | str:
    """What `left` says, in a `<time>` whose title is the full time."""
    return _titled(at, left(at, now)) if _is_time(at) else left(at, now)


def left(at: int, now: int) -> str:
    """How long something is good still, in whole units: `expires in 9 d`; `expired` from the moment itself on."""
    if not _is_time(at):
        return f"expires {_UNKNOWN}"
    milliseconds = at - now
    if milliseconds <= 0:
        return "expired"
    if milliseconds < MINUTE:
        return "expires in a moment"
    if milliseconds < HOUR:
        return f"expires in {milliseconds // MINUTE} min"
    if milliseconds < DAY:
        return f"expires in {milliseconds // HOUR} h"
    return f"expires in {milliseconds // DAY} d"


def left_kind(at: int, now: int) -> str:
    """The kind of badge for it: bad when it has expired, warn in the last 14 days."""
    if not _is_time(at) or at <= now:
        return "bad"
    return "warn" if at - now < SOON else "neutral"


def for_programs(at: int | None) -> str | None:
    """A Unix time in milliseconds as RFC 3339 has it, in UTC; None for never, and for what is no time."""
    return rfc3339(at) if at is not None and _is_time(at) else None


def _is_time(at: object) -> bool:
    return isinstance(at, int) and 0 <= at < _LATEST


def _titled(at: int, words: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(_machine(at), in_words(at), words)


def _machine(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _distance(milliseconds: int) -> str:
    if milliseconds < MINUTE:
        return "just now"
    if milliseconds < HOUR:
        return f"{milliseconds // MINUTE} min ago"
    if milliseconds < DAY:
        return f"{milliseconds // HOUR} h ago"
    return f"{milliseconds // DAY} d ago"
