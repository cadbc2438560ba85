"""Backups: whole, sealed, made while the store is used, and never in place of a file that is there."""

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.audit.heads import current
from webapp.backup import backup
from webapp.chain import Event
from webapp.command import DONE, REFUSED, Command, Refusal
from webapp.commands import execute
from webapp.database.copies import CopyFailed, copy_into
from webapp.database.sqlite import path_of

pytestmark = [pytest.mark.anyio, on_sqlite]  # PostgreSQL has pg_dump


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def rows_in(path: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_is_whole_and_for_this_user_only(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await store_credential(alice)
    told: list[tuple[int, int]] = []
    made = await backup(house.store, house.alice.actor, tmp_path / "backup.db", lambda *where: told.append(where))
    await asyncio.sleep(0)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.size == made.path.stat().st_size
    assert told[-1][0] == told[-1][1] > 0
    assert names_in(tmp_path) == ["0.sqlite3", "0.sqlite3-shm", "0.sqlite3-wal", "backup.db", "data", "data-key"], "nothing else is left"
    rows = await house.audit()
    assert rows[-1]["action"] == "store.backup"
    assert str(made.path) in str(rows[-1]["detail"])
    assert rows_in(made.path, "audit_log") == len(rows), "the row about the backup is in it"
    assert rows_in(made.path, "registry_credentials") == 1


async def test_a_backup_holds_no_secret_and_no_root_key(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await store_credential(alice, password="a-canary-in-a-backup")
    made = await backup(house.store, house.alice.actor, tmp_path / "backup.db", silent)
    content = made.path.read_bytes()
    assert b"a-canary-in-a-backup" not in content
    assert house.settings.root_key_file.read_bytes().strip() not in content
    assert str(house.settings.root_key_file) in made.lines[1]


async def test_what_was_deleted_is_not_in_a_backup(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    for number in range(30):
        await store_credential(alice, name=f"name-{number}-to-be-forgotten")
    async with house.store.database.transaction() as transaction:
        await transaction.execute("DELETE FROM registry_credentials")
        await transaction.execute("DELETE FROM audit_log")
    made = await backup(house.store, house.alice.actor, tmp_path / "backup.db", silent)
    assert b"to-be-forgotten" not in made.path.read_bytes()


async def test_hand_overs_go_on_and_the_backup_is_one_state_of_the_store(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    credential = await store_credential(alice)
    _, token = await enrolled(house, alice)
    await alice.post("/settings", data={"name": "Acme", "default_image_id": await add_image(alice, credential), "version": "1"})
    going, answers = True, []

    async def hand_over() -> None:
        while going:
            answers.append((await provision(house, token)).status_code)

    tasks = [asyncio.create_task(hand_over()) for _ in range(4)]
    paths = [(await backup(house.store, house.alice.actor, tmp_path / f"backup-{number}.db", silent)).path for number in range(5)]
    going = False
    await asyncio.gather(*tasks)
    assert set(answers) <= {200}
    assert len(answers) > 5
    for path in paths:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as copy:
            (count,), (last,) = (
                copy.execute("SELECT count(*) FROM audit_log").fetchone(),
                copy.execute("SELECT max(seq) FROM audit_log").fetchone(),
            )
        assert count == last, "no row is missing"


@pytest.mark.parametrize("taken", ["a file", "a link", "the database"])
async def test_it_refuses_a_name_that_is_taken(house: House, tmp_path: Path, taken: str) -> None:
    path = path_of(house.settings.database_url) if taken == "the database" else tmp_path / "taken"
    if taken == "a file":
        path.write_text("yesterday's backup")
    elif taken == "a link":
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refusal, match="is there already"):
        await backup(house.store, house.alice.actor, path, silent)
    assert taken != "a file" or path.read_text() == "yesterday's backup"
    assert await house.audit() == []


async def test_it_refuses_a_directory_that_is_not_there_and_a_disk_that_is_too_full(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match="no directory"):
        await backup(house.store, house.alice.actor, tmp_path / "nowhere" / "backup.db", silent)
    monkeypatch.setattr("webapp.backup.LEAST_FREE", 2**60)
    with pytest.raises(Refusal, match="too little room"):
        await backup(house.store, house.alice.actor, tmp_path / "backup.db", silent)
    assert [name for name in names_in(tmp_path) if "backup" in name] == []


async def test_a_backup_that_fails_leaves_nothing(house: House, tmp_path: Path) -> None:
    damaged = (await backup(house.store, house.alice.actor, tmp_path / "damaged.db", silent)).path
    content = bytearray(damaged.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    damaged.write_bytes(content)
    with pytest.raises(CopyFailed, match=r"damaged|malformed"):
        copy_into(damaged, tmp_path / "copy.db", silent, threading.Event())
    assert not (tmp_path / "copy.db").exists()


async def test_a_backup_that_is_given_up_leaves_nothing(house: House, tmp_path: Path) -> None:
    for number in range(2000):
        await house.store.chain.append_and_commit(house.alice.actor, Event("image.create", "image", str(number), "x" * 200))
    making = asyncio.create_task(backup(house.store, house.alice.actor, tmp_path / "backup.db", silent))
    while not any(name.startswith(".backup.db.") for name in names_in(tmp_path)):  # noqa: ASYNC110  a file tells nobody
        await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert [name for name in names_in(tmp_path) if "backup" in name] == []


async def test_the_command_says_what_is_needed_with_it(house: House, tmp_path: Path) -> None:
    outcome = await execute(house.store, Command("backup", {"file": str(tmp_path / "backup.db")}), os.getuid())
    assert outcome.exit == DONE
    assert f"Wrote {tmp_path}/backup.db" in outcome.stdout
    assert "fingerprint" in outcome.stdout
    again = await execute(house.store, Command("backup", {"file": str(tmp_path / "backup.db")}), os.getuid())
    assert again.exit == REFUSED
    relative = await execute(house.store, Command("backup", {"file": "backup.db"}), os.getuid())
    assert relative.exit == REFUSED
    assert (await current(house.store.database, house.store.vault, house.clock)).chains[0].seq == 1
