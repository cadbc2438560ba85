"""A PostgreSQL server that the program does not go on with: what is said, and that no password is in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.postgresql import SUPERUSER, Cluster, postgresql_cluster
from webapp.clock import system_clock
from webapp.database import Database, inspect
from webapp.database.migrations import migrate
from webapp.errors import ConfigurationError

pytestmark = pytest.mark.anyio


@pytest.fixture
def name(postgresql: Cluster) -> Iterator[str]:
    made = postgresql.new_database()
    yield made
    postgresql.drop_database(made)


@pytest.mark.parametrize(
    ("setting", "said"), [("synchronous_commit = off", "synchronous_commit is off"), ("synchronous_commit = local", "")]
)
async def test_a_server_that_forgets_what_it_said_is_refused(postgresql: Cluster, name: str, setting: str, said: str) -> None:
    await postgresql.execute(SUPERUSER, f"ALTER DATABASE {name} SET {setting}")
    if not said:
        await (await Database.open(postgresql.url(name))).close()
        return
    with pytest.raises(ConfigurationError, match=said):
        await Database.open(postgresql.url(name))


async def test_a_server_without_fsync_is_refused() -> None:
    with postgresql_cluster() as cluster:
        await cluster.execute(SUPERUSER, "ALTER SYSTEM SET fsync = off")
        cluster.restart()
        with pytest.raises(ConfigurationError, match="fsync is off"):
            await Database.open(cluster.url(cluster.new_database()))


async def test_what_is_wrong_with_the_url_is_said_without_the_password(postgresql: Cluster, name: str) -> None:
    for url, said in (
        (postgresql.url(name).replace("postgresql://registry:", "postgresql://registry:hunter2"), "not accepted"),
        (postgresql.url("nothing_like_it"), "no such database"),
    ):
        with pytest.raises(ConfigurationError, match=said) as caught:
            await Database.open(url)
        assert "hunter2" not in repr(caught.value)
        assert postgresql.password not in repr(caught.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("sslmod=require", "does not take the option sslmod "),
        ("connect_timeout=hunter2", "does not take the option connect_timeout "),
        ("work_mem=hunter2", "does not take the option work_mem "),
        ("sslmode=require", "the server has no TLS"),
        ("sslmode=require&sslrootcert=/nowhere/hunter2.pem", "the file of sslrootcert cannot be read"),
        ("sslmode=verify-full", "needs sslrootcert=FILE"),
        ("sslmode=verify-full&sslrootcert=HOME/hunter2.pem", "is not what it should be, PEM"),
    ],
)
async def test_an_option_that_no_patience_helps_against_is_named(
    postgresql: Cluster, name: str, option: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where a person may have certificates of their own
    (tmp_path / "hunter2.pem").write_text("no certificate")
    url = postgresql.url(name).replace("sslmode=disable", option.replace("HOME", str(tmp_path)))
    with pytest.raises(ConfigurationError, match=said) as caught:
        await Database.open(url)
    assert "hunter2" not in str(caught.value)
    assert postgresql.password not in str(caught.value)


@pytest.mark.parametrize("table", ["widgets", "members", "migrations"])
def test_a_database_of_another_program_is_refused(postgresql: Cluster, name: str, table: str) -> None:
    postgresql.sql(name, f"SET ROLE registry; CREATE TABLE {table} (id INTEGER)")
    with pytest.raises(ConfigurationError, match=rf"tables of another program are there \({table}\)"):
        inspect(postgresql.url(name), ("SELECT number FROM migrations",))


async def test_who_may_not_make_tables_is_told_so(postgresql: Cluster, name: str) -> None:
    await postgresql.execute(SUPERUSER, f"ALTER DATABASE {name} OWNER TO {SUPERUSER}")
    database = await Database.open(postgresql.url(name))
    try:
        with pytest.raises(ConfigurationError, match="may not make or change tables there"):
            await migrate(database, system_clock)
    finally:
        await database.close()
