"""Moving to PostgreSQL: the same installation there, whole, or nothing of it; and the SQLite file as it was, to the byte."""

import hashlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from tests.audit.test_verification import silent, verified
from tests.personas import PASSWORD, House
from tests.provisioning.test_result import report
from tests.real.postgresql import Cluster
from tests.secrets.test_imports import previewed
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.app import create_app
from webapp.audit.heads import current
from webapp.audit.restores import NOTED, note
from webapp.clock import DAY
from webapp.command import DONE, Command
from webapp.commands import execute
from webapp.copy_command import copy
from webapp.credentials.minted_tokens import seal_context
from webapp.database.catalogue import our_tables
from webapp.database.sqlite import path_of
from webapp.ids import new_id
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import Secret

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]


@dataclass
class Furnished:
    """A house that was closed with something in every table, and what works in it."""

    house: House
    file: Path
    agent: str
    settings: Settings
    """The same installation's, in an empty PostgreSQL database."""


@pytest.fixture
async def furnished(house: House, alice: httpx2.AsyncClient, postgresql: Cluster) -> AsyncIterator[Furnished]:
    credential = await store_credential(alice, form_nonce="a-nonce-of-a-form")
    changed = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "version": "1"}
    answer = await alice.post(f"/registry-credentials/{credential}", data={**changed, "password": "another-and-longer"})
    assert answer.status_code == 303, answer.text
    house.clock.advance(2 * DAY)
    assert (await execute(house.store, Command("audit-cut", {"older_than": 1}), os.getuid())).exit == DONE
    alice = await house.signed_in(house.alice)
    await alice.post(f"/registry-credentials/{credential}", data={**changed, "version": "2", "password": "the-third-of-them"})
    await alice.post("/secrets", data={"name": "TOKEN", "value": "tést ✓ 🔑"})
    await alice.post("/variables", data={"name": "REGION", "value": "eu"})
    image = await add_image(alice, credential, user_data="a={{ secrets.TOKEN }}\nb={{ variables.REGION }}")
    agent_id, agent = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    handed = (await provision(house, agent)).json()
    assert (await report(house, agent, provision_id=handed["provision_id"], outcome="pulled")).status_code == 200
    await previewed(alice, "NEW=1\n")
    await _add_what_takes_others(house.store, credential)
    await house.stack.aclose()
    name = postgresql.new_database()
    settings = replace(house.settings, database_url=postgresql.url(name))
    yield Furnished(house, path_of(house.settings.database_url), agent, settings)
    postgresql.drop_database(name)


_MEMBER = "SELECT 'x', account_id, id"
_PEOPLE = (
    (
        f"INSERT INTO passkeys (id, account_id, member_id, credential_id, public_key, mac, name, sign_count, backed_up, transports,"
        " created_at)"
        f" {_MEMBER}, 'AQID', x'00ff', x'00', 'Key 🔑', 3, 1, 'usb', 1 FROM members WHERE role = 'viewer'"
    ),
    (
        f"INSERT INTO identities (id, account_id, member_id, issuer, subject, mac, created_at)"
        f" {_MEMBER}, 'https://issuer.example', 'ä', x'00', 1 FROM members WHERE role = 'viewer'"
    ),
    (
        "INSERT INTO invitations (id, account_id, accessor, mac, email, email_key, role, created_at, created_by, invited_by, expires_at)"
        " SELECT 'x', id, 'a', x'00', 'D@example.com', 'd@example.com', 'editor', 1, 'alice', 'm', 2 FROM accounts LIMIT 1"
    ),
    (
        f"INSERT INTO api_tokens (id, account_id, member_id, accessor, mac, name, name_key, role, created_at, expires_at)"
        f" {_MEMBER}, 'a', x'00', 'CI', 'ci', 'viewer', 1, 2 FROM members WHERE role = 'viewer'"
    ),
    "INSERT INTO sign_in_failures (subject, failures, last_at, next_at) VALUES ('s', 3, 1, 2)",
)
"""What members, and those who want to be, leave."""


