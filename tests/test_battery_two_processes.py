"""What was changed through one server is never handed over as it was before by another one, and a server that did would be found.

The long form, 10,000 changes, is in `make battery`.
"""

from pathlib import Path

import pytest

from tests.battery.changes import CHANGES
from tests.battery.two_processes import two_processes
from tests.real.postgresql import Cluster

pytestmark = pytest.mark.anyio


async def test_what_is_changed_through_one_server_is_seen_by_the_other_at_once(tmp_path: Path, postgresql: Cluster) -> None:
    told = await two_processes(tmp_path, postgresql, count=40, seconds=0.3, seed=7)
    assert told.stale == []
    assert told.wrong == []
    # It did happen: changes of all kinds, kept by who asked beside them, and all at once.
    assert told.tries.keys() == CHANGES.keys()
    assert told.expired > 0
    assert told.beside > told.tries.total()
    assert any(write.acknowledged is not None for write in told.story.writes)
    assert told.story.reads


async def test_a_server_that_goes_by_old_generations_is_found_out(tmp_path: Path, postgresql: Cluster) -> None:
    told = await two_processes(tmp_path, postgresql, count=12, seconds=0.3, seed=7, desks=2, fault="as-read-first")
    assert told.stale
    assert any("had been acknowledged" in sentence for sentence in told.wrong)
