"""The people in the tests' stories, in a house that runs for real: a store on disk, and the whole application.

alice owns the account (admin); erin works in it (editor); bob is of her team and only looks (viewer); charlie is the
admin of another account. `house` is an async fixture: everything in a test runs in one event loop.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx2
import pytest
from argon2 import PasswordHasher
from starlette.applications import Starlette

from tests.engines import Engine
from webapp import keyring_watch
from webapp.accounts import password
from webapp.accounts.member import member_mac
from webapp.actor import Actor
from webapp.app import create_app
from webapp.clock import HOUR
from webapp.ids import new_id
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import mint

START = 1_793_714_700_000
"""3 November 2026, 14:05 UTC."""

PASSWORD = "correct horse battery staple"


def password_hash() -> str:
    """The hash of the personas' password, made once for all tests with as much memory as the program takes just now."""
    return _password_hash(password._MEMORY_KIB)


@cache
def _password_hash(memory_kib: int) -> str:
    return _hasher(memory_kib).hash(PASSWORD)


@cache
def _hasher(memory_kib: int) -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)


@dataclass
class TestClock:
    """A clock that stands until a test moves it, or goes on by `step` milliseconds whenever somebody looks."""

    __test__ = False

    now: int = START
    step: int = 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds


@dataclass
class Persona:
    """Somebody with a role in an account."""

    name: str
    role: str
    account_id: str
    account_name: str
    member_id: str = field(default_factory=new_id)

    @property
    def email(self) -> str:
        """The address that this persona signs in with."""
        return f"{self.name}@example.com"

    @property
    def actor(self) -> Actor:
        """This persona as repositories see it."""
        return Actor(self.account_id, "member", self.member_id, self.email, address="192.0.2.7")


@dataclass
class House:
    """A running application with its store, and the personas in it."""

    settings: Settings
    store: Store
    app: Starlette
    clock: TestClock
    alice: Persona
    bob: Persona
    charlie: Persona
    erin: Persona
    stack: AsyncExitStack
    engine: Engine

    async def client(self, session: str | None = None) -> httpx2.AsyncClient:
        """A browser on this application, signed in when it is given a session."""
        client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, client=("192.0.2.7", 4242)),
            base_url=self.settings.public_url,
            headers={"Sec-Fetch-Site": "same-origin"},
            cookies={"session": session} if session else None,
        )
        return await self.stack.enter_async_context(client)

    async def signed_in(self, persona: Persona) -> httpx2.AsyncClient:
        """A browser in which this persona has just signed in."""
        token, expires = mint("s"), self.clock() + 12 * HOUR
        mac = self.store.vault.token_mac(token, owner=persona.member_id, account_id=persona.account_id, expires_at=expires)
        async with self.store.database.account(persona.account_id).transaction() as transaction:
            await transaction.execute(
                "INSERT INTO sessions (accessor, account_id, member_id, mac, created_at, seen_at, expires_at, password_at)"
                " VALUES (:accessor, :account_id, :member, :mac, :now, :now, :expires, :now)",
                {"accessor": token.accessor, "member": persona.member_id, "mac": mac, "now": self.clock(), "expires": expires},
            )
        return await self.client(token.text.reveal().decode("ascii"))

    async def move_in(self, *personas: Persona) -> None:
        """Make the personas' accounts, those that are not there yet, and their members: in one go, which costs one commit."""
        accounts, members = [], []
        for persona in personas:
            row = {"id": persona.member_id, "email_key": persona.email, "role": persona.role, "password_hash": password_hash()}
            mac = member_mac(self.store.vault, {**row, "account_id": persona.account_id})
            accounts.append((persona.account_id, persona.account_name, 1, self.clock()))
            members.append((*row.values(), persona.account_id, persona.email, mac, 1, self.clock()))
        async with self.store.database.transaction() as transaction:
            await transaction.execute(
                *_rows("INSERT INTO accounts (id, name, version, created_at)", accounts, " ON CONFLICT (id) DO NOTHING")
            )
            columns = "id, email_key, role, password_hash, account_id, email, mac, version, created_at"
            await transaction.execute(*_rows(f"INSERT INTO members ({columns})", members))

    async def audit(self) -> list[dict[str, object]]:
        """All rows of the audit log, oldest first."""
        lies = "ctid" if self.engine.name == "postgresql" else "rowid"  # each process's chains number their rows themselves
        return [dict(row) for row in await self.store.database.fetch_all(f"SELECT * FROM audit_log ORDER BY {lies}")]

    async def tamper(self, sql: str, **values: object) -> None:
        """Do as the database's owner may."""
        async with self.store.database.transaction() as transaction:
            await transaction.execute(sql, values)

    async def refuse_writes(self, table: str = "audit_log", verb: str = "INSERT") -> None:
        """Let the disk be full for what is written to the table."""
        await self.engine.refuse_writes(self.store.database, table, verb)

    async def take_writes(self) -> None:
        """Let there be room again."""
        await self.engine.take_writes(self.store.database)

    def on_disk(self) -> bytes:
        """All that is in the data directory and in the database's files."""
        files = b"".join(path.read_bytes() for path in self.settings.data_dir.rglob("*") if path.is_file())
        return files + self.engine.on_disk()


