"""Opening the store: the lock, the root key, the keyring, the migrations and the repositories, in that order.

The server, and a command that runs without one, open it here and nowhere else.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from webapp.accounts.repository import AccountRepository
from webapp.agents.bootstrap_tokens import BootstrapTokenRepository
from webapp.agents.enrolment import Enrolment
from webapp.agents.repository import AgentRepository
from webapp.audit.repository import AuditRepository
from webapp.chain import AuditChain
from webapp.check import CheckReport, check_store
from webapp.clock import Clock, system_clock
from webapp.credentials.repository import CredentialRepository
from webapp.database import Database, Row, inspect
from webapp.database.lock import store_lock
from webapp.database.migrations import VERSIONS_SQL, migrate, refuse_newer
from webapp.errors import ConfigurationError
from webapp.ids import new_id
from webapp.images.official import load_official_images
from webapp.images.repository import ImageRepository
from webapp.provisioning.repository import ProvisionRepository
from webapp.secrets.imports import ImportRepository
from webapp.secrets.named_value import SECRET, VARIABLE
from webapp.secrets.repository import NamedValueRepository
from webapp.settings import Settings
from webapp.vault import KeyringBroken, RootKey, Vault, create_root_key, expected_fingerprint, new_keyring, open_keyring, read_root_key

KEYRING_SQL = "SELECT id, purpose, state, wrapped, check_value, root_fingerprint, created_at FROM keyring ORDER BY id"
_INSTALLATION_SQL = "SELECT id FROM installation"


@dataclass(frozen=True, slots=True)
class Store:
    """All that is open while the program runs. The repositories are named as their slices."""

    settings: Settings
    database: Database
    vault: Vault
    chain: AuditChain
    clock: Clock
    accounts: AccountRepository
    credentials: CredentialRepository
    secrets: NamedValueRepository
    variables: NamedValueRepository
    imports: ImportRepository
    images: ImageRepository
    agents: AgentRepository
    bootstrap_tokens: BootstrapTokenRepository
    enrolment: Enrolment
    audit: AuditRepository
    provisions: ProvisionRepository

    async def check(self) -> CheckReport:
        """Open every sealed value and count what there is; see `check_store`."""
        return await check_store(self.database, self.vault)


@asynccontextmanager
async def open_store(
    settings: Settings, *, clock: Clock = system_clock, notices: Callable[[str], None] = lambda line: None
) -> AsyncIterator[Store]:
    """Open the store, made when there is none yet, and close it at the end.

    `notices` gets the lines that people should read, such as where a new root key is. Raises
    ConfigurationError (StoreLocked when another process has it open); then not a byte of the database
    has changed.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with store_lock(settings.data_dir):
        root, instance_id = _root_key(settings, notices)
        database = await Database.open(settings.database_url)
        try:
            await migrate(database, clock)
            instance_id = await _begin(database, root, instance_id, clock())
            rows = await database.fetch_all(KEYRING_SQL)
            vault = Vault(open_keyring(rows, root, instance_id), instance_id)
            chain = AuditChain(database, vault, clock)
            await load_official_images(database, settings.official_images_file, clock())
            imports = ImportRepository(database, vault, clock)
            await imports.forget_expired()
            yield Store(
                settings=settings,
                database=database,
                vault=vault,
                chain=chain,
                clock=clock,
                accounts=AccountRepository(database, vault, chain, clock),
                credentials=CredentialRepository(database, vault, chain, clock),
                secrets=NamedValueRepository(SECRET, database, vault, chain, clock),
                variables=NamedValueRepository(VARIABLE, database, vault, chain, clock),
                imports=imports,
                images=ImageRepository(database, vault, chain, clock),
                agents=AgentRepository(database, vault, chain, clock),
                bootstrap_tokens=BootstrapTokenRepository(database, vault, chain, clock),
                enrolment=Enrolment(database, vault, chain, clock),
                audit=AuditRepository(database, vault, chain, clock),
                provisions=ProvisionRepository(database, vault, chain, clock),
            )
        finally:
            await database.close()


def _root_key(settings: Settings, notices: Callable[[str], None]) -> tuple[RootKey, str]:
    """The root key, proven against the keyring before anything opens the database to write to it.

    A root key is made only when there is no keyring at all. Returns it and the installation's id ("" for
    a new one).
    """
    found = inspect(settings.database_url, (_INSTALLATION_SQL, KEYRING_SQL, VERSIONS_SQL))
    installation, keyring, versions = found if found is not None else ([], [], [])
    refuse_newer([int(row["number"]) for row in versions])
    if keyring or installation:
        if not (keyring and installation):  # they are written in one transaction
            lost = "installation row" if keyring else "keyring"
            raise KeyringBroken(f"WEBAPP_DATABASE_URL: the database has lost its {lost}. Restore a backup.")
        root = _expected_root_key(settings, keyring)
        open_keyring(keyring, root, installation[0]["id"])
        return root, installation[0]["id"]
    if settings.root_key_file.exists():
        # Made by a start that ended before it had written its keyring, or handed in by whoever installs.
        root = read_root_key(settings.root_key_file)
        notices(f"Took the root key that is there: {settings.root_key_file} (fingerprint {root.fingerprint}).")
    else:
        root = create_root_key(settings.root_key_file)
        notices(f"Made a root key: {settings.root_key_file} (fingerprint {root.fingerprint}).")
    notices("Keep a copy of it away from this machine: without it nothing that is stored here can be opened.")
    return root, ""


def _expected_root_key(settings: Settings, keyring: list[Row]) -> RootKey:
    """The root key, as far as it can be read. Raises ConfigurationError, with the fingerprint of the one that is wanted."""
    expected = f"WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint {expected_fingerprint(keyring)},"
    try:
        if not settings.root_key_file.exists():
            raise ConfigurationError(f"{expected} found no file at {settings.root_key_file}. Put the key back there, or name where it is.")
    except OSError as error:  # a folder that may not be looked into, a name that is too long
        raise ConfigurationError(f"{expected} but {settings.root_key_file} cannot be read ({error.strerror}).") from None
    try:
        return read_root_key(settings.root_key_file)
    except ConfigurationError as error:
        raise ConfigurationError(f"{expected} but {str(error).partition(': ')[2]}") from None


async def _begin(database: Database, root: RootKey, instance_id: str, now: int) -> str:
    """Write the installation's row and its keyring on the first start; returns the installation's id."""
    if instance_id:
        return instance_id
    instance_id = new_id()
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO installation (id, created_at) VALUES (:id, :now)", {"id": instance_id, "now": now})
        for row in new_keyring(root, instance_id, now):
            await transaction.execute(
                "INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)"
                " VALUES (:id, :purpose, :state, :wrapped, :check_value, :root_fingerprint, :created_at)",
                row,
            )
    return instance_id
