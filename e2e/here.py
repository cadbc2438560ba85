"""The control plane in this very process, in a thread of its own, with a clock that a journey moves: for what takes hours."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from e2e.server import START_SECONDS, STOP_SECONDS, Served
from tests.personas import TestClock
from tests.real.process import free_port
from webapp.app import create_app
from webapp.connections import OpenConnections
from webapp.http_protocol import HttpProtocol
from webapp.settings import Settings
from webapp.store import open_store


@contextmanager
def serve_here(folder: Path, clock: TestClock, *, host: str = "127.0.0.1", **more: str) -> Iterator[Served]:
    """Serve a fresh store in this folder on a free port of 127.0.0.1, which browsers call `host`, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environ = {"WEBAPP_DATA_DIR": str(folder / "data"), "WEBAPP_PORT": str(port), "WEBAPP_PUBLIC_URL": f"http://{host}:{port}", **more}
    settings = Settings.from_environ(environ)
    started, stop, failed = threading.Event(), threading.Event(), list[BaseException]()

    async def main() -> None:
        async with open_store(settings, clock=clock) as store:
            link = f"{settings.public_url}/setup?token={store.vault.setup_token().reveal().decode('ascii')}"
            (folder / "output").write_text(f"{link}\n")
            config = uvicorn.Config(
                create_app(settings, store=store), port=port, http=HttpProtocol, ws="none", lifespan="on", log_config=None,
                access_log=False, proxy_headers=False, server_header=False,
            )  # fmt: skip
            server = uvicorn.Server(config)
            server.server_state = OpenConnections(100, asyncio.get_running_loop().time())
            serving = asyncio.create_task(server.serve())
            while not stop.is_set() and not serving.done():
                if server.started:
                    started.set()
                await asyncio.sleep(0.02)
            server.should_exit = True
            await serving

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
            started.set()
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if not started.wait(START_SECONDS) or failed:
            raise RuntimeError(f"the server did not start: {failed}")
        variables = {name: value for name, value in os.environ.items() if not name.startswith("WEBAPP_")}
        yield Served(f"http://{host}:{port}", folder, variables | environ)
    finally:
        stop.set()
        thread.join(STOP_SECONDS)
