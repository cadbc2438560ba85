"""Two servers on one PostgreSQL: what was changed through one of them is never handed over as it was before by the other.

First one change after the other, and at once a look through another server, with others who ask all the time, so that each server has kept
what was there before. Then everybody at once on both, judged by whether one order explains all that was seen.
`python -m tests.battery.two_processes --count 10000` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.server import Server
from tests.battery.aftermath import look_into
from tests.battery.changes import CHANGES, LIFE_SECONDS, Desk
from tests.battery.line import Line, line
from tests.battery.several import member, servers, settings_at
from tests.battery.story import Story, ask_once_more, enrol, everybody, move_in, stay_signed_in
from tests.real.history import violations
from tests.real.postgresql import Cluster, postgresql_cluster
from webapp.store import open_store

DESKS = 4
EXPIRE_EVERY = 200
"""Changes to one value that expires."""

PAUSE = 0.002
"""Seconds between two questions of who asks all the time."""

Answer = tuple[int, str | None, str | None, str | None]


@dataclass
class Told:
    """What was seen. `tries` are changes by their kind, `reads` the looks right after them, `expired` the values that did meanwhile."""

    tries: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    beside: int = 0
    """Hand-overs that others asked for meanwhile."""
    expired: int = 0
    stale: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    story: Story = field(default_factory=Story)
    wrong: list[str] = field(default_factory=list)


async def two_processes(
    folder: Path, cluster: Cluster, *, count: int, seconds: float, seed: int, desks: int = DESKS, fault: str = "", processes: int = 2
) -> Told:
    """So many changes, each looked at through the other server, and then so many seconds of all at once; with a fault in one of the two."""
    url, told = cluster.url(cluster.new_database()), Told()
    with servers(folder, url, processes, fault) as several:
        async with member(several) as alice:
            await move_in(several[0], alice, told.story)
            chance = random.Random(seed)  # noqa: S311  not a secret
            places = [Desk(f"desk{number}", alice, chance) for number in range(desks)]
            expiring = _expiring(Desk("expiring", alice, chance), several, told, max(1, count // EXPIRE_EVERY))
            staying = asyncio.create_task(stay_signed_in(alice, several[0].url))
            await asyncio.gather(expiring, *(_one_by_one(desk, several, told, count // desks) for desk in places))
            staying.cancel()
            if seconds:
                await _all_at_once(told.story, several, alice, seconds, chance)
    told.wrong += violations(told.story.writes, told.story.reads)
    async with open_store(settings_at(folder, url)) as store:
        told.wrong += await look_into(store, [*told.handed, *told.story.handed])
    return told


async def _one_by_one(desk: Desk, several: Sequence[Server], told: Told, count: int) -> None:
    await desk.furnish()
    names = list(CHANGES)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(server.url)) for server in several]
        for each in lines:
            await _asked(each, desk, told)
        await stack.enter_async_context(_beside(several, desk, told))
        for number in range(count):
            name = names[number % len(names)] if number < len(names) else desk.chance.choice(names)
            await CHANGES[name](desk)
            told.tries[name] += 1
            await _look(lines, desk, told, name)
            if desk.revoked:
                await desk.enrol()


async def _expiring(desk: Desk, several: Sequence[Server], told: Told, count: int) -> None:
    await desk.furnish()
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(server.url)) for server in several]
        for _ in range(count):
            await _expire(lines, desk, told)


async def _look(lines: Sequence[Line], desk: Desk, told: Told, after: str) -> None:
    """All servers at once; the order of the answers is nobody's."""
    for seen in await asyncio.gather(*(_asked(each, desk, told) for each in lines)):
        told.reads += 1
        if seen != desk.expected:
            told.stale.append(f"{desk.name}: {after} was acknowledged, and the answer was {_named(seen)}, not {_named(desk.expected)}")


async def _expire(lines: Sequence[Line], desk: Desk, told: Told) -> None:
    """A value that is over during the next seconds is not handed over from then on, by nobody who has kept it either."""
    await desk.expire()
    async with asyncio.timeout(LIFE_SECONDS + 5):
        while desk.expected[0] == 200 and time.time() < desk.expires - 0.05:
            for each in lines:
                began = time.time()
                status, _, _, _ = await _asked(each, desk, told)
                if status != 200 and began < desk.expires - 0.05 and time.time() < desk.expires:
                    told.stale.append(f"{desk.name}: refused before its time")
            await asyncio.sleep(PAUSE)
        while desk.expected[0] == 200:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE)
    await _look(lines, desk, told, "expire")
    told.expired += 1


@asynccontextmanager
async def _beside(several: Sequence[Server], desk: Desk, told: Told) -> AsyncIterator[None]:
    """Others ask for the same all the time meanwhile, at all servers: so each of them has kept what it has read."""

    async def ask(url: str) -> None:
        async with line(url) as own:
            while True:
                await _asked(own, desk, told)
                told.beside += 1
                await asyncio.sleep(PAUSE)

    tasks = [asyncio.create_task(ask(server.url)) for server in several]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                told.wrong.append(f"who asked beside it broke: {type(ended).__name__}")


async def _asked(own: Line, desk: Desk, told: Told) -> Answer:
    status, body = await own.ask(desk.token)
    if status == 200:
        told.handed.append(str(body["provision_id"]))
    return _seen(status, body)


def _seen(status: int, body: dict[str, Any]) -> Answer:
    if status != 200:
        return status, None, None, None
    return status, body["registry_auth"]["password"], body["image"]["reference"].rpartition(":")[2], body["user_data"]


def _named(answer: Answer) -> str:
    """Without the value that expires, which is long."""
    return " / ".join(str(part)[:30] for part in answer)


async def _all_at_once(story: Story, several: Sequence[Server], alice: Any, seconds: float, chance: random.Random) -> None:
    await enrol(alice, story, "temporary-0")
    urls = [server.url for server in several]
    tasks = [asyncio.create_task(work) for work in [*everybody(urls, alice, story, 0, chance), stay_signed_in(alice, urls[0])]]
    _, running = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in running:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    await ask_once_more(urls, story)


def main() -> int:
    """Do it for long and say what was seen; 1 when anything was stale or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.two_processes", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="changes")
    parser.add_argument("--seconds", type=float, default=60.0, help="of everybody at once")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fault", default="", help="put it into the last of them (tests/battery/faulty.py)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="two-processes-") as name, postgresql_cluster() as cluster:
        told = asyncio.run(two_processes(Path(name), cluster, **options))
    story = told.story
    acknowledged = sum(write.acknowledged is not None for write in story.writes)
    print(
        f"{told.tries.total():,} changes ({', '.join(f'{name} {number:,}' for name, number in sorted(told.tries.items()))}), {told.reads:,}"
        f" looks at once after them, {told.beside:,} hand-overs beside them, {told.expired} values that expired: {len(told.stale)} stale;"
        f" all at once: {acknowledged:,} acknowledged changes, {len(story.reads):,} reads, {len(story.handed):,} hand-overs:"
        f" {len(told.wrong)} violations (seed {options['seed']})",
        *told.stale[:20],
        *told.wrong[:20],
        sep="\n",
    )
    return 1 if told.stale or told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
