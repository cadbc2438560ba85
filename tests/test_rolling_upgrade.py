"""A new version beside the old one on one PostgreSQL: it migrates while the old one serves, both serve, and the old one may come back."""

import asyncio
import contextlib
import os
import random
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

import webapp
from e2e.server import Server, run, serve
from tests.battery.several import FIRST, another, environ_of, install, key_of, member
from tests.battery.story import Story, enrol, everybody, move_in
from tests.real.history import violations
from tests.real.postgresql import ROLE, Cluster
from webapp.database.migrations import FOLDER

pytestmark = pytest.mark.anyio

AT_ONCE = 4
"""Processes that start at the same time: each takes a second of a processor, and there are two."""

NEWEST = max(int(path.name[:4]) for path in FOLDER.glob("*.sql"))
ADDED = """\
ALTER TABLE images ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';
CREATE TABLE paints (
    id TEXT PRIMARY KEY,
    colour TEXT NOT NULL
);
"""
"""What a version may add: nothing that the one before it, which does not know of it, fails over."""

PROGRAM = "import sys\nfrom webapp.cli import main\nsys.exit(main())\n"


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What Python runs for the next version: this program with one more migration."""
    return (str(_version(tmp_path_factory.mktemp("new"), ADDED)),)


@pytest.fixture
def url(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.new_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


def _version(folder: Path, *added: str) -> Path:
    """This program in a folder, with so many migrations more; returns what starts it."""
    package = Path(webapp.__file__).parent
    shutil.copytree(package, folder / "webapp")  # with what is compiled already
    for name in ("templates", "static"):
        (folder / name).symlink_to(package.parent / name)
    for number, sql in enumerate(added, NEWEST + 1):
        (folder / "webapp" / "database" / "migrations" / f"{number:04}_added.sql").write_text(sql)
    (folder / "program.py").write_text(PROGRAM)
    return folder / "program.py"


def name_in(url: str) -> str:
    """The database's name."""
    return urlsplit(url).path.lstrip("/")


def applied(postgresql: Cluster, url: str) -> list[int]:
    """The migrations that the database has, each as often as it is noted."""
    return [int(line) for line in postgresql.sql(name_in(url), "SELECT number FROM migrations ORDER BY number").split()]


@contextlib.asynccontextmanager
async def at_work(several: list[Server], alice: httpx2.AsyncClient, story: Story, number: int) -> AsyncIterator[None]:
    """Everybody asks and changes at these servers meanwhile, for the first time, the second…; raises what went wrong for one of them."""
    await enrol(alice, story, f"temporary-{number}")
    chance = random.Random(1)  # noqa: S311  not a secret
    tasks = [asyncio.create_task(work) for work in everybody([server.url for server in several], alice, story, number, chance)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in ended if isinstance(each, Exception)] == []


def started(stack: ExitStack, folder: Path, url: str, program: tuple[str, ...]) -> Server:
    """A server of another version on this installation."""
    same = {"WEBAPP_DATABASE_URL": url, "WEBAPP_ROOT_KEY_FILE": f"{key_of(folder)}", "WEBAPP_LOG_LEVEL": "info"}
    return stack.enter_context(serve(folder / f"{len(list(folder.iterdir()))}", program=program, **same))


async def test_the_new_version_migrates_while_the_old_one_serves_and_both_go_on(
    tmp_path: Path, postgresql: Cluster, url: str, new: tuple[str, ...]
) -> None:
    install(tmp_path, url)
    story = Story(may_refuse=True)
    with ExitStack() as stack:
        old = stack.enter_context(another(tmp_path, url, FIRST))
        async with member([old]) as alice:
            await move_in(old, alice, story)
            async with at_work([old], alice, story, 0):
                newer = await asyncio.to_thread(started, stack, tmp_path, url, new)
                assert applied(postgresql, url) == [*range(1, NEWEST + 2)]
        cookies = alice.cookies
        async with member([old, newer]) as alice:
            alice.cookies = cookies
            async with at_work([old, newer], alice, story, 1):
                await asyncio.sleep(0.3)
        # A process of the old version may start again beside the new one: the database is one ahead of it.
        async with member([newer]) as alice:
            alice.cookies = cookies
            async with at_work([newer], alice, story, 2):
                again = await asyncio.to_thread(stack.enter_context, another(tmp_path, url, "again"))
                old.process.terminate()
                assert await asyncio.to_thread(old.process.wait, 10) == 0
            assert (await alice.get(f"{again.url}/readyz")).status_code == 200
        for server in (old, newer, again):
            assert not re.search(r" (ERROR|CRITICAL) ", server.log.read_text())
    assert violations(story.writes, story.reads) == []
    assert story.refused == [], "nobody was told to try again"
    assert applied(postgresql, url) == [*range(1, NEWEST + 2)]


def test_a_database_that_is_two_ahead_is_refused(tmp_path: Path, postgresql: Cluster, url: str) -> None:
    install(tmp_path, url)
    added = f"INSERT INTO migrations VALUES ({NEWEST + 1}, 'a', 1), ({NEWEST + 2}, 'b', 1)"
    postgresql.sql(name_in(url), f"SET ROLE {ROLE}; {added}")
    ended = run({**environ_of(tmp_path, url), "WEBAPP_ROOT_KEY_FILE": f"{key_of(tmp_path)}"}, "serve")
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    assert ended.stderr == (
        f"registry-credentials: WEBAPP_DATABASE_URL: the database is at migration {NEWEST + 2}, and this program knows {NEWEST} at the"
        " most. Run the newer program.\n"
    )


def test_many_that_start_at_once_migrate_once(tmp_path: Path, postgresql: Cluster, url: str, new: tuple[str, ...]) -> None:
    install(tmp_path, url)
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as starters:
        for number in range(AT_ONCE):
            (tmp_path / f"{number}").mkdir()
        same = {"WEBAPP_DATABASE_URL": url, "WEBAPP_ROOT_KEY_FILE": f"{key_of(tmp_path)}", "WEBAPP_LOG_LEVEL": "info"}
        several = list(starters.map(lambda number: stack.enter_context(serve(tmp_path / f"{number}", program=new, **same)), range(AT_ONCE)))
        for server in several:
            assert httpx2.get(f"{server.url}/readyz").status_code == 200
            assert not re.search(r" (ERROR|CRITICAL) ", server.log.read_text())
    assert applied(postgresql, url) == [*range(1, NEWEST + 2)]
    assert postgresql.sql(name_in(url), "SELECT count(*) FROM information_schema.columns WHERE column_name = 'colour'") == "2"
