"""A secret in memory: every way to print or copy it by accident is loud."""

import copy
import logging
import pickle
from collections.abc import Callable

import pytest

from webapp.vault import Secret

VALUE = b"hunter2"


def test_only_reveal_gives_it_out() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert repr(Secret(VALUE)) == "<Secret withheld>"
    assert len(Secret(VALUE)) == 7
    assert repr([Secret(VALUE)]) == "[<Secret withheld>]"


@pytest.mark.parametrize(
    "accident",
    [
        str,
        lambda secret: f"{secret}",
        lambda secret: f"{secret:>20}",
        lambda secret: "%s" % secret,  # noqa: UP031  one of the accidents
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        hash,
        vars,
        bytes,
    ],
)
def test_an_accident_is_an_error(accident: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as error:
        accident(Secret(VALUE))
    assert "hunter2" not in str(error.value)


def test_two_are_equal_by_their_value_and_by_nothing_else() -> None:
    assert Secret(VALUE) == Secret(b"hunter2")
    assert Secret(VALUE) != Secret(b"hunter3")
    assert Secret(VALUE) != VALUE


def test_a_log_line_shows_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("webapp").warning("a secret: %r", Secret(VALUE))
    assert "hunter2" not in caplog.text
    assert "withheld" in caplog.text
