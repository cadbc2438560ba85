"""A store on disk for synchronous code: one event loop for all, and a furnished template that is copied instead of made anew."""

import asyncio
import atexit
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from tests.personas import Persona, TestClock, password_hash, settings_in
from webapp.accounts.member import member_mac
from webapp.agents.bootstrap_token import LONGEST
from webapp.ids import new_id
from webapp.provisioning.activity import Activity
from webapp.provisioning.provision import Parts
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import Token, parse


@cache
def loop() -> asyncio.Runner:
    """The one event loop of this process's batteries."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


@dataclass(frozen=True)
class Template:
    """A store that was made once: alice's account with a bootstrap token, and charlie's, which has nothing."""

    folder: Path
    alice: Persona
    charlie: Persona
    token: Token


@cache
def template() -> Template:
    """The template of this process; it goes with the process."""
    folder = tempfile.mkdtemp(prefix="battery-")
    Finalize(None, shutil.rmtree, (folder,), exitpriority=1)  # unlike atexit, in a process of a pool as well
    return loop().run(_furnish(Path(folder)))


async def _furnish(folder: Path) -> Template:
    alice, charlie = Persona("alice", "admin", new_id(), "Acme"), Persona("charlie", "admin", new_id(), "Other")
    async with open_store(settings_in(folder), clock=TestClock()) as store:
        for persona in (alice, charlie):
            await move_in(store, persona)
        _, secret = await store.bootstrap_tokens.create(alice.actor, description="", lifetime=LONGEST, allow_reenrolment=False)
        assert secret is not None
        token = parse(secret.reveal().decode(), "b")
        assert token is not None
    return Template(folder, alice, charlie, token)


async def move_in(store: Store, persona: Persona) -> None:
    """Make this persona's account and member."""
    row = {"id": persona.member_id, "email_key": persona.email, "role": persona.role, "password_hash": password_hash()}
    mac = member_mac(store.vault, {**row, "account_id": persona.account_id})
    async with store.database.account(persona.account_id).transaction() as transaction:
        await transaction.execute(
            "INSERT INTO accounts (id, name, version, created_at) VALUES (:account_id, :name, 1, :now)",
            {"name": persona.account_name, "now": store.clock()},
        )
        await transaction.insert("members", {**row, "mac": mac, "email": persona.email, "version": 1, "created_at": store.clock()})


class Opened:
    """An open store, on its own copy of the template, that can be closed and opened again."""

    def __init__(self, clock: TestClock) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="battery-"))
        shutil.copytree(template().folder, self.folder, dirs_exist_ok=True)
        self.settings: Settings = settings_in(self.folder)
        self._clock = clock
        self._stack = AsyncExitStack()
        self.store: Store
        self.open()

    def open(self) -> None:
        """Open it, as a start does."""
        self.store = loop().run(self._stack.enter_async_context(open_store(self.settings, clock=self._clock)))

    def reopen(self) -> None:
        """Stop and start."""
        loop().run(self._stack.aclose())
        self.open()

    def end(self) -> None:
        """Close it, and take the folder away."""
        loop().run(self._stack.aclose())
        shutil.rmtree(self.folder)


def parts_of(store: Store) -> Parts:
    """What a hand-over from this store is made with; nothing that it kept outlives it."""
    values = {"secrets": store.secrets, "variables": store.variables}
    return Parts(store.provisions, values, Activity(store.database), store.chain, store.vault, store.clock, store.sign_ins.tokens)  # type: ignore[arg-type]
