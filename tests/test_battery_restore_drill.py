"""What is lost with its directory comes back from a backup, for agents that are kept and for none of what had signed in.

The long form, 20 drills with the agents kept and ended in turn, is in `make battery`.
"""

from pathlib import Path

from tests.battery.restore_drill import drill


def test_a_store_that_was_lost_comes_back_whole(tmp_path: Path) -> None:
    done = drill(tmp_path, "keep", 5)
    assert done.wrong == []
    assert done.handed == 4
