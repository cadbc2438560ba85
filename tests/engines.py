"""The two engines that a store may be in. A test that asks for `engine` runs once on each; those that ask for the house do."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.postgresql import Cluster
from webapp.database import Database
from webapp.database.migrations import migrate
from webapp.database.sqlite import path_of, url_of

ENGINES = ("sqlite", "postgresql")

_MIGRATED: list[bytes] = []
_TEMPLATES: dict[int, str] = {}


@dataclass
class Engine:
    """Where a test's stores are. `cluster` is None for SQLite."""

    name: str
    folder: Path
    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        self.made: list[str] = []

    def new_url(self) -> str:
        """The URL of an empty database of the test's own."""
        if self.cluster is None:
            self.made.append(f"{len(self.made)}.sqlite3")
            return url_of(self.folder / self.made[-1])
        self.made.append(self.cluster.new_database())
        return self.cluster.url(self.made[-1])

    async def migrated_url(self) -> str:
        """As `new_url`, of a database in which is what the migrations make: they take more time than most of the tests."""
        if self.cluster is None:
            url = self.new_url()
            path_of(url).write_bytes(await _migrated_file())
            return url
        template = _TEMPLATES.get(self.cluster.port)
        if template is None:
            template = _TEMPLATES[self.cluster.port] = self.cluster.new_database()
            await _migrate(self.cluster.url(template))
        self.made.append(self.cluster.new_database(template))
        return self.cluster.url(self.made[-1])

    def drop(self) -> None:
        """Drop what was made."""
        if self.cluster is not None:
            for name in self.made:
                self.cluster.drop_database(name)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The engine that the test runs on; a file may name the ones that it is about by a parameter of its own."""
    made = Engine(request.param, tmp_path, request.getfixturevalue("postgresql") if request.param == "postgresql" else None)
    yield made
    made.drop()


async def _migrated_file() -> bytes:
    if not _MIGRATED:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "migrated.sqlite3")
            await _migrate(url_of(path))
            _MIGRATED.append(path.read_bytes())  # noqa: ASYNC240  once in a process
    return _MIGRATED[0]


async def _migrate(url: str) -> None:
    database = await Database.open(url)
    await migrate(database, lambda: 1)
    await database.close()
