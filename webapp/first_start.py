"""`registry-credentials init`: begin an installation, which every process of a shared database then opens."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.command import DONE, Outcome, lines
from webapp.database import Database, is_postgresql
from webapp.errors import ConfigurationError, Unavailable
from webapp.settings import Settings
from webapp.store import open_store
from webapp.terminal import begin_command

_BEGIN = "the installation is begun"

_TRIES, _PAUSE = 300, 0.1
"""How often, and with how many seconds in between, a process tries that waits for another one, which may have to ask a KMS."""


def init_command_line(settings: Settings) -> Outcome:
    """Make the tables, the root key and the keyring, unless they are there. Raises ConfigurationError, Unavailable."""
    begin_command(settings)
    os.umask(0o077)
    settings.make_data_dir()
    return asyncio.run(_init(settings))


async def _init(settings: Settings) -> Outcome:
    said: list[str] = []

    def notice(line: str) -> None:
        said.append(line)
        sys.stderr.write(f"{line}\n")

    try:
        # On PostgreSQL others may do the same now: whoever comes second finds a keyring, and makes no root key that nobody needs.
        async with _alone(settings), open_store(settings, notices=notice, first=True, patience=True):
            pass
    except OSError as error:
        raise ConfigurationError(f"WEBAPP_DATA_DIR: the store in {settings.data_dir} cannot be opened ({error}).") from None
    return Outcome(DONE, lines("The installation is begun. Start the server." if said else "It was begun before; nothing was to do."))


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[None]:
    """Wait for who begins in this database just now. Raises Unavailable when it takes very long."""
    if not is_postgresql(settings.database_url):
        yield  # the data directory's lock does it
        return
    database = await Database.open(settings.database_url, patience=True)
    try:
        for _ in range(_TRIES):
            async with database.exclusively(_BEGIN) as alone:
                if alone:
                    yield
                    return
            await asyncio.sleep(_PAUSE)
        raise Unavailable("Another process is beginning the installation, and does not come to an end. Try again.")
    finally:
        await database.close()
