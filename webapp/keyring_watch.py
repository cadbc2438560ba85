"""Keeps a process's keys the ones of the keyring, where other processes may rotate them (PostgreSQL).

Every process looks at the keyring once a second. So a rotation knows when no process seals with the key before any more: one that could
not look for longer does not seal until it has.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webapp.database import Database, Row
from webapp.errors import ConfigurationError, Unavailable
from webapp.log import get_logger
from webapp.periodic import repeated
from webapp.settings import Settings
from webapp.vault import Keyring, RootKey, Vault, current_root_key, open_keyring, steady_clock

KEYRING_SQL = "SELECT id, purpose, state, wrapped, check_value, root_fingerprint, created_at FROM keyring ORDER BY id"
ROOT_KEYS_SQL = "SELECT fingerprint, provider, wrapped FROM root_keys"

PERIOD = 1.0
"""Seconds between two looks."""

STALE = 5.0
"""Seconds after its last look from which on a process does not seal."""

WRITTEN = 5.0
"""Seconds within which what was sealed is written, or is not: nothing waits longer for the database."""

SETTLED = STALE + WRITTEN
"""Seconds after which no other process writes what was sealed with another key than the newest one."""

AGAIN = 20.0
"""Seconds after which keys that could not be opened are tried again: a KMS is not asked at every request."""

_STATES = "SELECT id, state FROM keyring WHERE purpose = 'kek'"

_logger = get_logger(__name__)


class KeyringWatch:
    """Looks at the keyring for one vault."""

    def __init__(self, settings: Settings, database: Database, vault: Vault) -> None:
        self._settings, self._database, self._vault = settings, database, vault
        self._loading = asyncio.Lock()
        self._problem = ""
        self._not_before = 0.0

    async def look(self) -> None:
        """Have the keys as they are by now; one that cannot be had is logged, once. Never raises for the database or the root key."""
        try:
            await self.look_up()
        except Unavailable:
            return  # what is wrong is in the log; nothing is sealed when it stays so

    async def look_up(self) -> None:
        """As `look`. Raises Unavailable when they cannot be had; then those in memory stay, to open what they have sealed."""
        async with self._loading:
            looked_at = steady_clock()
            if not self._is_current(await self._database.fetch_all(_STATES)):
                await self._load()
            self._vault.seals_until = looked_at + STALE
            if self._problem:
                _logger.info("the keyring's new keys are here")
                self._problem = ""

    def _is_current(self, rows: list[Row]) -> bool:
        active = [row["id"] for row in rows if row["state"] == "active"]
        return {row["id"] for row in rows} == self._vault.keks and active == [self._vault.active_kek]

    async def _load(self) -> None:
        """Raises Unavailable."""
        if self._problem and steady_clock() < self._not_before:
            raise Unavailable("The keys cannot be looked up just now. Try again.", "keys-looked-up")
        problem = ""
        try:
            self._vault.use(await keyring_now(self._settings, self._database, self._vault.instance_id))
        except (ConfigurationError, ValueError) as error:  # ValueError: a key is missing that is known here
            problem = str(error)
        except Unavailable as error:
            problem = str(error)
        if not problem:
            return
        self._not_before = steady_clock() + AGAIN
        if problem != self._problem:
            _logger.error(
                "the keyring was changed by another process, and its keys cannot be had here; nothing is sealed until they are, and"
                " what is sealed with them does not open. If the root key was changed, name the new one and start again.",
                problem=problem,
            )
        self._problem = problem
        raise Unavailable("The keys cannot be looked up just now. Try again.", "keys-looked-up")


async def keyring_now(settings: Settings, database: Database, instance_id: str) -> Keyring:
    """The keyring as it is by now, opened. Raises ConfigurationError, Unavailable."""
    rows = await database.fetch_all(KEYRING_SQL)
    return open_keyring(rows, await root_key_now(settings, database, rows, instance_id), instance_id)


async def root_key_now(settings: Settings, database: Database, keyring: list[Row], instance_id: str) -> RootKey:
    """The root key of this keyring, from where the settings say; a KMS may take some seconds, in which the server goes on."""
    wrapped = await database.fetch_all(ROOT_KEYS_SQL)
    return await asyncio.to_thread(current_root_key, settings, keyring, wrapped, instance_id)


@asynccontextmanager
async def kept_up_to_date(settings: Settings, database: Database, vault: Vault) -> AsyncIterator[None]:
    """Keep the vault's keys those of the keyring while the block runs; where no other process has the database open, they are."""
    if not database.is_shared:
        yield
        return
    watch = KeyringWatch(settings, database, vault)
    vault.look_up = watch.look_up
    await watch.look_up()
    async with repeated(watch.look, PERIOD, at_once=False):  # or a command that ends in a moment would break off a connection
        yield


async def settled(database: Database) -> None:
    """Wait until no other process writes anything more that is sealed with another key than the one that was made just now."""
    if database.is_shared:
        await asyncio.sleep(SETTLED)
