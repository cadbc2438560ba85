"""Guessing gets slower and slower, and nobody is ever locked out."""

import pytest

from tests.personas import TestClock
from webapp.accounts.throttle import FREE, LONGEST_DELAY, Kind, Throttle, delay_after
from webapp.clock import HOUR, MINUTE, SECOND
from webapp.errors import TooMany
from webapp.network import network_of

ANA: tuple[Kind, str] = ("account", "ana@example.com")


def guesses(throttle: Throttle, clock: TestClock, *subjects: tuple[Kind, str], within: int) -> int:
    """How many guesses somebody has who tries as soon as it is let, in so many milliseconds."""
    end, count = clock.now + within, 0
    while clock.now < end:
        try:
            throttle.begin(subjects)
            count += 1
        except TooMany as refused:
            clock.advance(refused.retry_after * SECOND)
    return count


def test_the_first_failures_cost_nothing_and_then_the_delay_doubles() -> None:
    assert [delay_after(n, 3) // SECOND for n in range(15)] == [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert delay_after(10**9, 3) == LONGEST_DELAY


def test_strangers_have_at_most_twenty_guesses_in_any_hour() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    per_hour = [guesses(throttle, clock, ANA, within=HOUR) for _ in range(24)]
    assert per_hour[0] <= 20
    assert max(per_hour[1:]) <= 5


def test_a_pause_gains_little() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    count = 0
    for _ in range(12):
        count += guesses(throttle, clock, ANA, within=10 * MINUTE)
        clock.advance(HOUR)
    assert count / (12 * 70 / 60) <= 20


def test_it_says_when_and_a_refused_try_does_not_count() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    for _ in range(4):
        throttle.begin([ANA])
    for _ in range(50):
        with pytest.raises(TooMany, match="Wait 2 seconds") as caught:
            throttle.begin([ANA])
        assert caught.value.retry_after == 2
    clock.advance(1999)
    with pytest.raises(TooMany, match="Wait 1 second before"):
        throttle.begin([ANA])
    clock.advance(1)
    throttle.begin([ANA])


def test_many_tries_at_the_same_time_are_many() -> None:
    throttle = Throttle(TestClock())
    let_through = 0
    for _ in range(100):
        try:
            throttle.begin([ANA])
            let_through += 1
        except TooMany:
            pass
    assert let_through == FREE["account"] + 1


def test_a_success_takes_only_itself_back() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    for _ in range(8):
        clock.advance(15 * MINUTE)
        throttle.begin([ANA])
    clock.advance(15 * MINUTE)
    throttle.succeeded(throttle.begin([ANA]))
    throttle.begin([ANA])
    with pytest.raises(TooMany) as caught:
        throttle.begin([ANA])
    assert caught.value.retry_after == delay_after(9, 3) // SECOND, "strangers' failures stay"


def test_a_success_with_a_free_slate_leaves_nothing() -> None:
    throttle = Throttle(TestClock())
    for _ in range(50):
        throttle.succeeded(throttle.begin([ANA]))
    assert not throttle._failures


def test_a_device_has_an_allowance_of_its_own_and_a_success_clears_it() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    device: tuple[Kind, str] = ("device", "d1")
    guesses(throttle, clock, ANA, within=HOUR)
    for _ in range(3):
        for _ in range(3):
            throttle.begin([device])
        throttle.succeeded(throttle.begin([device]), clear=[device])


def test_the_longer_of_two_delays_counts() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    address: tuple[Kind, str] = ("address", "192.0.2.1")
    for n in range(FREE["address"] + 1):
        throttle.begin([("account", f"{n}@example.com"), address])
    with pytest.raises(TooMany):
        throttle.begin([("account", "another@example.com"), address])
    throttle.begin([("account", "another@example.com"), ("address", "192.0.2.2")])


def test_an_hour_without_a_failure_is_forgotten() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    guesses(throttle, clock, ANA, within=HOUR)
    clock.advance(HOUR)
    assert [throttle.begin([ANA]) for _ in range(4)]


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    clock = TestClock()
    throttle = Throttle(clock)
    for _ in range(4):
        throttle.begin([ANA])
    clock.advance(-48 * HOUR)
    with pytest.raises(TooMany) as caught:
        throttle.begin([ANA])
    assert caught.value.retry_after == 2


def test_memory_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    throttle = Throttle(TestClock(), most_keys=100)
    for _ in range(4):
        throttle.begin([ANA])
    for n in range(99):
        throttle.begin([("account", f"{n}@example.com")])
    with pytest.raises(TooMany):
        throttle.begin([ANA])
    for n in range(1000):
        throttle.begin([("account", f"{n}@example.org" * 1000)])
    assert len(throttle._failures) == 100
    throttle.begin([ANA])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, "?"),
        ("a-socket", "a-socket"),
    ],
)
def test_one_subscriber_is_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network
