"""Times as pages show them: in UTC and saying so, and read by programs too."""

import pytest

from tests.personas import START
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.web.times import ago, when

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
