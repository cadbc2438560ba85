"""A second process's part: the same store opened once more, with an application of its own. Only PostgreSQL lets anybody."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.personas import House
from webapp import keyring_watch
from webapp.app import create_app
from webapp.store import open_store

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
"""For a file, or a test, that is about several processes."""


@pytest.fixture
async def neighbour(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The house's store and application as another process has them. It looks at the keyring when it is asked to, and not by itself."""
    monkeypatch.setattr(keyring_watch, "PERIOD", 3600.0)
    monkeypatch.setattr(keyring_watch, "STALE", 3600.0)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(house.settings, clock=house.clock))
        app = create_app(house.settings, store=store)
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield replace(house, store=store, app=app, stack=stack)
