"""A PostgreSQL server that the program does not go on with: what is said, and that no password is in it."""

from collections.abc import Iterator

import pytest

from tests.real.postgresql import SUPERUSER, Cluster, postgresql_cluster
from webapp.database import Database
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
