"""What was refused is recorded, and nobody can fill the disk by being refused."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import bearer, enrolled, provision
from webapp.actor import Actor
from webapp.chain import Event
from webapp.clock import MINUTE, SECOND
from webapp.errors import TooMany, Unavailable
from webapp.web.denials import MOST_ADDRESSES, MOST_UNKNOWN, Denials

pytestmark = pytest.mark.anyio


@dataclass
class Timers:
    """What the event loop was asked to do in a minute; `pass_by` lets that minute pass."""

    waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = field(default_factory=list)

    async def pass_by(self) -> None:
        due, self.waiting = self.waiting, []
        for callback, arguments in due:
            callback(*arguments)
        await asyncio.sleep(0)  # what they began has its turn


@pytest.fixture
async def timers(house: House, monkeypatch: pytest.MonkeyPatch) -> Timers:
    """The timers of a minute, in the test's hand; all others are the loop's as ever."""
    held = Timers()
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(delay: float, callback: Callable[..., Any], *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        if delay == MINUTE / 1000:
            held.waiting.append((callback, arguments))
        return later(delay, callback, *arguments, **named)

    monkeypatch.setattr(loop, "call_later", call_later)
    return held


def agent(house: House, accessor: str = "AAAA000011112222") -> Actor:
    return Actor(house.alice.account_id, "agent", "agent-1", "rack1", accessor=accessor, address="198.51.100.9")


def refusal(reason: str = "the token is revoked") -> Event:
    return Event("token.refuse", "agent", "agent-1", "rack1", decision="denied", detail=reason)


async def details(house: House, action: str = "token.refuse") -> list[object]:
    return [row["detail"] for row in await house.audit() if row["action"] == action]


@pytest.fixture
async def denials(house: House) -> Denials:
    return Denials(house.store.chain, house.clock)


async def test_many_refusals_are_one_row_and_one_summary_a_minute(house: House, denials: Denials, timers: Timers) -> None:
    for _ in range(1000):
        await denials.known(agent(house), refusal())
    assert await details(house) == ["the token is revoked"]
    await timers.pass_by()
    await denials.known(agent(house), refusal())
    await denials.close()
    assert await details(house) == [
        "the token is revoked",
        "the token is revoked; 999 more in the minute that followed",
        "the token is revoked",
    ]
    assert {(row["actor_label"], row["accessor"], row["address"], row["decision"]) for row in await house.audit()} == {
        ("rack1", "AAAA000011112222", "198.51.100.9", "denied")
    }


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_minute_without_another_refusal_needs_no_summary(house: House, denials: Denials, timers: Timers) -> None:
    await denials.known(agent(house), refusal())
    await timers.pass_by()
    await denials.close()
    assert await details(house) == ["the token is revoked"]
    assert timers.waiting == []


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_each_accessor_and_each_reason_is_told_of_itself(house: House, denials: Denials) -> None:
    for _ in range(2):
        await denials.known(agent(house), refusal())
        await denials.known(agent(house), refusal("the token has expired"))
        await denials.known(agent(house, "BBBB000011112222"), refusal())
    await denials.close()
    written = [(row["accessor"], row["detail"]) for row in await house.audit()]
    assert sorted(written[3:]) == sorted((accessor, f"{reason}; 1 more in the minute that followed") for accessor, reason in written[:3])


async def test_the_summaries_are_written_when_the_program_ends(house: House, denials: Denials) -> None:
    for _ in range(3):
        await denials.known(agent(house), refusal())
    await denials.close()
    assert await details(house) == ["the token is revoked", "the token is revoked; 2 more in the minute that followed"]
    await denials.close()
    assert len(await details(house)) == 2


async def test_many_at_the_same_time_are_one_row(house: House, denials: Denials) -> None:
    await asyncio.gather(*(denials.known(agent(house), refusal()) for _ in range(50)))
    assert len(await details(house)) == 1
    await denials.close()
    assert (await details(house))[1] == "the token is revoked; 49 more in the minute that followed"


async def test_a_row_that_could_not_be_written_is_written_for_the_next(house: House, denials: Denials, timers: Timers) -> None:
    await house.refuse_writes()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await denials.known(agent(house), refusal())
    await house.take_writes()
    await denials.known(agent(house), refusal())
    assert await details(house) == ["the token is revoked"]
    await denials.close()


async def test_a_summary_that_cannot_be_written_breaks_nothing(
    house: House, denials: Denials, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await denials.known(agent(house), refusal())
    await house.refuse_writes()
    await timers.pass_by()
    await denials.close()
    assert "a summary of refusals could not be written" in caplog.text
    assert len(await details(house)) == 1


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_stranger_has_twenty_tries_a_minute_and_is_told_when_again(house: House, denials: Denials) -> None:
    for _ in range(MOST_UNKNOWN):
        denials.unknown("203.0.113.5")
    for elapsed, wait in ((0, 60), (SECOND, 59), (58 * SECOND + 1, 1)):
        house.clock.advance(elapsed)
        with pytest.raises(TooMany) as caught:
            denials.unknown("203.0.113.5")
        assert caught.value.retry_after == wait
    denials.unknown("203.0.113.6")  # somebody else
    house.clock.advance(SECOND)
    for _ in range(MOST_UNKNOWN):
        denials.unknown("203.0.113.5")
    assert await house.audit() == []
    assert denials.unknown_total == 2 * MOST_UNKNOWN + 4


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_those_without_an_address_are_counted_together(denials: Denials) -> None:
    for _ in range(MOST_UNKNOWN):
        denials.unknown(None)
    with pytest.raises(TooMany):
        denials.unknown(None)


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_log_has_one_line_a_minute_and_address(house: House, denials: Denials, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "webapp.web.denials")
    for address in ("203.0.113.5", "203.0.113.6"):
        for _ in range(MOST_UNKNOWN):
            denials.unknown(address)
    assert len(caplog.records) == 2
    house.clock.advance(MINUTE)
    denials.unknown("203.0.113.5")
    assert len(caplog.records) == 3
    assert "'in_all': 41" in caplog.text


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_memory_is_bounded_and_the_oldest_is_forgotten_first(denials: Denials) -> None:
    for number in range(MOST_ADDRESSES + 100):
        denials.unknown(f"2001:db8:0:{number:x}::1")
    assert len(denials._addresses) == MOST_ADDRESSES
    assert "2001:db8::" not in denials._addresses
    assert f"2001:db8:0:{MOST_ADDRESSES + 99:x}::" in denials._addresses


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_one_subscribers_ipv6_addresses_count_as_one(denials: Denials) -> None:
    for number in range(MOST_UNKNOWN):
        denials.unknown(f"2001:db8::{number:x}")
    with pytest.raises(TooMany):
        denials.unknown("2001:db8::ffff")
    denials.unknown("2001:db8:0:1::1")


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_program_that_guesses_gets_a_problem_and_a_time(house: House) -> None:
    client = await house.client()
    answers = [await client.get("/api/v1/provision", headers=bearer("rc_a_guess")) for _ in range(MOST_UNKNOWN + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {401}
    refused = answers[-1]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"].endswith("/too-many-requests")
    assert await house.audit() == []


async def test_guesses_do_not_shut_out_the_agent_behind_the_same_address(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    client = await house.client()
    for _ in range(MOST_UNKNOWN + 5):
        await client.get("/api/v1/provision", headers=bearer("rc_a_guess"))
    assert (await provision(house, token)).status_code == 409, "it is let in; there is no image yet"


async def test_a_viewer_who_tries_again_and_again_is_one_row(house: House, bob: httpx2.AsyncClient) -> None:
    for path in ("/images", "/registry-credentials") * 5:
        assert (await bob.post(path, data={"name": "x"})).status_code == 403
    assert await details(house, "request.refuse") == ["a viewer may not edit"]
    await house.app.state.denials.close()
    assert (await details(house, "request.refuse"))[1] == "a viewer may not edit; 9 more in the minute that followed"


async def test_an_agent_without_an_image_that_asks_again_and_again_is_one_row(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    for _ in range(10):
        assert (await provision(house, token)).status_code == 409
    assert await details(house, "registry_credential.release") == ["no-image"]
