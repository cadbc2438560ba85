"""A house that nobody has set up yet, and a vault without a house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.personas import House, Persona, TestClock, settings_in
from webapp.app import create_app
from webapp.store import open_store
from webapp.vault import RootKey, Secret, Vault, new_keyring, open_keyring

NOBODY = Persona("nobody", "viewer", "", "")


@pytest.fixture
async def empty_house(tmp_path: Path, anyio_backend: str, engine: Engine, hashing: None) -> AsyncIterator[House]:
    """The application, running, without an account and without a member."""
    clock = TestClock()
    async with AsyncExitStack() as stack:
        settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
        store = await stack.enter_async_context(open_store(settings, clock=clock, first=True))
        app = create_app(settings, store=store)
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield House(settings, store, app, clock, NOBODY, NOBODY, NOBODY, NOBODY, stack, engine)


@pytest.fixture(scope="session")
def vault() -> Vault:
    """Keys of an installation that has nothing else: for what is only counted over."""
    root, instance = RootKey(Secret(b"r" * 32), "/keys/root.key"), "0" * 32
    return Vault(open_keyring(new_keyring(root, instance, 0), root, instance), instance)
