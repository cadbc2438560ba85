"""Many processes that begin at a time on one PostgreSQL: one of them does, and the others find that it has."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from e2e.server import run, serve
from tests.real.postgresql import Cluster

INIT, SERVE = 5, 3
HERE = 3
"""How many of them share a data directory; the others are on machines of their own."""


@pytest.fixture(scope="module")
def name(postgresql: Cluster) -> Iterator[str]:
    made = postgresql.new_database()
    yield made
    postgresql.drop_database(made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first")


def test_nothing_is_made_by_who_only_serves(tmp_path: Path, postgresql: Cluster, name: str) -> None:
    url = postgresql.url(name)
    refused = run({"WEBAPP_DATABASE_URL": url, "WEBAPP_DATA_DIR": f"{tmp_path / 'data'}"}, "serve")
    assert refused.returncode == os.EX_CONFIG
    assert "Run registry-credentials init" in refused.stderr
    assert not (tmp_path / "data-key").exists()
    assert postgresql.sql(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_one_of_many_begins_and_the_others_say_that_it_was_begun(folder: Path, postgresql: Cluster, name: str) -> None:
    folders = [folder / ("here" if number < HERE else f"machine-{number}") for number in range(INIT)]
    with ThreadPoolExecutor(INIT) as threads:
        ended = list(
            threads.map(
                lambda each: run({"WEBAPP_DATABASE_URL": postgresql.url(name), "WEBAPP_DATA_DIR": f"{each / 'data'}"}, "init"), folders
            )
        )
    assert postgresql.sql(name, "SELECT count(*) FROM installation") == "1"
    assert postgresql.sql(name, "SELECT count(*) FROM keyring") == "4"
    (fingerprint,) = postgresql.sql(name, "SELECT DISTINCT root_fingerprint FROM keyring").split()
    (begun,) = [each for each in ended if "The installation is begun." in each.stdout]
    assert f"(fingerprint {fingerprint})" in begun.stderr
    (key,) = folder.glob("*/data-key/root.key")
    for each, where in zip(ended, folders, strict=True):
        if each is begun:
            assert key.is_relative_to(where)
        elif key.is_relative_to(where):
            assert (each.returncode, each.stdout) == (0, "It was begun before; nothing was to do.\n")
        else:
            assert (each.returncode, each.stdout) == (os.EX_CONFIG, "")
            assert f"expected the root key with fingerprint {fingerprint}" in each.stderr


def test_many_start_at_a_time_on_what_was_begun(folder: Path, postgresql: Cluster, name: str) -> None:
    (key,) = folder.glob("*/data-key/root.key")
    more = {"WEBAPP_DATABASE_URL": postgresql.url(name), "WEBAPP_ROOT_KEY_FILE": f"{key}"}
    with ExitStack() as stack, ThreadPoolExecutor(SERVE) as threads:
        servers = threads.map(lambda number: stack.enter_context(serve(folder / f"server-{number}", **more)), range(SERVE))
        for server in servers:
            assert httpx2.get(f"{server.url}/readyz").status_code == 200
    assert postgresql.sql(name, "SELECT count(*) FROM keyring") == "4"
