"""The primary is lost under load, and the standby takes over: nothing that was acknowledged is lost, nothing left unaudited.

The long form, with all that may befall a database besides, is in `make battery`.
"""

from pathlib import Path

import pytest

from tests.battery.failover import failover

pytestmark = pytest.mark.anyio


async def test_nothing_is_lost_with_the_primary_and_it_goes_on_with_the_standby(tmp_path: Path) -> None:
    told = await failover(tmp_path, ["terminations", "failover"], seconds=0.5, seed=6)
    assert told.wrong == []
    # It did happen: changes and hand-overs, and who asked meanwhile was told to try again, and that it is not ready.
    assert told.recovered.keys() == {"terminations", "failover"}
    assert told.refused["failover"] > 0
    assert {probe.status for probe in told.probes} == {200, 503}
    assert any(write.acknowledged is not None for write in told.story.writes)
    assert told.story.handed
