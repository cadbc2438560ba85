"""While slow, silent, huge and malformed requests come from all sides, other clients are answered, and the server's memory stays as it was.

`python -m tests.battery.abuse --seconds 120 --hold 80` is the long form; a short one is in the suite. The abusers are in a process of their
own (`abusers.py`). In the end they are stopped with their connections open, and the server lets go of each.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvloop

from bench.furnish import EMAIL, PASSWORD, VALUE, furnish
from e2e.server import Server, serve
from tests.battery.aftermath import settings_of
from tests.battery.readers import Readers, percentile

MOST_P99 = 0.5
"""Seconds."""
MOST_GROWN = 64.0
"""MiB."""
PAGES = ("/registry-credentials", "/images", "/agents", "/audit", "/settings")
KINDS = ("silent", "slow_head", "slow_body", "unread", "large", "flood")


@dataclass
class Told:
    """What was seen. Times are seconds, memory is MiB."""

    hand_overs: "array[float]" = field(default_factory=lambda: array("d"))
    pages: "array[float]" = field(default_factory=lambda: array("d"))
    quiet_hand_overs: "array[float]" = field(default_factory=lambda: array("d"))
    quiet_pages: "array[float]" = field(default_factory=lambda: array("d"))
    rss_before: float = 0.0
    rss_most: float = 0.0
    pss_before: float = 0.0
    pss_most: float = 0.0
    sockets_before: int = 0
    sockets_most: int = 0
    abused: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def grown(self) -> float:
        """MiB that the server's memory has grown by: of RSS and PSS what has grown more."""
        return max(self.rss_most - self.rss_before, self.pss_most - self.pss_before)


