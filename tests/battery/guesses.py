"""Strangers guess a member's password at two servers on one PostgreSQL, from ever new addresses and as fast as they can, in real time.

Counted is how many guesses are let through; measured how long the owner's sign-in takes meanwhile, from a device that was signed in before,
and whether the time of an answer tells that an address is somebody's. `python -m tests.battery.guesses --seconds 300` is the long form; a
short one is in the suite, and an hour by a clock that is moved is in `tests/accounts/test_guesses.py`.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx2

from e2e.server import Server
from tests.battery.several import servers, settings_at
from tests.battery.story import EMAIL, PASSWORD
from tests.real.postgresql import Cluster, postgresql_cluster
from webapp.accounts.throttle import FREE, delay_after
from webapp.actor import Actor
from webapp.store import open_store
from webapp.vault import Secret

STRANGERS = 6
PAUSE = 0.05
"""Seconds between two guesses of one stranger: all of them together are some hundred guesses a second."""

OWNER_EVERY = 1.0
TRIES = FREE["account"]
"""At each address whose answers are timed: those that no delay comes before."""

MOST_RATIO = 5.0
"""How many times as long the owner's sign-in may take."""

LEAST_APART, MOST_APART = 0.4, 0.6
"""How often an answer about a member's address takes longer than one about nobody's: half of the time, when it tells nothing."""


@dataclass
class Told:
    """What was seen; times are seconds."""

    seconds: float = 0.0
    guesses: int = 0
    let_through: int = 0
    allowed: int = 0
    idle: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    """The owner's sign-ins."""
    known: list[float] = field(default_factory=list)
    unknown: list[float] = field(default_factory=list)
    after_known: list[float] = field(default_factory=list)
    after_unknown: list[float] = field(default_factory=list)
    """The next answer on the same connection: what is written after an answer is not to be told by that one either."""
    wrong: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times as long the owner's sign-in takes while strangers guess."""
        return median(self.attacked) / median(self.idle)

    @property
    def apart(self) -> tuple[float, float]:
        """How often the longer one of two answers is the one about a member: the answer itself, and the next one."""
        return share_longer(self.known, self.unknown), share_longer(self.after_known, self.after_unknown)


def allowed(seconds: float) -> int:
    """How many guesses at one account are let through in so many seconds, at the most."""
    count, at = 0, 0.0
    while at <= seconds:
        count += 1
        at += delay_after(count, FREE["account"]) / 1000
    return count


def share_longer(some: Sequence[float], others: Sequence[float]) -> float:
    """Of all pairs, the share in which the one of `some` is the longer one (Mann and Whitney's U over the number of pairs)."""
    return sum((one > other) + (one == other) / 2 for one in some for other in others) / (len(some) * len(others))


