"""Who has to show again who they are: five minutes, to the millisecond."""

from dataclasses import replace

import pytest

from webapp.clock import MINUTE
from webapp.web.principal import Principal
from webapp.web.stepup import FRESH, is_fresh

SHOWN = 1_793_714_700_000
ALICE = Principal("m", "alice@example.com", "admin", "a", "Acme", "s", SHOWN, has_password=True, has_passkey=False, has_identity=False)


def test_it_is_five_minutes() -> None:
    assert FRESH == 5 * MINUTE


@pytest.mark.parametrize(("later", "fresh"), [(0, True), (1, True), (FRESH - 1, True), (FRESH, True), (FRESH + 1, False), (2**40, False)])
def test_it_is_fresh_for_five_minutes_and_no_longer(later: int, fresh: bool) -> None:
    assert is_fresh(ALICE, SHOWN + later) is fresh
    assert is_fresh(replace(ALICE, password_at=SHOWN + 1), SHOWN + later + 1) is fresh
