"""What a review did to heads, cuts and restores as the owner of the database, and to a restore as bad luck: each was a fault once."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.audit.test_heads import more_rows
from tests.audit.test_verification import silent, tamper
from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import store_credential
from tests.test_restore import Backed, backed, restored, running, verified
from webapp.audit.heads import read_heads
from webapp.audit.verification import verify
from webapp.backup import backup
from webapp.clock import DAY, MINUTE
from webapp.command import REFUSED, Command, Refusal
from webapp.commands import execute
from webapp.database.copies import CopyFailed, copy_into
from webapp.database.sqlite import path_of
from webapp.rotation import rotate
from webapp.store import open_store
from webapp.vault import KeyringBroken

__all__ = ["backed"]

pytestmark = [pytest.mark.anyio, on_sqlite]  # its file and its backups; values of any type in any column

REST = (
    "seq, at, account_id, actor_kind, actor_id, actor_label, accessor, action, object_kind, object_id, object_name, secret_version,"
    " decision, detail, address, request_id, previous_mac, mac"
)


async def command(house: House, name: str, **arguments: str | int | bool) -> tuple[int, str]:
    outcome = await execute(house.store, Command(name, arguments), os.getuid())
    return outcome.exit, outcome.stdout + outcome.stderr


async def after_a_restore(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    """Some rows after the backup, which a head names; then the restore, a minute later."""
    for number in range(3):
        await store_credential(alice, name=f"after-{number}")
    await house.app.state.heads.write()
    await house.stack.aclose()
    house.clock.advance(MINUTE)
    await restored(house, house.settings, backed.file, replace_store=True)
    house.clock.advance(MINUTE)


async def test_an_older_log_that_has_grown_again_is_found(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await more_rows(house, 5)
    with closing(sqlite3.connect(path_of(house.settings.database_url))) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "old.db"),))
    await store_credential(alice, name="what-is-to-be-forgotten")
    await house.app.state.heads.write()
    await house.stack.aclose()
    shutil.copy(tmp_path / "old.db", path_of(house.settings.database_url))
    house.clock.advance(MINUTE)
    async with running(house, house.settings) as new:
        await more_rows(new, 10)
        await new.app.state.heads.write()
        assert (await verified(house.settings, new.store, house.settings)).problems


@pytest.mark.parametrize("since_head", [False, True])
async def test_a_restore_is_no_false_alarm_also_since_a_head(
    house: House, backed: Backed, alice: httpx2.AsyncClient, since_head: bool
) -> None:
    await after_a_restore(house, backed, alice)
    async with running(house, house.settings) as new:
        await more_rows(new, 5)
        await new.app.state.heads.write()
        heads = read_heads(Path(house.settings.audit_heads), new.store.vault)
        assert (await verify(new.store.database, new.store.vault, silent, heads, since_head=since_head)).problems == ()


async def test_a_cut_after_a_restore_is_no_false_alarm(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    await after_a_restore(house, backed, alice)
    async with running(house, house.settings) as new:
        await more_rows(new, 5)
        house.clock.advance(500 * DAY)
        await more_rows(new, 5)
        assert (await command(new, "audit-cut", older_than=400))[0] == 0
        assert (await command(new, "audit-verify"))[0] == 0


async def test_a_chain_that_goes_on_behind_its_restore_is_found(house: House, backed: Backed, alice: httpx2.AsyncClient) -> None:
    await after_a_restore(house, backed, alice)
    with closing(sqlite3.connect(path_of(house.settings.database_url))) as connection:
        connection.execute("UPDATE installation SET audit_chain = NULL")
        connection.commit()
    async with running(house, house.settings) as new:
        await more_rows(new, 20)
        (problem,) = (await verified(house.settings, new.store, house.settings)).problems
        assert "goes on behind row" in problem


async def test_no_restore_is_made_to_say_where_a_chain_ends(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    chain = house.store.vault.instance_id
    await more_rows(house, 20)
    await house.app.state.heads.write()
    evil = f"z x; the backup ends at row 3 of chain {chain}"
    await tamper(house, f"INSERT INTO audit_log (chain, {REST}) SELECT :evil, {REST} FROM audit_log WHERE seq = 1", evil=evil)
    made = await backup(house.store, house.alice.actor, tmp_path / "b.db", silent)
    await house.stack.aclose()
    house.clock.advance(MINUTE)
    await restored(house, house.settings, made.path, replace_store=True)
    with closing(sqlite3.connect(path_of(house.settings.database_url))) as connection:
        connection.execute("DELETE FROM audit_log WHERE chain = ? OR (chain = ? AND seq > 3)", (evil, chain))
        connection.commit()
    async with open_store(house.settings, clock=house.clock) as store:
        assert (await verified(house.settings, store, house.settings)).problems


@pytest.mark.parametrize("junk", ["'x', 9e999, x'00', 1, x'00'", "'x', 1, 4000000000000, 1, x'00'", "x'ff', 'a', NULL, 1, 1"])
async def test_notes_of_other_types_are_found_and_nothing_falls_over(house: House, junk: str) -> None:
    await more_rows(house, 1)
    await tamper(house, "DROP TABLE audit_cuts")
    await tamper(house, "CREATE TABLE audit_cuts (chain, seq, mac, at, signature)")
    await tamper(house, f"INSERT INTO audit_cuts VALUES ({junk})")
    exit_status, said = await command(house, "audit-verify")
    assert (exit_status, "1 are not signed" in said) == (REFUSED, True)


async def test_a_chain_that_is_no_text_keeps_no_backup_from_being_restored(house: House, backed: Backed) -> None:
    await tamper(house, f"INSERT INTO audit_log (chain, {REST}) SELECT CAST(x'ff80' AS TEXT), {REST} FROM audit_log WHERE seq = 1")
    made = await backup(house.store, house.alice.actor, backed.file.with_name("b2.db"), silent)
    done = await restored(house, backed.elsewhere, made.path)
    assert "not whole" in done.lines[-1]


async def test_a_backup_with_triggers_is_refused(house: House, backed: Backed) -> None:
    with closing(sqlite3.connect(backed.file)) as connection:
        connection.execute("CREATE TRIGGER t BEFORE UPDATE OF ended_at ON sessions BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(Refusal, match="triggers or views"):
        await restored(house, backed.elsewhere, backed.file)


async def test_a_file_that_is_exchanged_after_the_look_makes_no_new_store(
    house: House, backed: Backed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    monkeypatch.setattr("webapp.restore.copy_into", lambda source, *rest: copy_into(tmp_path / "empty.db", *rest))
    with pytest.raises(Refusal, match="no keyring"):
        await restored(house, backed.elsewhere, backed.file)


async def test_a_restore_that_fails_at_its_very_end_leaves_the_store_with_all_that_was_in_its_log(
    house: House, backed: Backed, alice: httpx2.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(house.settings.database_url)
    await store_credential(alice, name="only-in-the-log")
    for ending in ("", "-wal"):
        shutil.copy(path.with_name(path.name + ending), tmp_path / f"kept{ending}")
    await house.stack.aclose()
    for ending in ("", "-wal"):
        shutil.copy(tmp_path / f"kept{ending}", path.with_name(path.name + ending))

    def fails(self: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(CopyFailed):
        patched.setattr(Path, "replace", fails)
        await restored(house, house.settings, backed.file, replace_store=True)
    assert path.stat().st_nlink == 1
    async with open_store(house.settings, clock=house.clock) as store:
        rows = await store.database.fetch_all("SELECT name FROM registry_credentials")
    assert "only-in-the-log" in [row["name"] for row in rows]


async def test_a_retired_key_does_not_seal_again(house: House, alice: httpx2.AsyncClient) -> None:
    await store_credential(alice)
    await rotate(house.store, house.alice.actor, silent)
    await tamper(house, "UPDATE keyring SET state = CASE WHEN id = 1 THEN 'active' ELSE 'retired' END WHERE purpose = 'kek'")
    await house.stack.aclose()
    with pytest.raises(KeyringBroken, match="not the one that seals"):
        async with open_store(house.settings, clock=house.clock):
            pass


@pytest.mark.parametrize("name", ["\udcff.db", "n" * 300, "a\nb.db", "a\x00b"])
async def test_a_name_that_no_file_can_have_is_refused_as_one(house: House, tmp_path: Path, name: str) -> None:
    assert (await command(house, "backup", file=f"{tmp_path}/{name}"))[0] == REFUSED


async def test_a_restore_that_fails_at_its_very_end_leaves_a_damaged_store_its_log(
    house: House, backed: Backed, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(house.settings.database_url)
    await house.stack.aclose()
    path.write_bytes(b"no database " * 1000)
    path.with_name(path.name + "-wal").write_bytes(b"its log")

    def fails(self: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(CopyFailed):
        patched.setattr(Path, "replace", fails)
        await restored(house, house.settings, backed.file, replace_store=True)
    assert path.read_bytes() == b"no database " * 1000
    assert path.with_name(path.name + "-wal").read_bytes() == b"its log"
    assert list(path.parent.glob("*.before-*")) == []
