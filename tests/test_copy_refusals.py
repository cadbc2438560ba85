"""What is not copied to PostgreSQL, and why; and that whatever goes wrong on the way leaves no row there."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.personas import TestClock, settings_in
from tests.real.postgresql import SUPERUSER, Cluster
from webapp.cli import CANNOT_START, main
from webapp.command import REFUSED, Refusal
from webapp.copy_command import copy
from webapp.database.catalogue import our_tables
from webapp.database.copies import CopyFailed
from webapp.database.lock import store_lock
from webapp.database.moving import Moved
from webapp.database.moving_source import opened
from webapp.database.sqlite import path_of
from webapp.errors import AppError, Unavailable
from webapp.settings import FROM_FILES, VARIABLES, Settings
from webapp.store import open_store

pytestmark = pytest.mark.anyio

Shell = Callable[..., Awaitable[tuple[int, str]]]

ACCOUNT = "INSERT INTO accounts (id, name, version, created_at) VALUES ('acme', 'Acme', 1, 2)"


@dataclass
class Small:
    """A store that was begun, and has an account; and an empty database to copy it to."""

    settings: Settings
    file: Path
    cluster: Cluster
    url: str = field(repr=False)

    @property
    def database(self) -> str:
        """The name of the database to copy to."""
        return self.url.rpartition("/")[2].partition("?")[0]

    def write(self, *statements: str) -> None:
        """What somebody does to the file who owns it."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA ignore_check_constraints=ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    async def copy(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Moved:
        """Copy it."""
        return await copy(self.settings, self.file, self.url, progress=progress, clock=TestClock())

    async def refused(self, error: type[AppError] = CopyFailed) -> str:
        """Why it is not copied; nothing has changed in the file, and nothing is in the database."""
        before = self.file.read_bytes()
        with pytest.raises(error) as caught:
            await self.copy()
        assert self.file.read_bytes() == before
        assert self.rows() == 0
        return str(caught.value)

    def rows(self) -> int:
        """How many rows of ours are in the database."""
        return int(self.cluster.sql(self.database, f"SELECT {' + '.join(f'(SELECT count(*) FROM {name})' for name in our_tables())}"))


@pytest.fixture
async def target(postgresql: Cluster, tmp_path: Path) -> AsyncIterator[str]:
    engine = Engine("postgresql", tmp_path, postgresql)
    yield await engine.migrated_url()
    engine.drop()


@pytest.fixture
async def small(postgresql: Cluster, tmp_path: Path, target: str) -> Small:
    settings = settings_in(tmp_path)
    settings.make_data_dir()
    file = path_of(settings.database_url)
    shutil.copy(path_of(await Engine("sqlite", tmp_path).migrated_url()), file)
    async with open_store(settings):
        pass
    made = Small(settings, file, postgresql, target)
    made.write(ACCOUNT)
    return made


