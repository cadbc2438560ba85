"""Opening the store: the first start, the right root key, and every wrong one, which changes nothing."""

import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.personas import settings_in
from webapp.database.sqlite import path_of
from webapp.errors import ConfigurationError, StoreLocked
from webapp.settings import Settings
from webapp.store import open_store
from webapp.vault import create_root_key, read_root_key

pytestmark = pytest.mark.anyio


async def started(settings: Settings) -> list[str]:
    """Open the store once and close it; returns what it said."""
    said: list[str] = []
    async with open_store(settings, notices=said.append, first=True):
        pass
    return said


def files(settings: Settings) -> dict[str, bytes]:
    """Every file beside the database, byte for byte."""
    return {path.name: path.read_bytes() for path in path_of(settings.database_url).parent.iterdir()}


def stored(settings: Settings) -> dict[str, bytes]:
    """As `files`, without the index of SQLite's log, which is shared memory: it is made anew, and nothing is stored in it."""
    return {name: content for name, content in files(settings).items() if not name.endswith("-shm")}


def power_cut(settings: Settings, folder: Path) -> Settings:
    """An open store as it is on the disk just now, its log not yet in the database, and its root key beside it."""
    shutil.copytree(settings.data_dir.parent, folder)
    return settings_in(folder)


def change(settings: Settings, statement: str) -> None:
    """Write to the database as somebody who is not this program."""
    connection = sqlite3.connect(path_of(settings.database_url))
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_the_first_start_makes_a_root_key_outside_of_the_data_and_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    said = " ".join(await started(settings))
    key = settings.root_key_file
    assert not key.is_relative_to(settings.data_dir)
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert str(key) in said
    assert f"(fingerprint {read_root_key(key).fingerprint})" in said
    assert "without it nothing that is stored here can be opened" in said
    assert await started(settings) == [], "the second start makes none"


async def test_a_start_that_ended_before_its_keyring_goes_on_with_the_same_key(tmp_path: Path, engine: Engine) -> None:
    settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
    made = create_root_key(settings.root_key_file)
    said = " ".join(await started(settings))
    assert f"{settings.root_key_file} (fingerprint {made.fingerprint})" in said, "whoever was not told then is told now"
    assert "without it nothing that is stored here can be opened" in said
    async with open_store(settings) as store:
        row = await store.database.fetch_one("SELECT root_fingerprint FROM keyring")
        assert row is not None
        assert row["root_fingerprint"] == made.fingerprint


async def test_a_root_key_that_systemd_hands_over_is_taken_and_none_is_made_there(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    handed_over = {"CREDENTIALS_DIRECTORY": str(credentials)}
    named = settings_in(tmp_path, **handed_over, WEBAPP_ROOT_KEY_FILE=str(credentials / "root.key"))
    with pytest.raises(ConfigurationError, match="none is made among systemd's credentials"):
        await started(named)
    assert list(credentials.iterdir()) == []
    made = create_root_key(credentials / "root.key")
    (credentials / "root.key").chmod(0o440)  # as the mask of an ACL shows
    settings = settings_in(tmp_path, **handed_over)
    assert f"Took the root key that is there: {credentials}/root.key (fingerprint {made.fingerprint})." in await started(settings)
    assert await started(settings) == []
    (credentials / "root.key").chmod(0o444)
    with pytest.raises(ConfigurationError, match=f"expected the root key with fingerprint {made.fingerprint}, but others may read"):
        await started(settings)


def another_key(path: Path) -> None:
    path.unlink()
    create_root_key(path)


def cut_key(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:20])


def open_key(path: Path) -> None:
    path.chmod(0o444)


def group_key(path: Path) -> None:
    path.chmod(0o440)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [another_key, Path.unlink, cut_key, open_key, group_key, folder_instead]


async def fingerprint_of(settings: Settings) -> str:
    """The fingerprint of the root key that the store was begun with."""
    async with open_store(settings, first=True) as store:
        rows = await store.database.fetch_all("SELECT root_fingerprint FROM keyring")
    return str(rows[0]["root_fingerprint"])


