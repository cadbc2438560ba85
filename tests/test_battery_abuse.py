"""Whatever comes from all sides, other clients are answered, and the server's memory stays as it was.

The long form, two minutes of it, is in `make battery`; how long others wait is a question there, where nothing else runs.
"""

from pathlib import Path

from tests.battery.abuse import KINDS, MOST_GROWN, abuse


def test_others_are_answered_and_the_memory_stays_while_abusers_do_what_they_can(tmp_path: Path) -> None:
    told = abuse(tmp_path, agents=5, pause=0.05, slow=100, large=10, floods=4, loaders=1, quiet=0.2, seconds=2.0, hold=0.0)
    assert told.wrong == []
    assert told.grown <= MOST_GROWN
    assert len(told.hand_overs) > 10
    assert len(told.pages) > 1
    assert told.sockets_most > told.sockets_before + 80
    assert all(told.abused[f"{kind} began"] > 0 for kind in KINDS)
