"""Strangers are let through a few times at two servers together, the owner each time; and a server that counts nobody would be found.

The long form, five minutes, is in `make battery`.
"""

from pathlib import Path

import pytest

from tests.battery.guesses import allowed, guesses, share_longer
from tests.real.postgresql import Cluster

pytestmark = pytest.mark.anyio


async def test_two_servers_let_no_more_guesses_through_than_one_may(tmp_path: Path, postgresql: Cluster) -> None:
    told = await guesses(tmp_path, postgresql, seconds=3.0, members=4, seed=7)
    assert told.wrong == []
    assert 4 <= told.let_through <= told.allowed == 5
    # It did happen: many guesses, and the owner's sign-ins among them.
    assert told.guesses > 4 * told.let_through
    assert told.attacked
    assert len(told.known) == len(told.unknown) == len(told.after_known) == 12


async def test_a_server_that_counts_nobody_is_found_out(tmp_path: Path, postgresql: Cluster) -> None:
    told = await guesses(tmp_path, postgresql, seconds=1.5, members=0, seed=7, fault="counts-nobody")
    assert any("guesses were let through" in sentence for sentence in told.wrong)


def test_an_hour_has_room_for_few() -> None:
    assert allowed(3600) <= 20


def test_the_share_of_longer_ones_is_a_half_where_there_is_no_difference() -> None:
    some = [0.1, 0.2, 0.3]
    assert share_longer(some, some) == 0.5
    assert share_longer([0.4, 0.5], some) == 1.0
    assert share_longer([0.0], some) == 0.0
