"""The process dies, or is told of a failed disk, at each boundary of what it writes: nothing is lost, nothing leaves without its row.

`python -m tests.battery.failpoints` tries every boundary of every step in three ways, and `--cycles 10` ten of each step.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from tests.battery.aftermath import MEMORY
from tests.battery.boundaries import Act, Boundaries
from tests.battery.inside import CREDENTIAL, Inside, furnish, inside
from tests.battery.recovery import NOBODY, recovered
from webapp.audit import retention
from webapp.audit.retention import cut
from webapp.chain import Event
from webapp.errors import Unavailable

Step = Callable[[Inside], Awaitable[int]]
retention.CHUNK = 5  # so that a few rows are several chunks
_WELL = (200, 201, 303, 503)


async def _enrol(house: Inside) -> int:
    header = {"Authorization": f"Bearer {house.ids['bootstrap']}"}
    answer = await house.client.post("/api/v1/enroll", json={"name": "rack2"}, headers=header)
    house.say(page=answer.status_code, acknowledged={"agent": "rack2"} if answer.status_code == 201 else {})
    return answer.status_code


async def _rack(house: Inside) -> int:
    """Several agents at once are one batch."""
    return max(await asyncio.gather(*(house.hand_over_directly() for _ in range(3))))


async def _abandon(house: Inside) -> int:
    """A transaction that has written its row of the audit log, and is rolled back all the same."""
    try:
        async with house.store.database.transaction() as transaction:
            await house.store.chain.append(transaction, NOBODY, Event("key.rotate", "key", "0", "none"))
            raise Unavailable("made up")
    except Unavailable:
        return 503


async def _cut(house: Inside) -> int:
    """Old rows of the audit log are removed: all but the last ones."""
    store = house.store
    try:
        await cut(store.database, store.vault, store.chain, store.clock, NOBODY, store.clock() + 1, lambda done, total: None)
    except Unavailable:
        return 503
    return 200


STEPS: dict[str, Step] = {
    "abandon": _abandon,
    "create": lambda house: house.post("/registry-credentials", CREDENTIAL | {"name": "made", "password": "value-made"}, made="value-made"),
    "replace": lambda house: house.post(f"/registry-credentials/{house.ids['ghcr']}", CREDENTIAL | {"password": "value-1"}, ghcr="value-1"),
    "roll back": lambda house: house.post(f"/registry-credentials/{house.ids['kept']}/versions/1/roll-back", {}, kept="value-0"),
    "cut": _cut,
    "delete": lambda house: house.post(f"/registry-credentials/{house.ids['spare']}/delete", {"confirm": "spare"}, spare=""),
    "assign": lambda house: house.post(f"/agents/{house.ids['agent']}", {"image_id": house.ids["after"]}, image="after"),
    "enrol": _enrol,
    "hand-over": Inside.hand_over,
    "rack": _rack,
    "rotate": lambda house: house.command("rotate-key"),
    "rewrap": lambda house: house.command("rewrap-root", to=str(house.folder / "new" / "root.key")),
}
"""`start`, the first start of an empty store, is one more."""


@dataclass
class Figures:
    """What was tried, and what was wrong."""

    boundaries: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def try_once(folder: Path, ids: dict[str, str], step: str, at: int, act: Act) -> Iterator[dict[str, Any]]:
    """Do the step in a process of its own, which acts at this boundary; yields what was written down, to the last word."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600), 2)
            status = asyncio.run(_live(folder, ids, step, Boundaries(at, act), writing))
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as lines:
        yield from map(json.loads, lines)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    yield {"ended": ended}


async def _live(folder: Path, ids: dict[str, str], step: str, boundaries: Boundaries, pipe: int) -> int:
    boundaries.set_up()
    if step == "start":
        boundaries.armed = True
        async with inside(folder, ids, pipe) as house:
            house.say(boundaries=boundaries.names)
        return 0
    async with inside(folder, ids, pipe) as house:
        boundaries.armed = True
        status = await STEPS[step](house)
        boundaries.armed = False
        house.say(boundaries=boundaries.names, step=status)
        # It goes on by itself: what follows is as if nothing had been.
        house.say(after=[await house.hand_over(), await house.hand_over_directly()])
        house.say(after=[await house.post("/secrets", {"name": "LATER", "value": "value-later"}, later="value-later")])
    return 0


