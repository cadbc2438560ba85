"""PostgreSQL fails under load, in all the ways that `troubles.py` has: nothing that was acknowledged is lost, and nothing left unaudited.

Two servers know a primary and its synchronous standby; agents ask for their hand-over at both, and members replace, re-point, revoke,
enrol, make and delete. Whoever is refused meanwhile is told so soon, and it comes back by itself.
`python -m tests.battery.failover --count 10` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from e2e.server import Server
from tests.battery.aftermath import look_into
from tests.battery.several import member, servers, settings_at
from tests.battery.story import Story, ask_once_more, enrol, everybody, move_in, stay_signed_in
from tests.battery.troubles import TROUBLES, Pair
from tests.real.history import violations
from tests.real.postgresql import postgresql_cluster, standby_of
from webapp.store import Store, open_store

PATIENCE_SECONDS = 30
"""After them it does not come back by itself."""

LONGEST_ANSWER = 5.0
LONGEST_RECOVERY = 10.0
"""Seconds from the end of a trouble until every server hands over again."""

_ENROL_EVERY = 0.2
_PROBE_EVERY = 0.05
_OK, _UNAVAILABLE = 200, 503


@dataclass(frozen=True, slots=True)
class Probe:
    """One answer of /readyz: when it came, its status, and the seconds that it took."""

    at: float
    status: int
    seconds: float


@dataclass
class Told:
    """What was seen. `recovered` and `refused` are by trouble: seconds until it was well again, and how many were told to try again."""

    story: Story = field(default_factory=lambda: Story(may_refuse=True))
    probes: list[Probe] = field(default_factory=list)
    recovered: dict[str, float] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    """The slowest answer of each trouble, in seconds."""
    wrong: list[str] = field(default_factory=list)


async def failover(folder: Path, troubles: Sequence[str], *, seconds: float, seed: int) -> Told:
    """One installation, to which all of these happen, each after about so many seconds of work."""
    told, chance = Told(), random.Random(seed)  # noqa: S311  not a secret
    with postgresql_cluster() as primary, standby_of(primary) as standby:
        url = primary.url(primary.new_database(), standby)
        with servers(folder, url) as several:
            async with member(several, timeout=PATIENCE_SECONDS) as alice:
                await move_in(several[0], alice, told.story)
                await enrol(alice, told.story, "temporary-0")
                await _live_through(troubles, Pair(primary, standby, chance), several, alice, told, seconds)
                await ask_once_more([server.url for server in several], told.story)
        story = told.story
        told.wrong += violations(story.writes, story.reads)
        async with open_store(settings_at(folder, url)) as store:
            told.wrong += await look_into(store, story.handed)
            told.wrong += await story.made.missing_in(store) + await story.made.wrong(store)
            told.wrong += await _not_enrolled(store, story)
    return told


async def _live_through(
    troubles: Sequence[str], pair: Pair, several: Sequence[Server], alice: httpx2.AsyncClient, told: Told, seconds: float
) -> None:
    story, urls = told.story, [server.url for server in several]
    others = stay_signed_in(alice, urls[0]), _enrolments(alice, story)
    works: list[Coroutine[Any, Any, None]] = [*everybody(urls, alice, story, 0, pair.chance), *others]
    tasks = [asyncio.create_task(work) for work in [*works, *(_probe(url, told) for url in urls)]]
    try:
        for name in troubles:
            await asyncio.sleep(seconds * (0.5 + pair.chance.random()))
            began, story.slowest = time.monotonic(), 0.0
            await TROUBLES[name](pair)
            over = time.monotonic()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*(_well_again(url, story.agents["steady-0"]) for url in urls))
            told.recovered[name] = time.monotonic() - over
            told.refused[name] = sum(at > began for at, _ in story.refused)
            told.slowest[name] = max([story.slowest, *(probe.seconds for probe in told.probes if probe.at > began)])
            if broken := [task for task in tasks if task.done() and task.exception()]:
                await broken[0]
        await asyncio.sleep(seconds * 0.5)
    except TimeoutError:
        told.wrong.append("it did not come back by itself")
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                told.wrong.append(f"somebody broke: {type(ended).__name__}: {ended}")


async def _enrolments(alice: httpx2.AsyncClient, story: Story) -> None:
    number = 0
    while True:
        await enrol(alice, story, f"enrolled-{number}")
        number += 1
        await asyncio.sleep(_ENROL_EVERY)


async def _probe(url: str, told: Told) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
        while True:
            began = time.monotonic()
            status = (await client.get("/readyz")).status_code
            now = time.monotonic()
            told.probes.append(Probe(now, status, now - began))
            await asyncio.sleep(_PROBE_EVERY)


async def _well_again(url: str, token: str) -> None:
    """Until this server is ready and hands over again."""
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
        for path in ("/api/v1/provision", "/readyz"):
            headers = {"Authorization": f"Bearer {token}"}
            while (await client.get(path, headers=headers)).status_code != _OK:  # noqa: ASYNC110  it is somebody else's event
                await asyncio.sleep(0.02)


async def _not_enrolled(store: Store, story: Story) -> list[str]:
    found = {row["name"] for row in await store.database.fetch_all("SELECT name FROM agents")}
    return [f"{name} was enrolled, and is lost" for name in story.agents if name not in found]


def not_told(told: Told) -> list[str]:
    """A sentence for each thing about time that must not be, and where a probe did not tell what was the matter."""
    wrong = [f"{name}: an answer took {seconds:.1f} s" for name, seconds in told.slowest.items() if seconds > LONGEST_ANSWER]
    wrong += [f"{name}: it took {seconds:.1f} s to recover" for name, seconds in told.recovered.items() if seconds > LONGEST_RECOVERY]
    return wrong


def main() -> int:
    """Do it often and say what was seen; 1 when anything was lost, released without its row, or took too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.failover", description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="installations, each of which goes through all of the troubles")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long there is between two troubles")
    parser.add_argument("--troubles", default=",".join(TROUBLES), help="a failover is the last one that is possible")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    troubles, all_told = options.troubles.split(","), []
    for number in range(options.count):
        with tempfile.TemporaryDirectory(prefix="failover-") as name:
            all_told.append(asyncio.run(failover(Path(name), troubles, seconds=options.seconds, seed=options.seed + number)))
    wrong = [sentence for told in all_told for sentence in (*told.wrong, *not_told(told))]
    stories = [told.story for told in all_told]
    acknowledged = sum(write.acknowledged is not None for story in stories for write in story.writes)
    print(
        f"{options.count} times {', '.join(troubles)}:"
        f" {acknowledged + sum(story.made.acknowledged for story in stories):,} acknowledged changes,"
        f" {sum(len(story.agents) for story in stories):,} enrolments, {sum(len(story.handed) for story in stories):,} hand-overs,"
        f" {sum(len(story.refused) for story in stories):,} told to try again (seed {options.seed}): {len(wrong)} violations",
        *(_line(name, all_told) for name in troubles),
        *wrong[:20],
        sep="\n",
    )
    return 1 if wrong else 0


def _line(name: str, all_told: Sequence[Told]) -> str:
    recovered = [told.recovered[name] for told in all_told if name in told.recovered]
    slowest = [told.slowest[name] for told in all_told if name in told.slowest]
    return f"  {name}: well again after {max(recovered, default=0):.2f} s, the slowest answer took {max(slowest, default=0):.2f} s"


if __name__ == "__main__":
    sys.exit(main())
