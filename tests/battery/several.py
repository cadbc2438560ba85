"""Several servers on one PostgreSQL, each a process with a data directory of its own, and clients who go from one to the next."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import httpx2

from e2e.server import Server, run, serve
from tests.battery.faulty import program
from webapp.settings import Settings

FIRST = "first"
"""The folder of the server that made the root key."""


@contextmanager
def servers(folder: Path, url: str, count: int = 2, fault: str = "", **more: str) -> Iterator[list[Server]]:
    """So many servers on this empty database; a `fault`, if there is one, is in the last of them."""
    install(folder, url)
    names = [FIRST, *(f"{number}" for number in range(1, count))]
    with ExitStack() as stack, ThreadPoolExecutor(count) as starters:

        def start(name: str) -> Server:
            return stack.enter_context(another(folder, url, name, fault if name == names[-1] else "", **more))

        yield list(starters.map(start, names))


def install(folder: Path, url: str) -> None:
    """What an operator does once: the tables and the root key."""
    done = run({**environ_of(folder, url)}, "init")
    assert done.returncode == 0, done.stderr


@contextmanager
def another(folder: Path, url: str, name: str, fault: str = "", **more: str) -> Iterator[Server]:
    """A server of this installation, with a folder of its own that has this name."""
    same = {"WEBAPP_DATABASE_URL": url, "WEBAPP_ROOT_KEY_FILE": f"{key_of(folder)}", "WEBAPP_LOG_LEVEL": "info"}
    with serve(folder / name, program=program(fault), **(same | more)) as server:
        yield server


def key_of(folder: Path) -> Path:
    """The installation's root key."""
    return folder / FIRST / "data-key" / "root.key"


def environ_of(folder: Path, url: str) -> dict[str, str]:
    """The environment of a command of the first server's, without a server."""
    return {"WEBAPP_DATA_DIR": f"{folder / FIRST / 'data'}", "WEBAPP_DATABASE_URL": url}


def settings_at(folder: Path, url: str) -> Settings:
    """For who opens the store in this process."""
    return Settings.from_environ({**environ_of(folder, url), "WEBAPP_ROOT_KEY_FILE": f"{key_of(folder)}"})


class Turns(httpx2.AsyncHTTPTransport):
    """Sends each request to the next one of these servers."""

    def __init__(self, several: Sequence[Server]) -> None:
        super().__init__()
        self._ports = cycle([int(server.url.rpartition(":")[2]) for server in several])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        request.headers["Host"] = f"{request.url.host}:{request.url.port}"
        return await super().handle_async_request(request)


def member(several: Sequence[Server], timeout: float = 10) -> httpx2.AsyncClient:
    """A member's browser, which is sent from one server to the next with every request."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    return httpx2.AsyncClient(transport=Turns(several), base_url=several[0].url, headers=headers, timeout=timeout)
