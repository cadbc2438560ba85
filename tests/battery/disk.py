"""The disk is full at each of the first writes, in turn: no secret leaves without its row, and it goes on by itself when there is room.

`python -m tests.battery.disk --cycles 500` is the long form, with a limit on the size of files and on a file system that is full; a short
one is in the suite.
"""

import argparse
import asyncio
import http.client
import json
import random
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from e2e.server import Server, serve
from tests.battery.aftermath import look, query
from tests.battery.inside import CREDENTIAL, furnish
from tests.battery.room import Ballast, FileLimit, Room, on_a_small_file_system
from webapp.provisioning.provision_id import place_of
from webapp.provisioning.routes import PROVISION

MEGABYTES = 32
MOST_LEFT = 64 * 1024
"""Bytes that can still be written when the disk gets full: several pages, so that it is full in the middle of a transaction, too."""

SEGMENT = 40
"""Full disks between two starts of the server. Its log begins anew with it; later it would be written where the file already has room."""


@dataclass
class Figures:
    """What was seen. `failed` are the disks that somebody was told of with a 503."""

    full: int = 0
    failed: int = 0
    acknowledged: int = 0
    handed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Story:
    """A member who replaces a value and an agent who asks for it, one after the other, on a disk that is full every other time."""

    def __init__(self, folder: Path, ids: dict[str, str], seed: int) -> None:
        self._folder, self._ids = folder, ids
        self._chance = random.Random(seed)  # noqa: S311  not a secret
        self._bearer = {"Authorization": f"Bearer {ids['token']}"}
        self._value, self._number = "value-0", 0
        self.figures = Figures()

    def tell(self, server: Server, room: Room, cycles: int) -> None:
        """So many times, with this server."""
        cookies, headers = {"session": self._ids["session"]}, {"Sec-Fetch-Site": "same-origin"}
        self._room = room
        self._agent = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        with closing(self._agent), httpx2.Client(base_url=server.url, cookies=cookies, headers=headers, timeout=10) as self._member:
            for _ in range(cycles):
                self._cycle(self.figures.full + 1)

    def _cycle(self, number: int) -> None:
        figures = self.figures
        self._room.take(self._chance.choice([0, self._chance.randrange(MOST_LEFT)]))
        figures.full += 1
        try:
            work = [self._replace, self._ask, self._ask_directly]
            self._chance.shuffle(work)
            statuses = [do() for do in work]
        finally:
            self._room.give()
        figures.failed += 503 in statuses
        figures.wrong += [f"{number}: it answered with {status}" for status in statuses if status not in (200, 303, 503)]
        after = [self._replace(), self._ask(), self._ask_directly()]
        if after != [303, 200, 200]:
            figures.wrong.append(f"{number}: when there was room again, it answered with {after}")

    def _replace(self) -> int:
        self._number += 1
        value = f"value-{self._number}"
        form = {**CREDENTIAL, "password": value}
        status = self._member.post(f"/registry-credentials/{self._ids['ghcr']}", data=form).status_code
        if status == 303:
            self._value = value
            self.figures.acknowledged += 1
        return status

    def _ask(self) -> int:
        answer = self._member.get(PROVISION, headers=self._bearer)
        return self._note(answer.status_code, answer.content)

    def _ask_directly(self) -> int:
        self._agent.request("GET", PROVISION, headers=self._bearer)
        answer = self._agent.getresponse()
        return self._note(answer.status, answer.read())

    def _note(self, status: int, body: bytes) -> int:
        figures = self.figures
        if status != 200:
            if b"value-" in body:
                figures.wrong.append(f"an answer with the status {status} has a secret in it")
            return status
        document = json.loads(body)
        place = place_of(document["provision_id"])
        if not query(self._folder, f"SELECT 1 FROM audit_log WHERE at = {place.at} AND seq = {place.number} AND decision = 'allowed'"):
            figures.wrong.append(f"the hand-over {document['provision_id']} left, and has no row")
        if document["registry_auth"]["password"] != self._value:
            figures.wrong.append(f"{document['provision_id']} is not the value that was acknowledged last")
        figures.handed.append(document["provision_id"])
        return status


def disk(folder: Path, cycles: int, seed: int, *, small: bool) -> Figures:
    """So many full disks, with a limit on files, or on the `small` file system that this folder is; then the server is killed."""
    story = Story(folder, asyncio.run(furnish(folder)), seed)
    figures = story.figures
    while figures.full < cycles:
        with serve(folder, WEBAPP_LOG_LEVEL="warning") as server:
            room: Room = Ballast(folder) if small else FileLimit(server.process.pid, server.data_dir)
            story.tell(server, room, min(SEGMENT, cycles - figures.full))
            if figures.full == cycles:
                server.process.kill()
                server.process.wait()
    figures.wrong += asyncio.run(look(folder, figures.handed))
    return figures


def main() -> int:
    """Fill disks and say what was seen; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.disk", description=__doc__)
    parser.add_argument("--cycles", type=int, default=500, help="full disks")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--small", type=Path, metavar="FOLDER", help="a file system of a few megabytes: only on this one")
    options = parser.parse_args()
    if options.small is not None:
        return _say(disk(options.small, options.cycles, options.seed, small=True), "a full file system", options.seed)
    with tempfile.TemporaryDirectory(prefix="disk-") as name:
        status = _say(disk(Path(name), options.cycles, options.seed, small=False), "a limit on files", options.seed)
    with tempfile.TemporaryDirectory(prefix="disk-") as name:
        again = ["-m", "tests.battery.disk", "--small", name, "--cycles", str(options.cycles), "--seed", str(options.seed)]
        done = on_a_small_file_system(Path(name), MEGABYTES, again)
    if done is None:
        print("a full file system: SKIPPED, this user may not mount one (unshare --user --map-root-user --mount)")
        return status
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return status or done.returncode


def _say(figures: Figures, kind: str, seed: int) -> int:
    print(
        f"{kind}: full at {figures.full} writes, of which {figures.failed} were told of it with 503, {figures.acknowledged:,} acknowledged"
        f" changes, {len(figures.handed):,} hand-overs (seed {seed}): {len(figures.wrong)} violations",
        *figures.wrong[:20],
        sep="\n",
    )
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
