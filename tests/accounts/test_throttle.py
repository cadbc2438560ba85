"""Guessing gets slower and slower, in however many processes, and nobody is ever locked out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.engines import Engine, on_postgresql, on_sqlite
from tests.personas import TestClock
from webapp.accounts import throttle as module
from webapp.accounts.throttle import FREE, LONGEST_DELAY, Kind, Throttle, delay_after
from webapp.clock import HOUR, MINUTE, SECOND
from webapp.database import Database, Row
from webapp.errors import TooMany
from webapp.vault import RootKey, Secret, Vault, new_keyring, open_keyring

pytestmark = pytest.mark.anyio

ANA: tuple[Kind, str] = ("account", "ana@example.com")
INSTANCE = "0" * 32
ROOT = RootKey(Secret(b"r" * 32), "/keys/root.key")


class Counting:
    """The database, and how many of its statements and transactions were asked for."""

    def __init__(self, database: Database) -> None:
        self.database, self.asked = database, 0

    def __getattr__(self, name: str) -> object:
        self.asked += 1
        return getattr(self.database, name)


class Place:
    """Where guesses are counted: a database, whose processes have the keys of one installation, and a clock."""

    def __init__(self, database: Database, url: str) -> None:
        self.database, self.url = database, url
        self.clock = TestClock()
        self.vault = Vault(open_keyring(new_keyring(ROOT, INSTANCE, 0), ROOT, INSTANCE), INSTANCE)

    def throttle(self, database: Database | None = None, **options: int) -> Throttle:
        """Another process's, or that of this one when it has started again."""
        return Throttle(database or self.database, self.vault, self.clock, **options)

    async def rows(self) -> list[Row]:
        """What is remembered."""
        return await self.database.fetch_all("SELECT * FROM sign_in_failures")


@pytest.fixture
async def place(engine: Engine, anyio_backend: str) -> AsyncIterator[Place]:
    url = await engine.migrated_url()
    async with AsyncExitStack() as stack:
        database = await Database.open(url)
        stack.push_async_callback(database.close)
        yield Place(database, url)


async def guesses(
    throttle: Throttle, clock: TestClock, *subjects: tuple[Kind, str], within: int, turn: Callable[[], Throttle] | None = None
) -> int:
    """How many guesses somebody has who tries as soon as it is let, in so many milliseconds; each at the process whose `turn` it is."""
    end, count = clock.now + within, 0
    while clock.now < end:
        try:
            await (turn() if turn else throttle).begin(subjects)
            count += 1
        except TooMany as refused:
            clock.advance(refused.retry_after * SECOND)
    return count


