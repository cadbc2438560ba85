"""`registry-credentials init`: begin an installation, which every process of a shared database then opens."""

import asyncio
import os
import sys

from webapp.command import DONE, Outcome, lines
from webapp.errors import ConfigurationError
from webapp.settings import Settings
from webapp.store import open_store
from webapp.terminal import begin_command


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
        async with open_store(settings, notices=notice, first=True, patience=True):
            pass
    except OSError as error:
        raise ConfigurationError(f"WEBAPP_DATA_DIR: the store in {settings.data_dir} cannot be opened ({error}).") from None
    return Outcome(DONE, lines("The installation is begun. Start the server." if said else "It was begun before; nothing was to do."))
