"""A long command tells the other end of the control socket how far it is."""

import asyncio
from pathlib import Path

import pytest

from tests.personas import settings_in
from webapp.actor import Actor
from webapp.command import DONE, Command, Outcome, Progress
from webapp.commands import LONG_COMMANDS
from webapp.control import control_socket, run_command
from webapp.store import Store, open_store

pytestmark = pytest.mark.anyio


async def test_a_long_command_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rotating(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
        for done in range(1000):
            progress(done, 1000)
        progress(1000, 1000)
        return Outcome(DONE, "done\n")

    monkeypatch.setitem(LONG_COMMANDS, "rotate-key", rotating)
    told: list[tuple[int, int]] = []
    async with open_store(settings_in(tmp_path)) as store, control_socket(store):
        outcome = await asyncio.to_thread(run_command, store.settings, Command("rotate-key"), progress=lambda *where: told.append(where))
    assert outcome == Outcome(DONE, "done\n")
    assert told[0] == (0, 1000)
    assert told[-1] == (1000, 1000)
    assert len(told) < 10, "not at every value"
