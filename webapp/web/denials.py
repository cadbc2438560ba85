"""Recording what was refused, so that it can be seen and no stranger can fill the disk with it.

A known accessor (a session, a revoked token): one audit row, then one summary row a minute for each
accessor and reason. An unknown token: no row but a counter, a throttled log line, and a refusal
beyond 20 a minute an address.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import MINUTE, Clock
from webapp.errors import TooMany, Unavailable
from webapp.log import get_logger
from webapp.network import network_of

_logger = get_logger(__name__)

MOST_UNKNOWN = 20
"""Unknown tokens a minute and address."""

MOST_ADDRESSES = 10_000
"""How many addresses are remembered; the oldest is forgotten first."""


@dataclass(slots=True)
class _Repeats:
    actor: Actor
    event: Event
    count: int
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class _Window:
    since: int
    count: int


class Denials:
    """Counts refusals in memory; one for the process."""

    def __init__(self, chain: AuditChain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._repeats: dict[tuple[str, str], _Repeats] = {}
        self._addresses: OrderedDict[str, _Window] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.unknown_total = 0

    async def known(self, actor: Actor, event: Event) -> None:
        """Record the refusal of somebody who is known. Raises Unavailable when the first row cannot be written."""
        key = (actor.accessor or actor.id, f"{event.action} {event.detail or ''}")
        repeats = self._repeats.get(key)
        if repeats is not None:
            repeats.count += 1
            return
        timer = asyncio.get_running_loop().call_later(MINUTE / 1000, self._summarise_later, key)
        self._repeats[key] = _Repeats(actor, event, 0, timer)
        try:
            await self._chain.append_and_commit(actor, event)
        except Unavailable:
            # There is no row yet to add a summary to: the next refusal has to write one.
            timer.cancel()
            self._repeats.pop(key, None)
            raise

    def unknown(self, address: str | None) -> None:
        """Count a token that nobody knows. Raises TooMany beyond 20 a minute from one address."""
        self.unknown_total += 1
        now = self._clock()
        key = network_of(address)
        window = self._addresses.get(key)
        if window is None or now - window.since >= MINUTE:
            window = _Window(now, 0)
            self._addresses[key] = window
            self._addresses.move_to_end(key)
            if len(self._addresses) > MOST_ADDRESSES:
                self._addresses.popitem(last=False)
            _logger.warning(
                "an unknown token was refused; further ones from this address are counted for a minute",
                address=key,
                in_all=self.unknown_total,
            )
        window.count += 1
        if window.count > MOST_UNKNOWN:
            wait = max(1, (window.since + MINUTE - now + 999) // 1000)
            raise TooMany("Too many unknown tokens came from this address. Wait before the next try.", int(wait))

    async def close(self) -> None:
        """Write the summaries that are still to come."""
        for key, repeats in list(self._repeats.items()):
            repeats.timer.cancel()
            await self._summarise(key)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _summarise_later(self, key: tuple[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._summarise(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _summarise(self, key: tuple[str, str]) -> None:
        repeats = self._repeats.pop(key, None)
        if repeats is None or repeats.count == 0:
            return
        summary = replace(repeats.event, detail=f"{repeats.event.detail or 'refused'}; {repeats.count} more in the minute that followed")
        try:
            await self._chain.append_and_commit(repeats.actor, summary)
        except Exception as error:
            _logger.error("a summary of refusals could not be written", error=type(error).__name__)
