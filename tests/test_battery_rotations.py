"""A rotation that is killed in the middle is gone on with, and nobody who reads meanwhile is refused.

The long form, 10 rotations of 100,000 secrets with 20 kills, is in `make battery`.
"""

from pathlib import Path

from tests.battery.rotations import rotations


def test_no_read_fails_and_no_row_is_left_behind_though_a_rotation_is_killed(tmp_path: Path) -> None:
    told = rotations(tmp_path, secrets=6_000, readers=10, cycles=1, kills=1, quiet=0.1, pause=0.02, seed=2)
    assert told.wrong == []
    assert (told.rotations, told.kills) == (1, 1)
    assert told.reads > 10