async def _add_what_takes_others(store: Store, credential: str) -> None:
    """What a registry in the cloud, a KMS and a restore leave."""
    fields = {"id": credential, "secret_version": 3, "host": "ghcr.io", "auth_method": "password", "parameters": ""}
    async with store.database.transaction() as transaction:
        found = await transaction.fetch_one("SELECT account_id FROM registry_credentials")
        assert found is not None
        row = {**fields, "account_id": found["account_id"], "minted_at": store.clock(), "expires_at": store.clock() + DAY}
        sealed = store.vault.seal(Secret(b"a token"), seal_context(row))
        await transaction.execute(
            "INSERT INTO minted_tokens"
            " (id, account_id, secret_version, host, auth_method, parameters, sealed, kek_id, minted_at, expires_at)"
            " VALUES (:id, :account_id, :secret_version, :host, :auth_method, :parameters, :sealed, :kek_id, :minted_at, :expires_at)",
            {**row, "sealed": sealed.blob, "kek_id": sealed.kek_id},
        )
        await transaction.execute(
            "INSERT INTO root_keys (fingerprint, provider, wrapped, created_at) VALUES ('old', 'aws-kms', x'00ff', 1)"
        )
        for sql in _PEOPLE:
            await transaction.execute(sql)
        chain, lasts = new_id(), (await current(store.database, store.vault, store.clock)).chains
        await transaction.execute(NOTED, note(store.vault, chain, store.clock(), lasts))
        await transaction.execute("UPDATE installation SET audit_chain = :chain", {"chain": chain})


@asynccontextmanager
async def moved_in(furnished: Furnished) -> AsyncIterator[House]:
    """The house as it is in PostgreSQL."""
    house = furnished.house
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(furnished.settings, clock=house.clock))
        app = create_app(furnished.settings, store=store)
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield replace(house, settings=furnished.settings, store=store, app=app, stack=stack)


def content(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


async def test_it_is_the_same_installation_there_and_goes_on(furnished: Furnished) -> None:
    before, told = content(furnished.file), list[tuple[int, int]]()
    moved = await copy(
        furnished.house.settings, furnished.file, furnished.settings.database_url, progress=lambda *where: told.append(where)
    )
    assert told[-1] == (2 * sum(moved.rows.values()),) * 2
    assert content(furnished.file) == before
    assert sorted(path.name for path in furnished.file.parent.iterdir() if "sqlite3" in path.name) == [furnished.file.name], (
        "nothing beside it"
    )
    async with moved_in(furnished) as house:
        await house.store.credentials.versions.destroy_expired()  # which the server does by itself, a moment later
        found = await house.store.check()
        assert found.ok
        assert "registry credentials: 1 open, 0 do not" in found.lines
        assert "kept versions: 1 open, 0 do not" in "\n".join(found.lines)
        handed = (await provision(house, furnished.agent)).json()
        assert handed["registry_auth"]["password"] == "the-third-of-them"
        assert handed["user_data"] == "a=tést ✓ 🔑\nb=eu"
        bob = await house.client()
        assert (await bob.post("/login", data={"email": house.bob.email, "password": PASSWORD})).status_code == 303
        assert (await bob.get("/registry-credentials")).status_code == 200
        log = await verified(house)
        assert log.problems == ()
        assert log.rows > moved.rows["audit_log"], "it goes on"


async def test_every_row_of_every_table_is_there(furnished: Furnished, postgresql: Cluster) -> None:
    """A later migration's table has to be furnished here, and then is copied, too: nothing names the tables."""
    moved = await copy(furnished.house.settings, furnished.file, furnished.settings.database_url, progress=silent)
    database = furnished.settings.database_url.rpartition("/")[2].partition("?")[0]
    with closing(sqlite3.connect(f"file:{furnished.file}?mode=ro&immutable=1", uri=True)) as source:
        tables = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'migrations'")}
        assert set(moved.rows) == tables == set(our_tables())
        assert [name for name, rows in moved.rows.items() if not rows] == []
        source.row_factory = sqlite3.Row
        rows = {table: [_as_json(row) for row in source.execute(f"SELECT * FROM {table}")] for table in tables}
    parts = ", ".join(f"'{table}', (SELECT json_agg(t) FROM {table} t)" for table in tables)
    there = json.loads(postgresql.sql(database, f"SELECT json_build_object({parts})"))
    for table in tables:
        assert sorted(map(json.dumps, map(_sorted, rows[table]))) == sorted(map(json.dumps, map(_sorted, there[table]))), table


def _as_json(row: sqlite3.Row) -> dict[str, object]:
    """As PostgreSQL writes it."""
    return {name: f"\\x{row[name].hex()}" if isinstance(row[name], bytes) else row[name] for name in row.keys()}  # noqa: SIM118  sqlite3.Row


def _sorted(row: dict[str, object]) -> dict[str, object]:
    return dict(sorted(row.items()))
