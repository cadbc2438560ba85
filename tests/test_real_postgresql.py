"""The PostgreSQL of the tests is a real one: what it has acknowledged outlives a crash, and the loss of the primary."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.real.postgresql import ROLE, SUPERUSER, Cluster, postgresql_cluster, standby_of

ROOT = Path(__file__).resolve().parent.parent
IMAGES = f"SET ROLE {ROLE}; CREATE TABLE images (name text PRIMARY KEY); INSERT INTO images VALUES ('debian'), ('Alpine')"
NAMES = "SELECT name FROM images ORDER BY name"


@pytest.fixture
def images(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.new_database()
    postgresql.sql(name, IMAGES)
    yield name
    postgresql.drop_database(name)


def test_a_row_is_there_after_a_crash(postgresql: Cluster, images: str) -> None:
    postgresql.kill()
    with pytest.raises(RuntimeError, match="refused"):
        postgresql.sql(images, NAMES)
    postgresql.start()
    assert postgresql.sql(images, NAMES) == "Alpine\ndebian"
    assert "not properly shut down" in postgresql.log.read_text()


def test_a_database_made_from_a_template_has_its_rows_and_is_its_own(postgresql: Cluster, images: str) -> None:
    copy = postgresql.new_database(images)
    postgresql.sql(copy, "DELETE FROM images WHERE name = 'debian'")
    assert postgresql.sql(copy, NAMES) == "Alpine"
    assert postgresql.sql(images, NAMES) == "Alpine\ndebian"
    postgresql.drop_database(copy)
    with pytest.raises(RuntimeError, match="does not exist"):
        postgresql.sql(copy, NAMES)


def test_text_is_ordered_by_its_bytes_or_as_a_language_has_it(postgresql: Cluster) -> None:
    words = "SELECT word FROM (VALUES ('b'), ('a'), ('B')) AS words (word) ORDER BY word"
    bytewise, english = postgresql.new_database(), postgresql.new_database(icu_locale="en-US")
    assert postgresql.sql(bytewise, words).split() == ["B", "a", "b"]
    assert postgresql.sql(english, words).split() == ["a", "b", "B"]
    for name in (bytewise, english):
        postgresql.drop_database(name)


def test_it_asks_for_the_password_of_the_url(postgresql: Cluster, images: str) -> None:
    url = postgresql.url(images)
    assert unquote(urlsplit(url).password or "") == postgresql.password
    assert postgresql.password not in repr(postgresql)
    signed_in = postgresql.run("psql", "-XAt", url, "-c", "SELECT current_user, usesuper FROM pg_user WHERE usename = current_user")
    assert signed_in == f"{ROLE}|f\n"
    with pytest.raises(RuntimeError, match="password authentication failed"):
        postgresql.run("psql", "-X", f"postgresql://{ROLE}:wrong@127.0.0.1:{postgresql.port}/{images}", "-c", "SELECT 1")


@pytest.mark.anyio
async def test_an_async_test_asks_as_well(postgresql: Cluster) -> None:
    assert await postgresql.execute(SUPERUSER, "SHOW fsync; SHOW synchronous_commit") == "on\non"


def test_a_standby_has_every_row_that_was_acknowledged_and_takes_over(postgresql: Cluster, images: str) -> None:
    with standby_of(postgresql) as standby:
        postgresql.sql(images, "INSERT INTO images VALUES ('busybox')")
        with pytest.raises(RuntimeError, match="read-only"):
            standby.sql(images, "DELETE FROM images")
        postgresql.kill()
        standby.promote()
        standby.sql(images, "INSERT INTO images VALUES ('void')")
        assert standby.sql(images, NAMES).split() == ["Alpine", "busybox", "debian", "void"]
        where = standby.run("psql", "-XAt", f"{postgresql.url(images, standby)}&target_session_attrs=read-write", "-c", "SHOW port")
        assert where == f"{standby.port}\n"
    postgresql.start()
    # Nobody is waited for any more: this would not return.
    postgresql.sql(images, "INSERT INTO images VALUES ('alone')")


def test_the_log_is_kept_where_that_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    with postgresql_cluster(tmp_path) as cluster:
        folder = cluster.folder
        assert folder.is_dir()
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["postgresql.log"]


KILLED = """\
import os, signal
from tests.real.postgresql import postgresql_cluster

with postgresql_cluster() as cluster:
    print(cluster.folder, cluster.port, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_where_the_tests_were_killed() -> None:
    # Who cleans up has the same standard error, so that this returns when it has.
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=False)
    folder, port = killed.stdout.split()
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    assert not Path(folder).exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(port))):
        pass
