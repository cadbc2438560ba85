"""Keys are rotated while agents read, and the server is killed in the middle of it: no read fails, no row is left behind.

`python -m tests.battery.rotations --cycles 10 --kills 20 --secrets 100000` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from array import array
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.furnish import VALUE, furnish
from e2e.server import Server, serve
from tests.battery.aftermath import left_behind, look, query, settings_of
from tests.battery.readers import Readers, percentile
from webapp.command import DONE, Command
from webapp.control import ask
from webapp.database import Batch
from webapp.ids import new_id
from webapp.secrets.named_value import seal_context
from webapp.settings import Settings
from webapp.store import open_store
from webapp.vault import Secret

CHUNK = 5_000
SLOWER = 2.0
"""How much longer than without a rotation the slowest hundredth of the reads may take."""

_SECRET = (
    "INSERT INTO secrets (id, account_id, name, name_key, description, sealed, kek_id, secret_version, version, created_at, updated_at,"
    " updated_by, replaced_at, replaced_by) VALUES (:id, :account_id, :name, :name, '', :sealed, :kek_id, 1, 1, :now, :now, 'bench',"
    " :now, 'bench')"
)


@dataclass
class Told:
    """What was seen. Times of reads are seconds."""

    quiet: "array[float]" = field(default_factory=lambda: array("d"))
    rotating: "array[float]" = field(default_factory=lambda: array("d"))
    reads: int = 0
    rotations: int = 0
    kills: int = 0
    rewrapped_in: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The p99 of reads during a rotation, by that without."""
        return percentile(self.rotating, 0.99) / (percentile(self.quiet, 0.99) or 1.0)


def fill(folder: Path, secrets: int, readers: int) -> list[str]:
    """Make a store with that many secrets, and agents that read, each with a credential of its own; returns their tokens."""
    settings, file = settings_of(folder), folder / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    furnish(settings, readers, file)
    asyncio.run(_add(settings, secrets - readers))
    return file.read_text("ascii").split()


async def _add(settings: Settings, secrets: int) -> None:
    async with open_store(settings) as store:
        account = await store.accounts.only_account_id() or ""
        for start in range(0, secrets, CHUNK):

            def write(batch: Batch, start: int = start) -> None:
                for number in range(start, min(secrets, start + CHUNK)):
                    record_id, name = new_id(), f"SECRET_{number:07}"
                    sealed = store.vault.seal(Secret(VALUE.encode()), seal_context(account, record_id, 1))
                    common: dict[str, object] = {"id": record_id, "account_id": account, "name": name, "now": store.clock()}
                    batch.write(_SECRET, {**common, "sealed": sealed.blob, "kek_id": sealed.kek_id})

            await store.database.submit(write)


class Story:
    """One store, rotated again and again."""

    def __init__(self, folder: Path, tokens: list[str], pause: float, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)  # noqa: S311  not a secret
        self._readers = Readers(tokens, b'"password":"%b"' % VALUE.encode(), pause)
        self.told = Told()

    async def tell(self, cycles: int, kills: int, quiet: float) -> Told:
        """Rotate so often; so many of the rotations' parts end with a kill. `quiet` is how long (seconds) is read before each."""
        told, stack = self.told, ExitStack()
        with stack:
            server = self._begin(stack)
            for number in range(cycles):
                await asyncio.sleep(min(quiet, 1.0))  # the first answers of a server are slow ones
                self._readers.into = told.quiet
                await asyncio.sleep(quiet)
                began = time.monotonic()
                for _ in range(-(-(kills - told.kills) // (cycles - number))):
                    if not await self._cut(server):
                        break
                    stack.close()
                    began_again = time.monotonic()
                    server = self._begin(stack)
                    told.restarts.append(time.monotonic() - began_again)
                    self._readers.into = None
                    await asyncio.sleep(min(quiet, 1.0))
                else:
                    await self._rotate(server)
                told.rotations += 1
                told.rewrapped_in.append(time.monotonic() - began)
                self._readers.into = None
                self._look()
            await self._readers.stop()
        told.reads, told.wrong = self._readers.reads, told.wrong + self._readers.failed
        if told.kills != kills:
            told.wrong.append(f"only {told.kills} kills came in the middle of a rotation")
        return told

    def _begin(self, stack: ExitStack) -> Server:
        server = stack.enter_context(serve(self._folder, WEBAPP_LOG_LEVEL="warning"))
        self._readers.start(server.url)
        return server

    async def _rotate(self, server: Server) -> None:
        self._readers.into = self.told.rotating
        outcome = await asyncio.to_thread(ask, server.data_dir, Command("rotate-key"))
        if outcome is None or outcome.exit != DONE:
            self.told.wrong.append("a rotation did not end well")

    async def _cut(self, server: Server) -> bool:
        """Rotate, and kill the server somewhere in the middle; whether that was before the rotation had ended."""
        self._readers.into = self.told.rotating
        share, later = self._chance.uniform(0, 0.6), self._chance.uniform(0, 0.1)

        def watch(done: int, total: int) -> None:
            if done >= share * total and server.process.poll() is None:
                time.sleep(later)  # the server tells it a few times a second only
                server.process.kill()
                server.process.wait()

        outcome = await asyncio.to_thread(ask, server.data_dir, Command("rotate-key"), 5.0, watch)
        if server.process.poll() is None:
            if outcome is None or outcome.exit != DONE:
                self.told.wrong.append("a rotation did not end well")
            return False
        await self._readers.stop()
        in_the_middle = "retiring" in [row[0] for row in query(self._folder, "SELECT state FROM keyring")]
        self.told.kills += in_the_middle
        return True

    def _look(self) -> None:
        if behind := left_behind(self._folder):
            self.told.wrong.append(f"{behind} rows are under a retired key")
        if states := query(self._folder, "SELECT 1 FROM keyring WHERE state = 'retiring'"):
            self.told.wrong.append(f"{len(states)} keys are not retired though their rotation has ended")


def rotations(folder: Path, *, secrets: int, readers: int, cycles: int, kills: int, quiet: float, pause: float, seed: int) -> Told:
    """Do it all, and look at the store afterwards."""
    tokens = fill(folder, secrets, readers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(Story(folder, tokens, pause, seed).tell(cycles, kills, quiet))
        told.wrong += runner.run(look(folder, ()))
    return told


def main() -> int:
    """Rotate for long and say what was seen; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.rotations", description=__doc__)
    parser.add_argument("--cycles", type=int, default=10, help="rotations")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--secrets", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--quiet", type=float, default=10.0, help="seconds of reading before each rotation")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between a reader's answer and its next question")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="rotations-") as name:
        told = rotations(Path(name), **options)
    slow = told.ratio > SLOWER
    print(
        f"{told.rotations} rotations of {options['secrets']:,} secrets, {told.kills} kills, {told.reads:,} reads (seed {options['seed']}):"
        f" {len(told.wrong)} violations; p99 {percentile(told.quiet, 0.99) * 1000:.1f} ms without,"
        f" {percentile(told.rotating, 0.99) * 1000:.1f} ms during a rotation, {told.ratio:.2f} times{' (too slow)' if slow else ''};"
        f" restart {max(told.restarts, default=0):.2f} s at the most; a rotation {max(told.rewrapped_in):.0f} s at the most",
        *told.wrong[:20],
        sep="\n",
    )
    return 1 if told.wrong or slow else 0


if __name__ == "__main__":
    sys.exit(main())