async def guesses(folder: Path, cluster: Cluster, *, seconds: float, members: int, seed: int, fault: str = "") -> Told:
    """Guess for so many seconds, and then once more at so many members and at as many who are none; with a fault in one of two servers."""
    url, told, chance = cluster.url(cluster.new_database()), Told(seconds=seconds), random.Random(seed)  # noqa: S311  not a secret
    with servers(folder, url, 2, fault, WEBAPP_TRUSTED_PROXIES="127.0.0.1") as several:
        async with _browser() as owner:
            await _move_in(several[0], owner)
            for number in range(1 + members // 5):
                told.idle.append(await _sign_in(several[number % 2], owner, told))
            await _guess(several, owner, told, chance)
        emails = [f"member-{number}@example.com" for number in range(members)]
        async with open_store(settings_at(folder, url)) as store:
            for email in emails:
                await store.members.create_admin(Actor("", "command_line", "0", "battery"), email, Secret(PASSWORD.encode()))
        await _time(several, emails, told, chance)
    told.allowed = allowed(seconds)
    if told.let_through > told.allowed:
        told.wrong.append(f"{told.let_through} guesses were let through in {seconds:g} s, and {told.allowed} may be")
    return told


@asynccontextmanager
async def _browser() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(headers={"Sec-Fetch-Site": "same-origin"}, timeout=30) as client:
        yield client


async def _move_in(server: Server, owner: httpx2.AsyncClient) -> None:
    token = server.setup_link.partition("token=")[2]
    answer = await owner.post(f"{server.url}/setup", data={"token": token, "email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 303
    await owner.post(f"{server.url}/logout")


async def _sign_in(server: Server, owner: httpx2.AsyncClient, told: Told) -> float:
    """The owner signs in, with the cookie of this device; returns how long that took."""
    began = time.perf_counter()
    answer = await owner.post(f"{server.url}/login", data={"email": EMAIL, "password": PASSWORD})
    took = time.perf_counter() - began
    if answer.status_code != 303:
        told.wrong.append(f"the owner was answered {answer.status_code}")
    await owner.post(f"{server.url}/logout")
    return took


async def _guess(several: Sequence[Server], owner: httpx2.AsyncClient, told: Told, chance: random.Random) -> None:
    until = time.monotonic() + told.seconds

    async def guess(number: int) -> None:
        async with _browser() as stranger:
            while time.monotonic() < until:
                number += 1
                fields = {"email": EMAIL, "password": f"guess {chance.random()}"}
                answer = await stranger.post(f"{several[number % 2].url}/login", data=fields, headers=_from_anywhere(chance))
                told.guesses += 1
                told.let_through += answer.status_code == 422
                if answer.status_code not in {422, 429}:
                    told.wrong.append(f"a guess was answered {answer.status_code}")
                await asyncio.sleep(PAUSE)

    async def sign_in() -> None:
        number = 0
        while time.monotonic() < until:
            told.attacked.append(await _sign_in(several[number % 2], owner, told))
            number += 1
            await asyncio.sleep(OWNER_EVERY)

    await asyncio.gather(sign_in(), *(guess(number) for number in range(STRANGERS)))


async def _time(several: Sequence[Server], emails: Sequence[str], told: Told, chance: random.Random) -> None:
    """Guess at members and at nobody in turn, and look at the clock."""
    turns = [(email, True) for email in emails] + [(f"nobody-{number}@example.com", False) for number in range(len(emails))]
    turns *= TRIES
    chance.shuffle(turns)
    async with AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(_browser()) for _ in several]
        for number, (email, is_known) in enumerate(turns):
            server, stranger = several[number % len(several)], strangers[number % len(several)]
            began = time.perf_counter()
            answer = await stranger.post(f"{server.url}/login", data={"email": email, "password": "guess"}, headers=_from_anywhere(chance))
            between = time.perf_counter()
            await stranger.get(f"{server.url}/livez")
            ended = time.perf_counter()
            (told.known if is_known else told.unknown).append(between - began)
            (told.after_known if is_known else told.after_unknown).append(ended - between)
            if answer.status_code != 422:
                told.wrong.append(f"a guess that was to be timed was answered {answer.status_code}")


def _from_anywhere(chance: random.Random) -> dict[str, str]:
    """An address that nobody has come from: the servers believe what a proxy on this machine says."""
    return {"X-Forwarded-For": f"2001:db8:{chance.getrandbits(16):x}:{chance.getrandbits(16):x}::1"}


def main() -> int:
    """Do it for long and say what was seen; 1 when too many were let through, the owner was kept waiting, or a time tells something."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.guesses", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--members", type=int, default=150, help="whose answers are timed")
    parser.add_argument("--fault", default="", help="put it into the last server (tests/battery/faulty.py)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="guesses-") as name, postgresql_cluster() as cluster:
        told = asyncio.run(guesses(Path(name), cluster, **options))
    apart = told.apart
    if told.ratio > MOST_RATIO:
        told.wrong.append("the owner was kept waiting")
    told.wrong += [f"times tell who is a member: {share:.2f}" for share in apart if not LEAST_APART <= share <= MOST_APART]
    print(
        f"{told.guesses:,} guesses at one account in {told.seconds:g} s at two servers: {told.let_through} let through,"
        f" {told.allowed} may be; the owner's {len(told.attacked)} sign-ins took {median(told.attacked) * 1000:.0f} ms,"
        f" {median(told.idle) * 1000:.0f} ms before:"
        f" {told.ratio:.2f} times; {len(told.known)} answers about members took {median(told.known) * 1000:.1f} ms, those about nobody"
        f" {median(told.unknown) * 1000:.1f} ms, and were the longer ones in {apart[0]:.2f} of all pairs, the answers after them in"
        f" {apart[1]:.2f}: {len(told.wrong)} violations (seed {options['seed']})",
        *told.wrong[:20],
        sep="\n",
    )
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
