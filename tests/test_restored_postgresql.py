"""A backup of PostgreSQL: `pg_dump` while the servers run, `pg_restore` into another database, and what ends with a restore."""

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from tests.audit.test_verification import silent
from tests.engines import Engine
from tests.personas import House
from tests.real.postgresql import SUPERUSER, Cluster
from tests.stories import add_image, bootstrap_token, enroll, enrolled, provision, store_credential
from tests.test_restore import running
from webapp import restore
from webapp.audit.heads import current, line_of, read_heads
from webapp.audit.verification import verify
from webapp.check import CheckReport, check_store
from webapp.cli import main
from webapp.command import Progress, Refusal
from webapp.database import Database
from webapp.errors import ConfigurationError
from webapp.restore import end_restored
from webapp.settings import Settings
from webapp.vault import Vault

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ["postgresql"], indirect=True)]


@dataclass
class Backed:
    """What lived when the backup was made, and the settings of the database that it was restored into."""

    session: str
    bootstrap: str
    kept: str
    revoked: str
    """An agent's token: it was revoked after the backup was made."""
    settings: Settings


@pytest.fixture
def target(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.new_database()
    yield name
    postgresql.drop_database(name)


@pytest.fixture
async def backed(house: House, alice: httpx2.AsyncClient, engine: Engine, postgresql: Cluster, target: str) -> Backed:
    image = await add_image(alice, await store_credential(alice))
    tokens = {}
    for name in ("kept", "revoked"):
        agent_id, tokens[name] = await enrolled(house, alice, name)
        await alice.post(f"/agents/{agent_id}", data={"image_id": image})
        assert (await provision(house, tokens[name])).status_code == 200
    bootstrap = await bootstrap_token(alice)
    bring_back = dumped(postgresql, engine.made[0])
    assert (await alice.post(f"/agents/{agent_id}/revoke")).status_code == 303
    bring_back(target)
    settings = replace(house.settings, database_url=postgresql.url(target))
    return Backed(str(alice.cookies["session"]), bootstrap, tokens["kept"], tokens["revoked"], settings)


def dumped(cluster: Cluster, source: str) -> Callable[[str], object]:
    """Back this database up, as docs/postgresql.md says; what is returned restores it into another one."""
    file, where = f"{cluster.folder}/{source}.dump", ["-h", "127.0.0.1", "-p", f"{cluster.port}", "-U", SUPERUSER]
    cluster.run("pg_dump", *where, "--format=custom", f"--file={file}", source)
    return lambda target: cluster.run("pg_restore", *where, "--exit-on-error", "--single-transaction", f"--dbname={target}", file)


@pytest.mark.parametrize("agents", ["keep", "end"])
async def test_what_ends_with_a_restore_ends_and_every_secret_opens(house: House, backed: Backed, agents: str) -> None:
    done = await end_restored(backed.settings, agents=agents, uid=0, progress=silent, clock=house.clock)
    assert done.ok
    assert "registry credentials: 1 open, 0 do not" in done.lines
    async with running(house, backed.settings) as new:
        assert (await (await new.client(backed.session)).get("/registry-credentials")).status_code == 303
        assert (await enroll(new, backed.bootstrap, "another")).status_code == 401
        answers = [await provision(new, token) for token in (backed.kept, backed.revoked)]
        if agents == "keep":
            assert [answer.json()["registry_auth"]["password"] for answer in answers] == ["hunter2-but-long"] * 2
        else:
            assert [answer.status_code for answer in answers] == [401, 401]
            assert "Revoked 2 agents" in "".join(done.lines)


async def test_verify_shows_a_restore_and_no_tampering(house: House, alice: httpx2.AsyncClient, backed: Backed, tmp_path: Path) -> None:
    heads = tmp_path / "heads.jsonl"
    heads.write_text(line_of(await current(house.store.database, house.store.vault, house.clock), house.store.vault) + "\n")
    await end_restored(backed.settings, agents="keep", uid=0, progress=silent, clock=house.clock)
    async with running(house, backed.settings) as new:
        assert (await provision(new, backed.kept)).status_code == 200
        found = await verify(new.store.database, new.store.vault, silent, read_heads(heads, new.store.vault))
        assert found.problems == ()
        assert found.notes[0] == "A backup was restored on 3 Nov 2026, 14:05 UTC."


async def test_it_refuses_while_a_server_has_it_open(house: House, backed: Backed) -> None:
    async with running(house, backed.settings):
        with pytest.raises(Refusal, match=r"2 connections .* Stop the servers first"):
            await end_restored(backed.settings, agents="keep", uid=0, progress=silent, clock=house.clock)


async def test_it_refuses_when_a_server_begins_meanwhile(house: House, backed: Backed, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:

        async def check_and_begin(database: Database, vault: Vault, progress: Progress) -> CheckReport:
            await stack.enter_async_context(running(house, backed.settings))
            return await check_store(database, vault, progress)

        monkeypatch.setattr(restore, "check_store", check_and_begin)
        with pytest.raises(Refusal, match=r"2 connections .* Stop the servers first"):
            await end_restored(backed.settings, agents="end", uid=0, progress=silent, clock=house.clock)
    async with running(house, backed.settings) as new:
        assert (await provision(new, backed.kept)).status_code == 200, "nothing has ended"


async def test_it_refuses_another_root_key(house: House, backed: Backed, tmp_path: Path) -> None:
    key = tmp_path / "another.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o400)
    with pytest.raises(ConfigurationError, match="expected the root key with fingerprint"):
        await end_restored(replace(backed.settings, root_key_file=key), agents="end", uid=0, progress=silent, clock=house.clock)
    assert await house.store.database.fetch_all("SELECT 1 AS one FROM audit_log WHERE action = 'store.restore'") == []


def test_the_command_takes_no_file(postgresql: Cluster, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                   tmp_path: Path, engine: Engine) -> None:  # fmt: skip
    monkeypatch.setenv("WEBAPP_DATABASE_URL", postgresql.url(target))
    monkeypatch.setenv("WEBAPP_DATA_DIR", str(tmp_path / "data"))
    assert main(["restore", "some.db", "--agents", "keep"]) == 1
    assert "pg_restore first" in capsys.readouterr().err
    assert main(["restore", "--agents", "keep"]) == 78
    assert "nothing is in this database yet" in capsys.readouterr().err
    monkeypatch.delenv("WEBAPP_DATABASE_URL")
    assert main(["restore", "--agents", "keep"]) == 1
    assert "restore FILE" in capsys.readouterr().err