def boundaries_of(folder: Path, step: str) -> list[str]:
    """The names of all boundaries of the step, in their order."""
    ids = json.loads((folder / "template" / "ids").read_text())
    told = list(_fresh(folder, ids, step, 0, "kill"))
    assert told[-1]["ended"] == 0
    assert all(line["step"] in _WELL for line in told if "step" in line), f"{step} does not go well when nothing fails"
    names: list[str] = next(line["boundaries"] for line in told if "boundaries" in line)
    return names


def try_at(folder: Path, step: str, act: Act, at: int, name: str, figures: Figures) -> None:
    """Do the step on a fresh store, act at this boundary, and look at what is left."""
    ids = json.loads((folder / "template" / "ids").read_text())
    told = list(_fresh(folder, ids, step, at, act))
    assert all(len(line["boundaries"]) >= at for line in told if "boundaries" in line), f"{step} did not come to {at}"
    problems = _misbehaved(told, step, act) + asyncio.run(recovered(folder / "try", ids, told))
    figures.wrong += [f"{step}, {act} at {at} ({name}): {problem}" for problem in problems]
    figures.tries[act] = figures.tries.get(act, 0) + 1


def _fresh(folder: Path, ids: dict[str, str], step: str, at: int, act: Act) -> Iterator[dict[str, Any]]:
    place = folder / "try"
    shutil.rmtree(place, ignore_errors=True)
    if step == "start":
        place.mkdir()
        return try_once(place, {}, step, at, act)
    shutil.copytree(folder / "template", place)
    return try_once(place, ids, step, at, act)


def _misbehaved(told: list[dict[str, Any]], step: str, act: Act) -> list[str]:
    """What the process did that it must not; it must not be there any more when it was killed, and be as ever when it was not."""
    ended = told[-1]["ended"]
    if act == "kill":
        return [] if ended == -9 else [f"it was not killed, and ended with {ended}"]
    if step == "start":
        return []  # it may refuse to start
    statuses = [line["step"] for line in told if "step" in line]
    later = [status for line in told for status in line.get("after", [])]
    found = [f"the step was answered with {status}" for status in statuses if status not in _WELL]
    found += [] if later == [200, 200, 303] else [f"afterwards it answered with {later}"]
    return found + ([] if ended == 0 else [f"it ended with {ended}"])


def failpoints(folder: Path, most: int | None, seed: int) -> Figures:
    """All steps, in all ways, at every boundary, or at `most` of each step."""
    figures, chance = Figures(), random.Random(seed)  # noqa: S311  not a secret
    template = folder / "template"
    template.mkdir(parents=True)
    (template / "ids").write_text(json.dumps(asyncio.run(furnish(template))))
    for step in ("start", *STEPS):
        names = boundaries_of(folder, step)
        figures.boundaries += len(names)
        for act in get_args(Act):
            numbers = range(1, len(names) + 1)
            for at in numbers if most is None else sorted(chance.sample(numbers, min(most, len(names)))):
                try_at(folder, step, act, at, names[at - 1], figures)
    return figures


def main() -> int:
    """Try it all and say what was found; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.failpoints", description=__doc__)
    parser.add_argument("--cycles", type=int, help="only so many boundaries of each step, by chance")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="failpoints-", dir=MEMORY) as name:
        figures = failpoints(Path(name), options.cycles, options.seed)
    kinds = ", ".join(f"{act} {count}" for act, count in figures.tries.items())
    print(
        f"{sum(figures.tries.values()):,} failures ({kinds}) at the {figures.boundaries:,} boundaries of {1 + len(STEPS)} steps (seed"
        f" {options.seed}): {len(figures.wrong)} violations",
        *figures.wrong[:40],
        sep="\n",
    )
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
