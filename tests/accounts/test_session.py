"""How long a session lasts, to the millisecond."""

import pytest

from webapp.accounts.session import ABSOLUTE, IDLE, is_valid
from webapp.clock import HOUR, MINUTE

BEGUN = 1_793_714_700_000


def test_it_is_half_an_hour_of_nothing_and_twelve_hours_of_anything() -> None:
    assert (IDLE, ABSOLUTE) == (30 * MINUTE, 12 * HOUR)


@pytest.mark.parametrize(
    ("now", "seen_at", "valid"),
    [
        (BEGUN, BEGUN, True),
        (BEGUN + IDLE, BEGUN, True),
        (BEGUN + IDLE + 1, BEGUN, False),
        (BEGUN + ABSOLUTE - 1, BEGUN + ABSOLUTE - 1, True),
        (BEGUN + ABSOLUTE, BEGUN + ABSOLUTE, False),
        (BEGUN + ABSOLUTE + 1, BEGUN + ABSOLUTE, False),
        (BEGUN - 1, BEGUN, True),  # another process's clock goes a little before this one's
        (BEGUN + ABSOLUTE + 1, BEGUN, False),
    ],
)
def test_it_ends_when_nobody_is_there_and_when_its_time_is_over(now: int, seen_at: int, valid: bool) -> None:
    assert is_valid(now, seen_at=seen_at, expires_at=BEGUN + ABSOLUTE) is valid