async def test_an_interrupted_copy_leaves_no_row_and_the_next_one_works(small: Small) -> None:
    def cut(done: int, total: int) -> None:
        small.cluster.sql(SUPERUSER, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{small.database}'")

    with pytest.raises(Unavailable, match="nothing was copied"):
        await small.copy(cut)
    assert small.rows() == 0

    def cancel(done: int, total: int) -> None:
        if done > total // 2:  # when it reads back
            copying.cancel()

    copying = asyncio.create_task(small.copy(cancel))
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert small.rows() == 0
    moved = await small.copy()
    assert small.rows() == sum(moved.rows.values()) > 0
    with pytest.raises(CopyFailed, match="There is an installation in the PostgreSQL database already"):
        await small.copy()
    assert small.rows() == sum(moved.rows.values())


OF_ACME = "accounts: the column {} of the row id 'acme' {}."

UNFIT = {
    "UPDATE accounts SET version = 'one'": OF_ACME.format("version", "holds text where there should be a whole number"),
    "UPDATE accounts SET version = 1.5": OF_ACME.format("version", "holds a number that is not whole where there should be a whole number"),
    "UPDATE accounts SET version = 2147483648": OF_ACME.format("version", "holds a number beyond 2,147,483,647"),
    "UPDATE accounts SET name = x'733363726574'": OF_ACME.format("name", "holds bytes where there should be text"),
    "UPDATE accounts SET id = CAST(x'61ff' AS TEXT)": r"accounts: the column id of the row id 'a\udcff' holds a text that is not UTF-8.",
    "UPDATE accounts SET id = NULL": "accounts: the column id of the row id None is empty, and may not be.",
    "UPDATE keyring SET wrapped = 's3cret'": "keyring: the column wrapped of the row id 1 holds text where there should be bytes.",
}
REFUSED_THERE = {
    "UPDATE accounts SET version = 'one'": OF_ACME.format("version", "holds text where there should be a whole number"),
    "UPDATE accounts SET name = 'a' || char(0) || 's3cret'": OF_ACME.format(
        "name", "holds a text with a NUL character, which PostgreSQL has none of"
    ),
    "UPDATE accounts SET name = CAST(x'73336372657480' AS TEXT)": OF_ACME.format("name", "holds a text that is not UTF-8"),
    "INSERT INTO form_nonces VALUES ('nobody', 'n', 'r', 1)": (
        "form_nonces: the column account_id of the row account_id 'nobody', nonce 'n' names a row of accounts that is not there."
    ),
    "INSERT INTO members VALUES ('m', 'acme', 's3cret', 'e', 'king', '', x'', 1, 1)": (
        "members: there is a row that breaks a rule there (members_role_check)."
    ),
}


async def test_a_row_that_postgresql_cannot_hold_is_named(small: Small) -> None:
    whole = small.file.read_bytes()
    for statement, sentence in REFUSED_THERE.items():
        small.write(statement)
        assert await small.refused() == f"{sentence} Nothing was copied."
        small.file.write_bytes(whole)
    for statement, sentence in UNFIT.items():
        small.write(statement)
        with opened(small.file) as source:
            assert next(said for table in source.tables.values() if (said := source.unfit(table))) == sentence
        small.file.write_bytes(whole)
    await small.copy()


ODD = {
    "DELETE FROM keyring": "is no store of this program: it holds no keyring",
    "DELETE FROM migrations WHERE number > 3": "is at migration 3, and this program at",
    "INSERT INTO migrations VALUES (9999, 'x', 1)": "is at migration 9999, and this program knows",
    "CREATE TRIGGER t AFTER DELETE ON sessions BEGIN SELECT 1; END": "holds triggers or views",
    "CREATE TABLE notes (id TEXT PRIMARY KEY)": "has tables that are not as this program makes them: 'notes'",
    "ALTER TABLE accounts ADD COLUMN note TEXT": "has tables that are not as this program makes them: 'accounts'",
}


async def test_a_file_that_is_no_store_of_this_version_is_refused(small: Small) -> None:
    whole = small.file.read_bytes()

    def refused() -> str:
        before = small.file.read_bytes()
        with pytest.raises(CopyFailed) as caught, opened(small.file):
            pass
        assert small.file.read_bytes() == before
        return str(caught.value)

    for statement, sentence in ODD.items():
        small.write(statement)
        assert sentence in refused()
        small.file.write_bytes(whole)
    small.file.write_bytes(b"no database at all, but of some length" * 100)
    assert "cannot be read (SQLITE_NOTADB)" in refused()
    small.file.write_bytes(whole[:-8192] + bytes(8192))
    assert "is damaged" in refused()
    small.file.unlink()
    with pytest.raises(CopyFailed, match="There is no file"):
        await small.copy()


async def test_rows_that_an_index_has_lost_are_missed(small: Small) -> None:
    """Rows are read in the order of an index: what is not in it would be left behind."""
    names = ["sqlite_autoindex_accounts_1", "sqlite_autoindex_sessions_1"]
    with closing(sqlite3.connect(small.file)) as connection:
        roots = [connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0] for name in names]
    set_root = "UPDATE sqlite_master SET rootpage = {} WHERE name = '{}'"
    small.write("PRAGMA writable_schema=ON", set_root.format(roots[1], names[0]), set_root.format(roots[0], names[1]))
    assert "is damaged: accounts has rows that its index has not" in await small.refused()


async def test_a_store_in_use_is_refused(small: Small, tmp_path: Path) -> None:
    with store_lock(small.settings.data_dir):
        assert "is in use. Stop the server first." in await small.refused(Refusal)
        small.settings = settings_in(tmp_path / "elsewhere")  # whose data directory is not the file's
        assert "is in use. Stop the server first." in await small.refused(Refusal)
    await small.copy()
    assert not small.settings.data_dir.exists(), "nothing is made there"


async def test_a_store_that_is_written_to_meanwhile_is_refused(small: Small) -> None:
    with pytest.raises(CopyFailed, match="was written to meanwhile"):
        await small.copy(lambda done, total: os.utime(small.file, (1, 1)))
    assert small.rows() == 0


