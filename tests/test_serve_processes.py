"""`serve` in several processes on one PostgreSQL: one announcement, one store, and nobody who is missed when a process ends."""

import contextlib
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from e2e.server import STOP_SECONDS, Server, run, serve
from tests.personas import PASSWORD
from tests.real.postgresql import Cluster
from tests.real.process import free_port
from tests.test_processes import is_there

PROCESSES = 3
PATIENCE_SECONDS = 20


@pytest.fixture(scope="module")
def database(postgresql: Cluster) -> Iterator[str]:
    name = postgresql.new_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Server]:
    """A server of several processes on a new installation."""
    folder = tmp_path_factory.mktemp("processes")
    environ = {"WEBAPP_DATABASE_URL": database, "WEBAPP_PROCESSES": f"{PROCESSES}"}
    assert run({**environ, "WEBAPP_DATA_DIR": f"{folder / 'data'}"}, "init").returncode == 0
    with serve(folder, **environ) as running:
        yield running


def serving(server: Server, count: int = PROCESSES) -> list[int]:
    """The workers that have said so in the log, once there are so many."""
    until(lambda: len(_that_serve(server)) >= count, server)
    return _that_serve(server)


def until(happens: Callable[[], bool], server: Server) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, server.log.read_text()[-2000:]
        time.sleep(0.01)


def answered(server: Server, path: str) -> Counter[int]:
    """How many requests for this path the log has of each process."""
    return Counter(
        int(pid) for pid in re.findall(rf" INFO webapp\.request\[(\d+)\]: answered method=GET path={path} ", server.log.read_text())
    )


def _that_serve(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r" INFO webapp\.processes: a process serves pid=(\d+)\n", server.log.read_text())]


def test_it_announces_itself_once(server: Server) -> None:
    pids = serving(server)
    assert len({*pids, server.process.pid}) == PROCESSES + 1
    where, link = server.output.splitlines()
    assert where == f"Serving on {server.url}"
    assert link == f"Set up the account and its first admin here (this works once): {server.setup_link}"
    assert server.setup_link.partition("token=")[2] not in server.log.read_text()


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are seen in /proc, which is Linux's")
def test_no_process_writes_its_memory_anywhere(server: Server) -> None:
    for pid in (server.process.pid, *serving(server)):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux spreads connections")
def test_every_process_answers_and_knows_what_was_done_at_another(server: Server) -> None:
    pids = serving(server)
    everywhere = httpx2.Limits(max_keepalive_connections=0)  # a connection for each request
    with httpx2.Client(base_url=server.url, limits=everywhere, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        token = server.setup_link.partition("token=")[2]
        account = {"token": token, "email": "ana@example.com", "password": PASSWORD, "repeated": PASSWORD}
        assert client.post("/setup", data=account).status_code == 303
        assert client.post("/login", data={"email": "ana@example.com", "password": PASSWORD}).status_code == 303
        tries = 0
        while set(answered(server, "/registry-credentials")) != {*pids}:
            assert client.get("/registry-credentials").status_code == 200
            tries += 1
            assert tries < 100, answered(server, "/registry-credentials")


def test_one_that_is_killed_is_replaced_and_the_others_go_on(server: Server) -> None:
    pids = serving(server)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: f"a process ended; another one is started pid={pids[0]} signal=SIGKILL " in server.log.read_text(), server)
    for _ in range(20):
        assert httpx2.get(f"{server.url}/livez").status_code == 200, "also before the next one is there"
    assert len(set(serving(server, PROCESSES + 1))) == PROCESSES + 1
    assert server.output.count("Serving on") == 1


def test_systemd_tells_all_of_them_and_each_ends_in_order(tmp_path: Path, server: Server) -> None:
    with another(tmp_path, server) as second:
        pids = serving(second)
        assert "/setup" not in second.output, "there is an account"
        for pid in (*pids, second.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert second.process.wait(STOP_SECONDS) == 0
        assert "ERROR" not in second.log.read_text()
        assert not any(is_there(pid) for pid in pids)


def test_what_is_wrong_is_said_once(tmp_path: Path, server: Server) -> None:
    wrong = {"WEBAPP_PORT": f"{free_port()}", "WEBAPP_ROOT_KEY_FILE": f"{tmp_path / 'none.key'}"}
    ended = run({**server.environ, **wrong}, "serve")
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("registry-credentials: WEBAPP_ROOT_KEY_FILE: ")


def test_when_the_parent_is_killed_nobody_goes_on_serving(server: Server) -> None:
    """The last test of the file: it leaves nothing that serves."""
    pids = _that_serve(server)
    port = int(server.url.rpartition(":")[2])
    assert _listens(port)
    server.process.kill()
    server.process.wait(STOP_SECONDS)
    until(lambda: not any(is_there(pid) for pid in pids), server)
    assert not _listens(port)


@contextlib.contextmanager
def another(folder: Path, server: Server) -> Iterator[Server]:
    """One more server on the same database, as on another host, with the same root key."""
    same = {name: server.environ[name] for name in ("WEBAPP_DATABASE_URL", "WEBAPP_PROCESSES")}
    with serve(folder, WEBAPP_ROOT_KEY_FILE=f"{server.folder / 'data-key' / 'root.key'}", **same) as second:
        yield second


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
