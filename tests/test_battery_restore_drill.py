"""What is lost with its directory comes back from a backup, for agents that are kept and for none of what had signed in.

The long form, 20 drills, is in `make battery`.
"""

from pathlib import Path

import pytest

from tests.battery.restore_drill import drill


@pytest.mark.parametrize("agents", ["keep", "end"])
def test_a_store_that_was_lost_comes_back_whole(tmp_path: Path, agents: str) -> None:
    done = drill(tmp_path, agents, 5)
    assert done.wrong == []
    assert done.handed == (4 if agents == "keep" else 0)
