"""Opening the store: the first start, the right root key, and every wrong one, which changes nothing."""

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.personas import settings_in
from webapp.database.sqlite import path_of
from webapp.errors import ConfigurationError, StoreLocked
from webapp.settings import Settings
from webapp.store import open_store
from webapp.vault import create_root_key

pytestmark = pytest.mark.anyio


async def started(settings: Settings) -> list[str]:
    """Open the store once and close it; returns what it said."""
    said: list[str] = []
    async with open_store(settings, notices=said.append):
        pass
    return said


def files(settings: Settings) -> dict[str, bytes]:
    """Every file beside the database, byte for byte."""
    return {path.name: path.read_bytes() for path in path_of(settings.database_url).parent.iterdir()}


async def test_the_first_start_makes_a_root_key_outside_of_the_data_and_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    said = " ".join(await started(settings))
    key = settings.root_key_file
    assert not key.is_relative_to(settings.data_dir)
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert str(key) in said
    assert "fingerprint" in said
    assert "without it nothing that is stored here can be opened" in said
    assert await started(settings) == [], "the second start makes none"


async def test_a_start_that_ended_before_its_keyring_goes_on_with_the_same_key(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    made = create_root_key(settings.root_key_file)
    assert await started(settings) == []
    async with open_store(settings) as store:
        row = await store.database.fetch_one("SELECT root_fingerprint FROM keyring")
        assert row is not None
        assert row["root_fingerprint"] == made.fingerprint


def another_key(path: Path) -> None:
    path.unlink()
    create_root_key(path)


def cut_key(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:20])


def open_key(path: Path) -> None:
    path.chmod(0o444)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [another_key, Path.unlink, cut_key, open_key, folder_instead])
async def test_a_wrong_root_key_is_refused_and_not_a_byte_changes(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    settings = settings_in(tmp_path)
    await started(settings)
    async with open_store(settings) as store:
        expected = (await store.database.fetch_all("SELECT root_fingerprint FROM keyring"))[0]["root_fingerprint"]
    before = files(settings)
    damage(settings.root_key_file)
    with pytest.raises(ConfigurationError) as error:
        await started(settings)
    assert str(error.value).startswith("WEBAPP_ROOT_KEY_FILE: ")
    assert str(settings.root_key_file) in str(error.value)
    if damage in (another_key, Path.unlink):
        assert expected in str(error.value)
    assert files(settings) == before
    assert settings.root_key_file.exists() is (damage is not Path.unlink), "none is made when there is a keyring"


async def test_a_database_of_a_newer_program_is_refused_and_not_a_byte_changes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await started(settings)
    connection = sqlite3.connect(path_of(settings.database_url))
    connection.execute("INSERT INTO migrations (number, name, applied_at) VALUES (9999, 'later', 0)")
    connection.commit()
    connection.close()
    before = files(settings)
    with pytest.raises(ConfigurationError, match="the database is at migration 9999"):
        await started(settings)
    assert files(settings) == before


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
        with pytest.raises(StoreLocked):
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
