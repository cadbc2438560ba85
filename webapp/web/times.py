"""Times as people read them: UTC, and saying so, in a `<time>` that programs read too."""

from datetime import UTC, datetime

from markupsafe import Markup

from webapp.clock import DAY, HOUR, MINUTE


def when(at: int | None) -> Markup | str:
    """A Unix time in milliseconds as `<time>`: `3 Nov 2026, 14:05 UTC`; "never" for None."""
    if at is None:
        return "never"
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return Markup('<time datetime="{}">{} {}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.day, moment.strftime("%b %Y, %H:%M UTC")
    )


def ago(at: int | None, now: int) -> Markup | str:
    """How long ago, in a `<time>` whose title is the full time: `5 min ago`; "never" for None."""
    if at is None:
        return "never"
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.day, moment.strftime("%b %Y, %H:%M UTC"), _distance(now - at)
    )


def _distance(milliseconds: int) -> str:
    if milliseconds < MINUTE:
        return "just now"
    if milliseconds < HOUR:
        return f"{milliseconds // MINUTE} min ago"
    if milliseconds < DAY:
        return f"{milliseconds // HOUR} h ago"
    return f"{milliseconds // DAY} d ago"
