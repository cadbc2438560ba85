"""The server is killed at random times under writes and hand-overs: nothing that was acknowledged is lost, nothing left without its row.

`python -m tests.battery.kills --cycles 200` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.battery.aftermath import look, settings_of
from tests.battery.story import Story, tell
from tests.real.history import violations
from webapp.store import open_store

LONGEST_RESTART = 5.0
"""Seconds."""


async def kills(folder: Path, cycles: int, seconds: float, seed: int) -> tuple[Story, list[str]]:
    """So many kills on one store; what happened, and a sentence for each thing that must not have."""
    story = await tell(folder, cycles, seconds, seed)
    wrong = violations(story.writes, story.reads) + story.lost
    async with open_store(settings_of(folder)) as store:
        wrong += await story.made.wrong(store)
    return story, wrong + await look(folder, story.handed)


def main() -> int:
    """Tell a long story and say what was found; 1 when anything was lost, stale, or left without its row, or a restart took too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.kills", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help="kills")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long the server lives each time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        story, wrong = asyncio.run(kills(Path(name), options.cycles, options.seconds, options.seed))
    changes = sum(write.acknowledged is not None for write in story.writes) + story.made.acknowledged
    longest = max(story.restarts)
    print(
        f"{story.kills} kills, {changes:,} acknowledged changes, {len(story.handed):,} hand-overs, {len(story.reads):,} reads (seed"
        f" {options.seed}): {len(wrong)} violations; restart {statistics.median(story.restarts):.2f} s in the middle, {longest:.2f} s"
        " at the most",
        *wrong[:20],
        sep="\n",
    )
    return 1 if wrong or longest > LONGEST_RESTART else 0


if __name__ == "__main__":
    sys.exit(main())
