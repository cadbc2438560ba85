"""Backups are made while agents read: no read fails, and each backup is whole. How long the slowest reads wait for it is said.

`python -m tests.battery.backups --cycles 10` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from array import array
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.furnish import VALUE
from e2e.server import serve
from tests.battery.readers import Readers, percentile
from tests.battery.rotations import fill
from webapp.command import DONE, Command
from webapp.control import ask


@dataclass
class Told:
    """What was seen. Times are seconds."""

    quiet: "array[float]" = field(default_factory=lambda: array("d"))
    backing_up: "array[float]" = field(default_factory=lambda: array("d"))
    reads: int = 0
    size: int = 0
    took: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def backups(folder: Path, *, secrets: int, readers: int, cycles: int, quiet: float, pause: float) -> Told:
    """Make so many backups of a store with that many secrets, with so many agents reading."""
    tokens = fill(folder, secrets, readers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_tell(folder, tokens, secrets, cycles, quiet, pause))


async def _tell(folder: Path, tokens: list[str], secrets: int, cycles: int, quiet: float, pause: float) -> Told:
    told, asking = Told(), Readers(tokens, b'"password":"%b"' % VALUE.encode(), pause)
    with serve(folder, WEBAPP_LOG_LEVEL="warning") as server:
        asking.start(server.url)
        await asyncio.sleep(min(quiet, 1.0))  # the first answers of a server are slow ones
        for number in range(cycles):
            asking.into = told.quiet
            await asyncio.sleep(quiet)
            path, began = folder / f"backup-{number}.db", time.monotonic()
            asking.into = told.backing_up
            outcome = await asyncio.to_thread(ask, server.data_dir, Command("backup", {"file": str(path)}))
            asking.into = None
            told.took.append(time.monotonic() - began)
            if outcome is None or outcome.exit != DONE:
                told.wrong.append("a backup did not end well")
                continue
            told.size = max(told.size, path.stat().st_size)
            told.wrong += await asyncio.to_thread(_wrong, path, secrets)
            path.unlink()
        await asking.stop()
    told.reads, told.wrong = asking.reads, told.wrong + asking.failed
    return told


def _wrong(path: Path, secrets: int) -> list[str]:
    """A sentence for each thing that a backup has not."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as copy:
        (stored,) = copy.execute("SELECT (SELECT count(*) FROM secrets) + (SELECT count(*) FROM registry_credentials)").fetchone()
        rows, last = copy.execute("SELECT count(*), max(seq) FROM audit_log").fetchone()
    return ["a backup lacks secrets"] * (stored < secrets) + ["a backup lacks rows of the audit log"] * (rows != last)


def main() -> int:
    """Back up again and again, and say what was seen; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.backups", description=__doc__)
    parser.add_argument("--cycles", type=int, default=10, help="backups")
    parser.add_argument("--secrets", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds of reading before each backup")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between a reader's answer and its next question")
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="backups-") as name:
        told = backups(Path(name), **options)
    print(
        f"{len(told.took)} backups of {options['secrets']:,} secrets ({told.size / 2**20:.0f} MiB, {max(told.took):.1f} s at the most),"
        f" {told.reads:,} reads: {len(told.wrong)} violations; p99 {percentile(told.quiet, 0.99) * 1000:.1f} ms without,"
        f" {percentile(told.backing_up, 0.99) * 1000:.1f} ms during a backup",
        *told.wrong[:20],
        sep="\n",
    )
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
