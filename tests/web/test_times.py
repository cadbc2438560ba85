"""Times as pages show them: in UTC and saying so, and read by programs too."""

from typing import Any

import pytest

from tests.personas import START
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.web.times import SOON, ago, expires, left, left_kind, when

AT = '<time datetime="2026-11-03T14:05:00Z"'


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (START, AT + ">3 Nov 2026, 14:05 UTC</time>"),
        (START + 59 * SECOND + 999, '<time datetime="2026-11-03T14:05:59Z">3 Nov 2026, 14:05 UTC</time>'),
        (0, '<time datetime="1970-01-01T00:00:00Z">1 Jan 1970, 00:00 UTC</time>'),
        (None, "never"),
    ],
)
def test_a_time_says_its_zone(at: int | None, text: str) -> None:
    assert str(when(at)) == text


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (0, "just now"),
        (MINUTE - 1, "just now"),
        (MINUTE, "1 min ago"),
        (HOUR - 1, "59 min ago"),
        (HOUR, "1 h ago"),
        (DAY - 1, "23 h ago"),
        (DAY, "1 d ago"),
        (400 * DAY, "400 d ago"),
        (-HOUR, "just now"),  # a clock that was set back
    ],
)
def test_how_long_ago_has_the_time_itself_as_its_title(later: int, words: str) -> None:
    assert str(ago(START, START + later)) == f'{AT} title="3 Nov 2026, 14:05 UTC">{words}</time>'


def test_never_is_never() -> None:
    assert ago(None, START) == "never"


@pytest.mark.parametrize(
    ("ahead", "words", "kind"),
    [
        (-400 * DAY, "expired", "bad"),
        (0, "expired", "bad"),  # good until that moment, and not at it
        (1, "expires in a moment", "warn"),
        (MINUTE - 1, "expires in a moment", "warn"),
        (MINUTE, "expires in 1 min", "warn"),
        (HOUR - 1, "expires in 59 min", "warn"),
        (HOUR, "expires in 1 h", "warn"),
        (DAY - 1, "expires in 23 h", "warn"),
        (DAY, "expires in 1 d", "warn"),
        (10 * DAY - 1, "expires in 9 d", "warn"),
        (SOON - 1, "expires in 13 d", "warn"),
        (SOON, "expires in 14 d", "neutral"),
        (4000 * DAY, "expires in 4000 d", "neutral"),
    ],
)
def test_how_long_something_is_good_still(ahead: int, words: str, kind: str) -> None:
    assert (left(START, START - ahead), left_kind(START, START - ahead)) == (words, kind)
    assert str(expires(START, START - ahead)) == f'{AT} title="3 Nov 2026, 14:05 UTC">{words}</time>'


@pytest.mark.parametrize("at", ["x", b"x", 1.5, -1, 10**15])
def test_what_is_no_time_is_said_to_be_none(at: Any) -> None:
    assert {str(each) for each in (when(at), ago(at, START))} == {"at no time that is known"}
    assert {str(each) for each in (expires(at, START), left(at, START))} == {"expires at no time that is known"}
    assert left_kind(at, START) == "bad"
