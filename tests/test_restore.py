"""Restoring a backup: every secret opens, nobody who was signed in is, agents as chosen, and the audit log tells it from tampering."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from tests.audit.test_verification import silent
from tests.engines import on_sqlite
from tests.personas import PASSWORD, House, settings_in
from tests.stories import add_image, bearer, bootstrap_token, enroll, enrolled, provision, store_credential
from webapp.app import create_app
from webapp.audit.heads import read_heads
from webapp.audit.verification import Verification, verify
from webapp.backup import backup
from webapp.command import Refusal
from webapp.database.copies import CopyFailed
from webapp.database.sqlite import path_of
from webapp.errors import ConfigurationError
from webapp.restore import AGENTS, Restored, restore
from webapp.settings import Settings
from webapp.store import Store, open_store

pytestmark = [pytest.mark.anyio, on_sqlite]  # PostgreSQL has pg_restore: tests/test_restored_postgresql.py


@dataclass
class Backed:
    """A backup of alice's store, and what lived when it was made."""

    file: Path
    session: str
    agent: str
    bootstrap: str
    elsewhere: Settings
    """Another data directory, with the same root key."""


@pytest.fixture
async def backed(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> Backed:
    """A store with a credential, an agent that gets it, and a bootstrap token; and its backup."""
    image = await add_image(alice, await store_credential(alice))
    agent_id, agent = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    bootstrap = await bootstrap_token(alice)
    assert (await provision(house, agent)).status_code == 200
    made = await backup(house.store, house.alice.actor, tmp_path / "backup.db", silent)
    elsewhere = settings_in(tmp_path / "new", WEBAPP_ROOT_KEY_FILE=str(house.settings.root_key_file))
    return Backed(made.path, str(alice.cookies["session"]), agent, bootstrap, elsewhere)


async def restored(house: House, settings: Settings, file: Path, *, agents: str = "keep", replace_store: bool = False) -> Restored:
    return await restore(settings, file, agents=agents, replace_store=replace_store, uid=0, progress=silent, clock=house.clock)


@asynccontextmanager
async def running(house: House, settings: Settings) -> AsyncIterator[House]:
    """The house as it is after a restore."""
    async with open_store(settings, clock=house.clock) as store:
        app = create_app(settings, store=store)
        async with app.router.lifespan_context(app):
            yield replace(house, settings=settings, store=store, app=app)


async def verified(settings: Settings, store: Store, heads_of: Settings) -> Verification:
    return await verify(store.database, store.vault, silent, read_heads(Path(heads_of.audit_heads), store.vault))


@pytest.mark.parametrize("agents", list(AGENTS))
async def test_every_secret_opens_and_agents_are_as_chosen(house: House, backed: Backed, agents: str) -> None:
    done = await restored(house, backed.elsewhere, backed.file, agents=agents)
    assert done.ok
    assert "registry credentials: 1 open, 0 do not" in done.lines
    async with running(house, backed.elsewhere) as new:
        assert (await new.store.check()).ok
        answer = await provision(new, backed.agent)
        if agents == "keep":
            assert answer.json()["registry_auth"]["password"] == "hunter2-but-long"
        else:
            assert answer.status_code == 401
            assert "Revoked 1 agents" in "".join(done.lines)
        rows = await new.audit()
        assert f"agents: {agents}" in str(next(row for row in rows if row["action"] == "store.restore")["detail"])


async def test_nothing_that_signed_in_before_signs_in_again(house: House, backed: Backed) -> None:
    await restored(house, backed.elsewhere, backed.file)
    async with running(house, backed.elsewhere) as new:
        client = await new.client(backed.session)
        assert (await client.get("/registry-credentials")).status_code == 303
        assert (await enroll(new, backed.bootstrap, "another")).status_code == 401
        answer = await client.post("/login", data={"email": house.alice.email, "password": PASSWORD})
        assert answer.status_code == 303, "with the password she does"
        assert (await client.get("/registry-credentials")).status_code == 200


async def test_every_kind_of_token_is_thought_of(house: House, backed: Backed) -> None:
    """A table with MACs of tokens that a restore does not know would let old ones in."""
    tables = await house.store.database.fetch_all(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%mac BYTES%' OR sql LIKE '% mac BLOB%'"
    )
    ends = {"agent_tokens", "api_tokens", "bootstrap_tokens", "invitations", "sessions"}
    stay = {"audit_cuts", "audit_log", "identities", "members", "passkeys"}  # who somebody is, which a restore brings back with the rest
    assert {row["name"] for row in tables} == ends | stay


async def test_verify_shows_a_restore_and_no_tampering(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    in_backup = len(await house.audit())
    for number in range(3):
        await store_credential(alice, name=f"after-{number}")
    await house.app.state.heads.write()
    await house.stack.aclose()
    done = await restored(house, house.settings, backed.file, replace_store=True)
    assert done.aside is not None
    async with running(house, house.settings) as new:
        found = await verified(house.settings, new.store, house.settings)
        assert found.problems == ()
        assert found.notes[0] == "A backup was restored on 3 Nov 2026, 14:05 UTC."
        assert f"Rows {in_backup + 1} to {in_backup + 3} of chain" in found.notes[1]
        assert len(found.chains) == 2
        await new.app.state.heads.write()
        assert (await verified(house.settings, new.store, house.settings)).problems == ()
        first = next(row for row in await new.audit() if row["action"] == "store.restore")
        assert first["seq"] == 1
        assert first["chain"] == new.store.chain.name != new.store.vault.instance_id
        async with new.store.database.transaction() as transaction:
            await transaction.execute(
                "DELETE FROM audit_log WHERE chain = :chain AND seq = :seq", {"chain": new.store.vault.instance_id, "seq": in_backup}
            )
        assert (await verified(house.settings, new.store, house.settings)).problems


async def test_a_database_that_was_put_back_by_hand_is_tampering(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice, name="after")
    await house.app.state.heads.write()
    await house.stack.aclose()
    shutil.copy(backed.file, path_of(house.settings.database_url))
    async with open_store(house.settings, clock=house.clock) as store:
        (problem,) = (await verified(house.settings, store, house.settings)).problems
    assert "were cut off at the end" in problem


async def test_a_restore_of_a_restore_is_told_as_well(house: House, backed: Backed, tmp_path: Path) -> None:
    await house.stack.aclose()
    await restored(house, house.settings, backed.file, replace_store=True)
    async with running(house, house.settings) as new:
        await store_credential(await new.signed_in(house.alice), name="between")
        second = (await backup(new.store, house.alice.actor, tmp_path / "second.db", silent)).path
        await store_credential(await new.signed_in(house.alice), name="lost")
    house.clock.advance(1000)
    for file in (second, backed.file):
        await restored(house, house.settings, file, replace_store=True)
        house.clock.advance(1000)
        async with running(house, house.settings) as new:
            found = await verified(house.settings, new.store, house.settings)
            assert found.problems == (), found
            assert len(found.notes) >= 1


async def test_the_store_that_was_there_is_put_aside_whole(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice, name="after")
    await house.stack.aclose()
    with pytest.raises(Refusal, match="--replace"):
        await restored(house, house.settings, backed.file)
    done = await restored(house, house.settings, backed.file, replace_store=True)
    assert done.aside is not None
    assert str(done.aside) in done.lines[-1]
    with closing(sqlite3.connect(done.aside)) as old:
        assert old.execute("SELECT count(*) FROM registry_credentials").fetchone() == (2,)
    assert [path.name for path in path_of(house.settings.database_url).parent.glob(".*")] == []


async def test_a_damaged_store_is_put_aside_as_it_is(house: House, backed: Backed) -> None:
    await house.stack.aclose()
    path = path_of(house.settings.database_url)
    path.write_bytes(b"no database " * 1000)
    path.with_name(path.name + "-wal").write_bytes(b"its log")
    done = await restored(house, house.settings, backed.file, replace_store=True)
    assert done.aside is not None
    assert done.aside.read_bytes() == b"no database " * 1000
    assert done.aside.with_name(done.aside.name + "-wal").read_bytes() == b"its log"
    async with open_store(house.settings, clock=house.clock) as store:
        assert (await store.check()).ok


async def test_it_refuses_while_the_server_runs(house: House, backed: Backed) -> None:
    with pytest.raises(Refusal, match="Stop the server first"):
        await restored(house, house.settings, backed.file, replace_store=True)
    assert (await house.store.check()).ok


@pytest.mark.parametrize("what", ["no file", "empty", "text", "another database", "cut short"])
async def test_it_refuses_what_is_no_backup(house: House, backed: Backed, tmp_path: Path, what: str) -> None:
    file = tmp_path / "file"
    if what == "empty":
        file.touch()
    elif what == "text":
        file.write_text("this is no database, but a text of some length " * 100)
    elif what == "another database":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE installation (id TEXT)")
    elif what == "cut short":
        file.write_bytes(backed.file.read_bytes()[:-8192])
    with pytest.raises((Refusal, CopyFailed, ConfigurationError)):
        await restored(house, backed.elsewhere, file)
    assert not path_of(backed.elsewhere.database_url).exists()


async def test_it_refuses_a_backup_of_another_root_key_and_makes_none(house: House, backed: Backed, tmp_path: Path) -> None:
    other = settings_in(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="expected the root key with fingerprint"):
        await restored(house, other, backed.file)
    assert not other.root_key_file.exists()
    assert not path_of(other.database_url).exists()
    before = {path: path.read_bytes() for path in house.settings.data_dir.iterdir() if path.is_file()}
    await house.stack.aclose()
    before = {path: path.read_bytes() for path in house.settings.data_dir.iterdir() if path.is_file()}
    async with open_store(settings_in(tmp_path / "third"), clock=house.clock) as third:
        foreign = (await backup(third, house.alice.actor, tmp_path / "foreign.db", silent)).path
    with pytest.raises(ConfigurationError, match="expected the root key"):
        await restored(house, house.settings, foreign, replace_store=True)
    assert before == {path: path.read_bytes() for path in house.settings.data_dir.iterdir() if path.is_file()}


async def test_a_restore_that_was_killed_is_begun_anew(house: House, backed: Backed) -> None:
    path = path_of(backed.elsewhere.database_url)
    path.parent.mkdir(parents=True)
    for ending in ("", "-wal", "-shm"):
        path.with_name(f".{path.name}.restoring{ending}").write_bytes(b"half of it")
    assert (await restored(house, backed.elsewhere, backed.file)).ok
    assert [each.name for each in path.parent.glob(".*")] == []


async def test_a_permission_to_enrol_again_does_not_live_again(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    agent_id, _ = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/re-enrolment", data={"current_password": PASSWORD})
    made = await backup(house.store, house.alice.actor, tmp_path / "backup.db", silent)
    elsewhere = settings_in(tmp_path / "new", WEBAPP_ROOT_KEY_FILE=str(house.settings.root_key_file))
    await restored(house, elsewhere, made.path)
    async with running(house, elsewhere) as new:
        token = await bootstrap_token(await new.signed_in(house.alice), current_password=PASSWORD)
        client = await new.client()
        answer = await client.post("/api/v1/enroll", json={"name": "rack1-node07"}, headers=bearer(token))
        assert answer.status_code == 409


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
async def test_who_restores_as_root_leaves_the_store_to_its_owner(house: House, backed: Backed) -> None:
    folder = path_of(backed.elsewhere.database_url).parent
    folder.mkdir(parents=True)
    os.chown(folder, 4242, 4343)
    await restored(house, backed.elsewhere, backed.file)
    made = path_of(backed.elsewhere.database_url).stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (4242, 4343, 0o600)