def _rows(insert: str, rows: Sequence[tuple[object, ...]], but: str = "") -> tuple[str, dict[str, object]]:
    """A statement that inserts all of the rows, and what is bound in it."""
    values = {f"v{number}_{place}": value for number, row in enumerate(rows) for place, value in enumerate(row)}
    places = ", ".join(f"({', '.join(f':v{number}_{place}' for place in range(len(row)))})" for number, row in enumerate(rows))
    return f"{insert} VALUES {places}{but}", values


def settings_in(folder: Path, **environ: str) -> Settings:
    """Settings for a store of the test's own."""
    return Settings.from_environ({"WEBAPP_DATA_DIR": str(folder / "data"), **environ})


@pytest.fixture
def house_environ() -> dict[str, str]:
    """Variables that the house is set up with; a file that needs some has a fixture of this name."""
    return {}


@pytest.fixture
def hash_kib() -> int:
    """The memory of a password's hash in the house: 46 MiB, which the program takes, are 84 ms a sign-in. Who is about them says so."""
    return 64


@pytest.fixture
def hashing(hash_kib: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program, in this process, hash passwords with so much memory."""
    monkeypatch.setattr(password, "_MEMORY_KIB", hash_kib)
    monkeypatch.setattr(password, "_HASHER", _hasher(hash_kib))


@pytest.fixture
async def house(
    tmp_path: Path, anyio_backend: str, engine: Engine, house_environ: dict[str, str], hashing: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """The application, running, with alice, bob, charlie and erin in it."""
    monkeypatch.setattr(keyring_watch, "SETTLED", 0.0)  # no other process is there, for which a rotation would wait
    clock = TestClock()
    acme, other = new_id(), new_id()
    async with AsyncExitStack() as stack:
        settings = settings_in(tmp_path, **house_environ, WEBAPP_DATABASE_URL=await engine.migrated_url())
        settings.make_data_dir()
        store = await stack.enter_async_context(open_store(settings, clock=clock, first=True))
        app = create_app(settings, store=store)
        await stack.enter_async_context(app.router.lifespan_context(app))
        built = House(
            settings=settings,
            store=store,
            app=app,
            clock=clock,
            alice=Persona("alice", "admin", acme, "Acme"),
            bob=Persona("bob", "viewer", acme, "Acme"),
            charlie=Persona("charlie", "admin", other, "Other"),
            erin=Persona("erin", "editor", acme, "Acme"),
            stack=stack,
            engine=engine,
        )
        await built.move_in(built.alice, built.bob, built.charlie, built.erin)
        yield built


@pytest.fixture
async def alice(house: House) -> httpx2.AsyncClient:
    """Alice's browser, signed in."""
    return await house.signed_in(house.alice)


@pytest.fixture
async def bob(house: House) -> httpx2.AsyncClient:
    """Bob's browser, signed in."""
    return await house.signed_in(house.bob)


@pytest.fixture
async def charlie(house: House) -> httpx2.AsyncClient:
    """Charlie's browser, signed in."""
    return await house.signed_in(house.charlie)


@pytest.fixture
async def erin(house: House) -> httpx2.AsyncClient:
    """Erin's browser, signed in."""
    return await house.signed_in(house.erin)


@pytest.fixture
async def stranger(house: House) -> httpx2.AsyncClient:
    """The browser of somebody who is not signed in."""
    return await house.client()