def test_the_first_failures_cost_nothing_and_then_the_delay_doubles() -> None:
    assert [delay_after(n, 3) // SECOND for n in range(15)] == [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert delay_after(10**9, 3) == LONGEST_DELAY


async def test_strangers_have_at_most_twenty_guesses_in_any_hour(place: Place) -> None:
    per_hour = [await guesses(place.throttle(), place.clock, ANA, within=HOUR) for _ in range(8)]
    assert per_hour[0] <= 20
    assert max(per_hour[1:]) <= 5


@on_postgresql
async def test_several_processes_have_no_more_guesses_than_one(place: Place) -> None:
    async with AsyncExitStack() as stack:
        others = [await Database.open(place.url) for _ in range(2)]
        for other in others:
            stack.push_async_callback(other.close)
        several = [place.throttle(database) for database in (place.database, *others)]

        def turn() -> Throttle:
            several.append(several.pop(0))
            return several[0]

        per_hour = [await guesses(several[0], place.clock, ANA, within=HOUR, turn=turn) for _ in range(3)]
        assert per_hour[0] <= 20
        assert max(per_hour[1:]) <= 5


@on_postgresql
async def test_tries_at_the_same_time_in_several_processes_are_as_many_as_they_are(place: Place) -> None:
    async with AsyncExitStack() as stack:
        other = await Database.open(place.url)
        stack.push_async_callback(other.close)
        several = [place.throttle(), place.throttle(other)]
        office: tuple[Kind, str] = ("address", "192.0.2.1")
        await asyncio.gather(*(throttle.begin([("account", f"{n}@example.com"), office]) for n in range(5) for throttle in several))
        counts = sorted(row["failures"] for row in await place.rows())
        assert counts == [2, 2, 2, 2, 2, 10]
        tries = [several[n % 2].begin([ANA]) for n in range(40)]
        let_through = [each for each in await asyncio.gather(*tries, return_exceptions=True) if not isinstance(each, BaseException)]
        assert len(let_through) == FREE["account"] + 1
        await asyncio.gather(*(throttle.succeeded(each) for throttle, each in zip(several * 2, let_through, strict=True)))
        await several[1].begin([ANA])


async def test_a_restart_forgets_nothing(place: Place) -> None:
    for _ in range(4):
        await place.throttle().begin([ANA])
    with pytest.raises(TooMany) as caught:
        await place.throttle().begin([ANA])
    assert caught.value.retry_after == 2


async def test_a_pause_gains_little(place: Place) -> None:
    count = 0
    for _ in range(6):
        count += await guesses(place.throttle(), place.clock, ANA, within=10 * MINUTE)
        place.clock.advance(HOUR)
    assert count / (6 * 70 / 60) <= 20


async def test_it_says_when_and_a_refused_try_does_not_count(place: Place) -> None:
    throttle = place.throttle()
    for _ in range(4):
        await throttle.begin([ANA])
    for _ in range(10):
        for each in (throttle, place.throttle()):
            with pytest.raises(TooMany, match="Wait 2 seconds") as caught:
                await each.begin([ANA])
            assert caught.value.retry_after == 2
    place.clock.advance(1999)
    with pytest.raises(TooMany, match="Wait 1 second before"):
        await throttle.begin([ANA])
    place.clock.advance(1)
    await throttle.begin([ANA])


async def test_many_tries_at_the_same_time_are_many(place: Place) -> None:
    throttle = place.throttle()
    tries = await asyncio.gather(*(throttle.begin([ANA]) for _ in range(50)), return_exceptions=True)
    assert [isinstance(each, TooMany) for each in tries].count(False) == FREE["account"] + 1


async def test_a_success_takes_only_itself_back(place: Place) -> None:
    throttle = place.throttle()
    for _ in range(8):
        place.clock.advance(15 * MINUTE)
        await throttle.begin([ANA])
    place.clock.advance(15 * MINUTE)
    await throttle.succeeded(await throttle.begin([ANA]))
    await throttle.begin([ANA])
    with pytest.raises(TooMany) as caught:
        await throttle.begin([ANA])
    assert caught.value.retry_after == delay_after(9, 3) // SECOND, "strangers' failures stay"


async def test_a_success_with_a_free_slate_leaves_nothing(place: Place) -> None:
    for _ in range(10):
        await place.throttle().succeeded(await place.throttle().begin([ANA]))
    assert await place.rows() == []


async def test_a_device_has_an_allowance_of_its_own_and_a_success_clears_it(place: Place) -> None:
    throttle = place.throttle()
    device: tuple[Kind, str] = ("device", "d1")
    await guesses(throttle, place.clock, ANA, within=HOUR)
    for _ in range(3):
        for _ in range(3):
            await throttle.begin([device])
        await throttle.succeeded(await throttle.begin([device]), clear=[device])
    assert len(await place.rows()) == 1


async def test_the_longer_of_two_delays_counts(place: Place) -> None:
    throttle = place.throttle()
    address: tuple[Kind, str] = ("address", "192.0.2.1")
    for n in range(FREE["address"] + 1):
        await throttle.begin([("account", f"{n}@example.com"), address])
    with pytest.raises(TooMany):
        await throttle.begin([("account", "another@example.com"), address])
    await throttle.begin([("account", "another@example.com"), ("address", "192.0.2.2")])


async def test_an_hour_without_a_failure_is_forgotten(place: Place) -> None:
    await guesses(place.throttle(), place.clock, ANA, within=HOUR)
    place.clock.advance(HOUR)
    assert [await place.throttle().begin([ANA]) for _ in range(4)]


async def test_a_clock_that_is_set_back_locks_nobody_out(place: Place) -> None:
    throttle = place.throttle()
    for _ in range(4):
        await throttle.begin([ANA])
    place.clock.advance(-48 * HOUR)
    for each in (throttle, place.throttle()):
        with pytest.raises(TooMany) as caught:
            await each.begin([ANA])
        assert caught.value.retry_after == 2
    place.clock.advance(2 * SECOND)
    await throttle.begin([ANA])
    with pytest.raises(TooMany) as caught:
        await throttle.begin([ANA])
    assert caught.value.retry_after == 4, "and forgets nothing"


async def test_a_delay_that_another_process_took_back_is_not_known_for_long(place: Place) -> None:
    here, there = place.throttle(), place.throttle()
    for _ in range(12):
        place.clock.advance(15 * MINUTE)
        attempt = await there.begin([ANA])
    with pytest.raises(TooMany):
        await here.begin([ANA])
    await there.succeeded(attempt, clear=[ANA])
    place.clock.advance(module.KNOWN_FOR)
    await here.begin([ANA])


async def test_what_is_counted_is_a_keyed_hash(place: Place) -> None:
    await place.throttle().begin([ANA, ("address", "192.0.2.1")])
    subjects = {row["subject"] for row in await place.rows()}
    assert {len(subject) for subject in subjects} == {64}
    place.vault = Vault(open_keyring(new_keyring(ROOT, INSTANCE, 0), ROOT, INSTANCE), INSTANCE)
    await place.throttle().begin([ANA, ("address", "192.0.2.1")])
    assert len(await place.rows()) == 4, "another key's are others"


async def test_a_flood_of_unknown_addresses_costs_next_to_nothing(place: Place) -> None:
    counting = Counting(place.database)
    throttle = place.throttle(counting)  # type: ignore[arg-type]
    address: tuple[Kind, str] = ("address", "192.0.2.1")
    let_through = 0
    for n in range(10_000):
        try:
            await throttle.begin([("account", f"{n}@example.org" * 20), address])
            let_through += 1
        except TooMany:
            pass
    assert let_through == FREE["address"] + 1
    assert counting.asked <= 4 * let_through
    assert len(await place.rows()) == let_through + 1


@on_sqlite  # the statements are asked on both
async def test_rows_are_bounded_and_the_oldest_are_forgotten_first(place: Place) -> None:
    throttle = place.throttle(most_rows=100)
    for _ in range(4):
        await throttle.begin([ANA])
    for n in range(90):
        place.clock.advance(1)
        await throttle.begin([("account", f"{n}@example.com")])
    with pytest.raises(TooMany):
        await place.throttle().begin([ANA])
    for n in range(200):
        place.clock.advance(1)
        await throttle.begin([("account", f"{n}@example.org" * 1000)])
        assert len(await place.rows()) <= 100 + module._SWEEP_EVERY
    assert [await throttle.begin([ANA]) for _ in range(4)]


async def test_what_is_written_in_place_of_a_row_does_not_stay(place: Place) -> None:
    throttle = place.throttle()
    for n in range(3 * module._SWEEP_EVERY):
        await throttle.begin([("account", f"{n % 32}@example.org"), ("address", f"{n}")])
        await throttle.write_in_place_of_a_row()
    assert len(await place.rows()) <= 32 + 3 * module._SWEEP_EVERY + module._SWEEP_EVERY


async def test_old_rows_are_removed_now_and_then(place: Place) -> None:
    throttle = place.throttle()
    for n in range(10):
        await throttle.begin([("account", f"{n}@example.com")])
    place.clock.advance(HOUR)
    for n in range(module._SWEEP_EVERY):
        await throttle.begin([("account", f"{n}@example.org")])
    assert len(await place.rows()) == module._SWEEP_EVERY


async def test_memory_is_bounded(place: Place) -> None:
    throttle = place.throttle(most_known=3)
    for n in range(5):
        for _ in range(FREE["account"] + 1):
            await throttle.begin([("account", f"{n}@example.com")])
        with pytest.raises(TooMany):
            await throttle.begin([("account", f"{n}@example.com")])
    assert len(throttle._known) == 3
