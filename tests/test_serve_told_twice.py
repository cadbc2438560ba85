"""A start of `serve` that is told to end, by a signal of its own and by its parent: it closes what it has opened, however often."""

import asyncio
import socket

import pytest

from webapp.processes import Parent
from webapp.serve import _ends_when_told

pytestmark = pytest.mark.anyio


async def test_a_start_that_is_told_twice_closes_what_it_has_opened() -> None:
    ours, theirs = socket.socketpair()
    opened, closing, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def start() -> None:
        with _ends_when_told(Parent(theirs)):
            try:
                opened.set()
                await asyncio.Event().wait()
            finally:
                closing.set()
                await asyncio.to_thread(ours.send, b".")
                for _ in range(10):  # turns of the event loop, in which it is heard
                    await asyncio.sleep(0)
                closed.set()

    with ours, theirs:
        task = asyncio.create_task(start())
        await opened.wait()
        ours.send(b".")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closing.is_set()
        assert closed.is_set()