class Story:
    """One server, its clients and its abusers."""

    def __init__(self, server: Server, tokens: list[str], pause: float) -> None:
        self._server, self._pause = server, pause
        self._readers = Readers(tokens, b'"password":"%b"' % VALUE.encode(), pause)
        self._tokens = len(tokens)
        self._into: array[float] | None = None
        self.told = Told()

    async def tell(self, *, slow: int, large: int, floods: int, loaders: int, quiet: float, seconds: float, hold: float) -> Told:
        """Ask in quiet and then beside the abusers, for so many seconds each; they stand still for `hold` seconds in the end."""
        told = self.told
        async with httpx2.AsyncClient(base_url=self._server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
            answer = await client.post("/login", data={"email": EMAIL, "password": PASSWORD})
            assert answer.status_code == 303, answer.status_code
            alone = self._sockets()
            self._readers.start(self._server.url)
            await self._wait(lambda sockets: sockets >= alone + self._tokens, 30)
            loading = [asyncio.create_task(self._load(client, number)) for number in range(loaders)]
            await asyncio.sleep(min(quiet, 2.0))  # the first answers of a server are slow ones
            self._readers.into, self._into = told.quiet_hand_overs, told.quiet_pages
            await asyncio.sleep(quiet)
            self._readers.into = self._into = None
            told.rss_before, told.pss_before = self._memory()
            told.sockets_before = self._sockets()
            abusers = self._abusers(slow, large, floods)
            try:
                await self._wait(lambda sockets: sockets >= told.sockets_before + slow * 9 // 10, 30)
                self._readers.into, self._into = told.hand_overs, told.pages
                await self._watch(seconds)
                if hold:
                    abusers.send_signal(signal.SIGSTOP)
                    await self._watch(hold)
                    self._expect_sockets("the server did not let go of those that stood still")
            finally:
                self._end(abusers)
            self._readers.into = self._into = None
            await self._wait(lambda sockets: sockets <= told.sockets_before, 5)
            self._expect_sockets("the abusers' connections are still open")
            if self._readers.asking != self._tokens:
                told.wrong.append(f"{self._tokens - self._readers.asking} of {self._tokens} agents lost their connection")
            for task in loading:
                task.cancel()
            for result in await asyncio.gather(*loading, return_exceptions=True):
                if isinstance(result, Exception):
                    told.wrong.append(f"a page was not loaded: {result!r}")
            await self._readers.stop()
        told.wrong += self._readers.failed
        return told

    async def _load(self, client: httpx2.AsyncClient, number: int) -> None:
        for turn in range(number, 1_000_000):
            into, began = self._into, time.perf_counter()
            answer = await client.get(PAGES[turn % len(PAGES)])
            if into is not None and into is self._into:
                into.append(time.perf_counter() - began)
            if answer.status_code != 200:
                self.told.wrong.append(f"a page was answered with {answer.status_code}")
            await asyncio.sleep(self._pause)

    async def _watch(self, seconds: float) -> None:
        told, end = self.told, time.monotonic() + seconds
        while time.monotonic() < end:
            rss, pss = self._memory()
            told.rss_most, told.pss_most = max(told.rss_most, rss), max(told.pss_most, pss)
            told.sockets_most = max(told.sockets_most, self._sockets())
            await asyncio.sleep(0.25)

    def _memory(self) -> tuple[float, float]:
        lines = Path(f"/proc/{self._server.process.pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
        return sizes["Rss"], sizes["Pss"]

    def _sockets(self) -> int:
        """Sockets: of other files the store opens more when more is asked of it."""
        sockets = 0
        for each in Path(f"/proc/{self._server.process.pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                sockets += str(each.readlink()).startswith("socket:")
        return sockets

    async def _wait(self, enough: Callable[[int], bool], seconds: float) -> None:
        """Wait for the server to have so many files open, but not longer than so many seconds."""
        end = time.monotonic() + seconds
        while not enough(self._sockets()) and time.monotonic() < end:  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.05)

    def _expect_sockets(self, otherwise: str) -> None:
        if (now := self._sockets()) > self.told.sockets_before:
            self.told.wrong.append(f"{otherwise}: {now} sockets are open, and {self.told.sockets_before} were")

    def _abusers(self, slow: int, large: int, floods: int) -> subprocess.Popen[str]:
        numbers = [str(each) for each in (slow, large, floods)]
        command = [sys.executable, "-m", "tests.battery.abusers", self._server.url, *numbers]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _end(self, abusers: "subprocess.Popen[str]") -> None:
        abusers.send_signal(signal.SIGCONT)
        abusers.terminate()
        try:
            said, _ = abusers.communicate(timeout=30)
            self.told.abused = json.loads(said or "{}")
        except subprocess.TimeoutExpired:
            abusers.kill()
            abusers.communicate()
            self.told.wrong.append("the abusers did not end")


def abuse(folder: Path, *, agents: int, pause: float, **sizes: float) -> Told:
    """Do it all, and look at the server's log and end."""
    file = folder / "tokens"
    furnish(settings_of(folder), agents, file)
    with serve(folder, WEBAPP_LOG_LEVEL="info") as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(Story(server, file.read_text().split(), pause).tell(**sizes))  # type: ignore[arg-type]  # whole numbers are
        server.process.terminate()
        if (ended := server.process.wait(20)) != 0:
            told.wrong.append(f"the server ended with {ended}")
        log = server.log.read_text()
    told.wrong += [
        f"the log has: {line[:200]}" for line in log.splitlines() if " ERROR " in line or " CRITICAL " in line or "Traceback" in line
    ]
    told.wrong += [f"nobody was a {kind}" for kind in KINDS if f"{kind} began" not in told.abused]
    told.wrong += [f"{seen}: {times}" for seen, times in told.abused.items() if " 5" in seen or seen.startswith("broke")]
    return told


def too_much(told: Told) -> list[str]:
    """What is beyond the limits."""
    slow = {"hand-overs": percentile(told.hand_overs, 0.99), "pages": percentile(told.pages, 0.99)}
    found = [f"the p99 of {what} is {seconds * 1000:.0f} ms" for what, seconds in slow.items() if seconds > MOST_P99]
    return found + ([f"the memory grew by {told.grown:.0f} MiB"] if told.grown > MOST_GROWN else [])


def main() -> int:
    """Be abused for long and say what was seen; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.abuse", description=__doc__)
    parser.add_argument("--slow", type=int, default=100, help="slow connections: silent, heads and bodies byte by byte, unread answers")
    parser.add_argument("--large", type=int, default=50, help="clients that send 10 MiB")
    parser.add_argument("--floods", type=int, default=10, help="clients that send what parsers have stumbled over")
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--loaders", type=int, default=5, help="signed-in browsers")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between an answer and the next question")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds of asking before the abuse")
    parser.add_argument("--seconds", type=float, default=120.0, help="of abuse")
    parser.add_argument("--hold", type=float, default=80.0, help="seconds in which the abusers stand still, with their connections open")
    with tempfile.TemporaryDirectory(prefix="abuse-") as name:
        told = abuse(Path(name), **vars(parser.parse_args()))
    beyond = too_much(told)
    abuses = sum(times for seen, times in told.abused.items() if seen.endswith(" began"))
    print(
        f"{abuses:,} abuses, {len(told.hand_overs):,} hand-overs and {len(told.pages):,} pages beside them:"
        f" {len(told.wrong) + len(beyond)} violations",
        f"hand-overs p99 {percentile(told.hand_overs, 0.99) * 1000:.1f} ms ({percentile(told.quiet_hand_overs, 0.99) * 1000:.1f} in quiet),"
        f" pages p99 {percentile(told.pages, 0.99) * 1000:.1f} ms ({percentile(told.quiet_pages, 0.99) * 1000:.1f} in quiet)",
        f"RSS {told.rss_before:.0f} MiB, at most {told.rss_most:.0f}; PSS {told.pss_before:.0f} MiB, at most {told.pss_most:.0f};"
        f" sockets {told.sockets_before}, at most {told.sockets_most}",
        ", ".join(f"{seen}: {times:,}" for seen, times in sorted(told.abused.items())),
        *beyond,
        *told.wrong[:20],
        sep="\n",
    )
    return 1 if told.wrong or beyond else 0


if __name__ == "__main__":
    sys.exit(main())