async def test_a_root_key_whose_name_is_too_long_is_refused_by_the_fingerprint_too(tmp_path: Path) -> None:
    expected = await fingerprint_of(settings_in(tmp_path))
    with pytest.raises(ConfigurationError) as error:
        await started(settings_in(tmp_path, WEBAPP_ROOT_KEY_FILE=str(tmp_path / ("k" * 300))))
    assert str(error.value).startswith(f"WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint {expected}, but ")


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_wrong_root_key_is_refused_and_not_a_byte_changes(tmp_path: Path, engine: Engine, damage: Callable[[Path], object]) -> None:
    settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
    expected = await fingerprint_of(settings)
    before = engine.content()
    damage(settings.root_key_file)
    with pytest.raises(ConfigurationError) as error:
        await started(settings)
    assert str(error.value).startswith(f"WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint {expected}, ")
    assert str(settings.root_key_file) in str(error.value)
    if damage is another_key:
        assert f"found {read_root_key(settings.root_key_file).fingerprint} in " in str(error.value)
    assert engine.content() == before, "and no log of SQLite's appeared beside it"
    assert settings.root_key_file.exists() is (damage is not Path.unlink), "none is made when there is a keyring"


@pytest.mark.parametrize("damage", DAMAGES)
async def test_nor_does_a_stored_byte_after_a_power_cut(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    settings = settings_in(tmp_path / "before")
    async with open_store(settings):
        cut = power_cut(settings, tmp_path / "after")
    before = stored(cut)
    assert any(name.endswith("-wal") and content for name, content in before.items()), "the keyring is in the log only"
    damage(cut.root_key_file)
    with pytest.raises(ConfigurationError, match="WEBAPP_ROOT_KEY_FILE: expected"):
        await started(cut)
    assert stored(cut) == before


async def test_after_a_power_cut_the_right_root_key_opens_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "before")
    async with open_store(settings):
        cut = power_cut(settings, tmp_path / "after")
    assert await started(cut) == []
    assert await fingerprint_of(cut) == await fingerprint_of(settings)


@pytest.mark.parametrize("statement", ["DELETE FROM keyring", "DELETE FROM installation", f"UPDATE keyring SET wrapped = '{'0' * 60}'"])
@pytest.mark.parametrize("key_is_there", [True, False])
async def test_a_keyring_that_was_tampered_with_is_refused_and_no_other_is_made(
    tmp_path: Path, engine: Engine, statement: str, *, key_is_there: bool
) -> None:
    settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
    await started(settings)
    engine.change(statement)
    if not key_is_there:
        settings.root_key_file.unlink()
    before = engine.content()
    with pytest.raises(ConfigurationError):
        await started(settings)
    assert engine.content() == before
    assert settings.root_key_file.exists() is key_is_there


async def test_a_database_of_a_newer_program_is_refused_and_not_a_byte_changes(tmp_path: Path, engine: Engine) -> None:
    settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
    await started(settings)
    engine.change("INSERT INTO migrations (number, name, applied_at) VALUES (9999, 'later', 0)")
    before = engine.content()
    with pytest.raises(ConfigurationError, match="the database is at migration 9999"):
        await started(settings)
    assert engine.content() == before


async def test_nor_does_a_stored_byte_of_a_newer_one_after_a_power_cut(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "before")
    async with open_store(settings) as store:
        async with store.database.transaction() as transaction:
            await transaction.execute("INSERT INTO migrations (number, name, applied_at) VALUES (9999, 'later', 0)")
        cut = power_cut(settings, tmp_path / "after")
    before = stored(cut)
    with pytest.raises(ConfigurationError, match="the database is at migration 9999"):
        await started(cut)
    assert stored(cut) == before


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.data_dir.mkdir()
    path_of(settings.database_url).write_bytes(b"not a database" * 100)
    before = files(settings)
    with pytest.raises(ConfigurationError, match="WEBAPP_DATABASE_URL"):
        await started(settings)
    assert {name: content for name, content in files(settings).items() if name != "lock"} == before


async def test_only_one_process_opens_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_store(settings):
        with pytest.raises(StoreLocked, match=rf"^WEBAPP_DATA_DIR: another process has the store in {settings.data_dir} open"):
            await started(settings)
    assert await started(settings) == []


async def test_a_store_that_somebody_else_writes_to_says_so_and_lets_go_of_everything(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await started(settings)
    other = sqlite3.connect(path_of(settings.database_url), isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    before = set(threading.enumerate())
    try:
        with pytest.raises(Exception, match="cannot be written"):
            await started(settings)
    finally:
        other.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), "each connection has a thread, and the process would not end"
    assert await started(settings) == []
