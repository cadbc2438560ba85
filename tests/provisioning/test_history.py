"""Nothing stale is handed over, and nothing without its row in the audit log, however often the server is killed meanwhile.

The long form, 100 runs, is `make battery`.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.real.hand_over_history import released_without_a_row, tell
from tests.real.history import violations

pytestmark = pytest.mark.anyio


async def test_agents_see_every_acknowledged_change_though_the_server_is_killed(tmp_path: Path) -> None:
    story = await tell(tmp_path, runs=3, seconds=0.7, seed=4)
    assert violations(story.writes, story.reads) == []
    assert await released_without_a_row(tmp_path, story) == []
    # It did happen: all kinds of changes were acknowledged, and seen.
    assert {"value", "tag", "chosen"} <= {write.register for write in story.writes if write.acknowledged is not None}
    seen = Counter(read.register for read in story.reads if read.value > 0)
    assert all(seen[register] for register in ("value", "tag", "chosen"))
    assert any(register.startswith("revoked") for register in seen)
