"""Nothing is lost, nothing stale is handed over, and nothing without its row in the audit log, however often the server is killed.

The long form, 200 kills, is in `make battery`.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.battery.kills import kills

pytestmark = pytest.mark.anyio


async def test_what_was_acknowledged_is_there_and_seen_though_the_server_is_killed(tmp_path: Path) -> None:
    story, wrong = await kills(tmp_path, cycles=3, seconds=0.7, seed=4)
    assert wrong == []
    # It did happen: all kinds of changes were acknowledged, and seen.
    assert {"value", "tag", "chosen"} <= {write.register for write in story.writes if write.acknowledged is not None}
    seen = Counter(read.register for read in story.reads if read.value > 0)
    assert all(seen[register] for register in ("value", "tag", "chosen"))
    assert any(register.startswith("revoked") for register in seen)
    assert story.made.there
    assert story.made.gone