async def test_what_a_killed_server_has_left_in_the_log_is_copied(small: Small) -> None:
    with closing(sqlite3.connect(small.file, isolation_level=None)) as killed:
        killed.execute(ACCOUNT.replace("'acme'", "'in the log'"))
        names = [small.file, small.file.with_name(small.file.name + "-wal")]
        contents = [name.read_bytes() for name in names]
    for name, content in zip(names, contents, strict=True):
        name.write_bytes(content)
    assert (await small.copy()).rows["accounts"] == 2
    assert [name.read_bytes() for name in names] == contents


async def test_a_database_with_other_things_in_it_is_refused(small: Small) -> None:
    small.cluster.sql(small.database, f"SET ROLE registry; {ACCOUNT}")
    with pytest.raises(CopyFailed, match="The table accounts of the PostgreSQL database has rows already"):
        await small.copy()
    small.cluster.sql(small.database, "DELETE FROM accounts; ALTER TABLE accounts ADD COLUMN note TEXT")
    assert "accounts of the PostgreSQL database is not as this program makes it" in await small.refused()
    small.cluster.sql(small.database, "ALTER TABLE accounts DROP COLUMN note; INSERT INTO migrations VALUES (9999, 'x', 1)")
    assert "Run the newer program" in await small.refused(AppError)


async def test_what_reads_otherwise_than_it_was_written_is_not_kept(small: Small) -> None:
    changes = "LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || ' '; RETURN NEW; END $$"
    trigger = "CREATE TRIGGER other BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION other()"
    small.cluster.sql(small.database, f"CREATE FUNCTION other() RETURNS trigger {changes}; {trigger}")
    assert "accounts reads otherwise in PostgreSQL than it was written" in await small.refused()


@pytest.fixture
def shell(small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command line on the small store."""
    for name in (*VARIABLES, *FROM_FILES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBAPP_DATA_DIR", str(small.settings.data_dir))

    async def run(*arguments: str) -> tuple[int, str]:
        try:
            status = await asyncio.to_thread(main, ["copy", *arguments])  # with an event loop of its own
        except SystemExit as error:
            status = int(str(error.code))
        return status, "".join(capsys.readouterr())

    return run


async def test_the_command_says_what_was_copied_and_what_is_next(
    small: Small, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = await shell()
    assert (status, "Say where to: --to-file FILE" in said) == (REFUSED, True)
    file = tmp_path / "url"
    file.write_text(f"{small.url}\n")
    status, said = await shell("--to-file", str(file))
    assert status == 0, said
    assert "accounts                                1\n" in said
    assert "SHA-256 of both sides: " in said
    assert f"Put {small.file} away: start no server on it again." in said
    monkeypatch.setenv("WEBAPP_DATABASE_URL_FILE", str(file))
    assert "There is an installation in the PostgreSQL database already" in (await shell())[1]
    assert small.cluster.password not in said


async def test_the_command_refuses_what_is_no_place_and_shows_no_password(small: Small, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("postgresql+asyncpg://u:s3cret@h/d")
    (tmp_path / "file").write_text("sqlite:///other")
    nowhere = "postgresql://u:s3cret@127.0.0.1:1/d"
    tries: dict[tuple[str, ...], tuple[int, str]] = {
        ("--to", "postgresql://u:s3cret@h"): (2, "argument --to: it cannot be used. Write postgresql://"),
        ("--to", "sqlite:///other"): (REFUSED, "--to is a PostgreSQL database"),
        ("--to-file", str(tmp_path / "file")): (REFUSED, "--to-file is a PostgreSQL database"),
        ("--to-file", str(tmp_path / "wrong")): (REFUSED, "--to-file: it cannot be used."),
        ("--to-file", str(tmp_path / "missing")): (REFUSED, "cannot be read (No such file or directory)"),
        ("--to", nowhere, "--from", nowhere): (REFUSED, "--from is a SQLite store"),
        ("--to", nowhere, "--from", "sqlite:////none/there"): (REFUSED, "There is no file /none/there"),
        ("--to", nowhere): (os.EX_TEMPFAIL, "cannot be reached"),
        ("--to", small.url.replace(":p%25", ":s3cret")): (CANNOT_START, "--to: the user or the password is not accepted"),
    }
    for arguments, (status, sentence) in tries.items():
        found, said = await shell(*arguments)
        assert (found, sentence in said) == (status, True), said
        assert "s3cret" not in said
    assert small.rows() == 0
