"""Opening the store: the lock, the root key, the keyring, the migrations and the repositories, in that order.

The server, and a command that runs without one, open it here and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from webapp.accounts.api_tokens import ApiTokenRepository
from webapp.accounts.members import MemberRepository
from webapp.accounts.repository import AccountRepository
from webapp.accounts.sessions import Sessions
from webapp.accounts.signing_in import SigningIn
from webapp.agents.bootstrap_tokens import BootstrapTokenRepository
from webapp.agents.enrolment import Enrolment
from webapp.agents.repository import AgentRepository
from webapp.audit.repository import AuditRepository
from webapp.chain import AuditChain
from webapp.check import CheckReport, check_store
from webapp.clock import Clock, system_clock
from webapp.command import Progress, unseen
from webapp.credentials.repository import CredentialRepository
from webapp.credentials.sign_ins import SignIns, minter
from webapp.database import Database, Row, Transaction, inspect, is_postgresql
from webapp.database.lock import store_lock
from webapp.database.migrations import VERSIONS_SQL, may_be_ahead, migrate, refuse_newer
from webapp.encryption.repository import KeyRepository
from webapp.errors import ConfigurationError
from webapp.ids import new_id
from webapp.images.official import load_official_images
from webapp.images.repository import ImageRepository
from webapp.keyring_watch import KEYRING_SQL, ROOT_KEYS_SQL, kept_up_to_date
from webapp.provisioning.repository import ProvisionRepository
from webapp.sealed_values import SEALED_TABLES
from webapp.secrets.imports import ImportRepository
from webapp.secrets.named_value import SECRET, VARIABLE
from webapp.secrets.repository import NamedValueRepository
from webapp.settings import Settings
from webapp.vault import (
    KeyringBroken,
    NewRootKey,
    RootKey,
    Vault,
    WrappedRootKey,
    current_root_key,
    new_keyring,
    new_root_key,
    open_keyring,
    place_of,
)

_INSTALLATION_SQL = "SELECT id FROM installation"
_CHAIN_SQL = "SELECT audit_chain FROM installation"


@dataclass(frozen=True, slots=True)
class Store:
    """All that is open while the program runs. The repositories are named as their slices."""

    settings: Settings
    database: Database
    vault: Vault
    chain: AuditChain
    clock: Clock
    accounts: AccountRepository
    members: MemberRepository
    sessions: Sessions
    signing_in: SigningIn
    api_tokens: ApiTokenRepository
    credentials: CredentialRepository
    sign_ins: SignIns
    secrets: NamedValueRepository
    variables: NamedValueRepository
    imports: ImportRepository
    images: ImageRepository
    agents: AgentRepository
    bootstrap_tokens: BootstrapTokenRepository
    enrolment: Enrolment
    audit: AuditRepository
    provisions: ProvisionRepository
    keys: KeyRepository

    async def check(self, progress: Progress = unseen) -> CheckReport:
        """Open every sealed value and count what there is; see `check_store`."""
        return await check_store(self.database, self.vault, progress)


@asynccontextmanager
async def open_store(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    notices: Callable[[str], None] = lambda line: None,
    first: bool | None = None,
    patience: bool = False,
) -> AsyncIterator[Store]:
    """Open the store, and close it at the end.

    `first` is whether it may be made when there is none yet: by default only in a file, which is this process's own; of a PostgreSQL
    database `init` says so. `patience` is for a command, see `Database.open`; a command leaves the official images as they are.
    `notices` gets the lines that people should read, such as where a new root key is. Raises ConfigurationError (StoreLocked when
    another process has the file open), Unavailable; then not a byte of the database has changed.
    """
    shared = is_postgresql(settings.database_url)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with nullcontext() if shared else store_lock(settings.data_dir):
        async with open_locked_store(
            settings, clock=clock, notices=notices, first=not shared if first is None else first, patience=patience
        ) as store:
            yield store


@asynccontextmanager
async def open_locked_store(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    notices: Callable[[str], None] = lambda line: None,
    first: bool = True,
    patience: bool = False,
) -> AsyncIterator[Store]:
    """As `open_store`, for who holds the data directory's lock, if it takes one."""
    opened = await asyncio.to_thread(_root_key, settings, notices, first=first)  # a KMS may take some seconds
    database, sign_ins = await Database.open(settings.database_url, patience=patience), None
    try:
        await migrate(database, clock, ahead=may_be_ahead(settings.database_url))
        if opened.new is not None:
            await _begin(database, opened.new, opened.instance_id, clock())
        rows = await database.fetch_all(KEYRING_SQL)
        vault = Vault(open_keyring(rows, opened.root, opened.instance_id), opened.instance_id)
        named = await database.fetch_one(_CHAIN_SQL)
        chain = AuditChain(database, vault, clock, (named or {}).get("audit_chain") or "")
        if not patience:  # a command may be run without that setting, and the servers go on with what they have loaded
            await load_official_images(database, settings.official_images_file, clock())
        sign_ins = SignIns(database, vault, chain, clock, minter(settings, clock))
        sessions = Sessions(database, vault, chain, clock)
        imports = ImportRepository(database, vault, clock)
        await imports.forget_expired()
        async with kept_up_to_date(settings, database, vault):
            yield Store(
                settings=settings,
                database=database,
                vault=vault,
                chain=chain,
                clock=clock,
                accounts=AccountRepository(database, vault, chain, clock),
                members=MemberRepository(database, vault, chain, clock),
                sessions=sessions,
                signing_in=SigningIn(database, vault, chain, clock, sessions),
                api_tokens=ApiTokenRepository(database, vault, chain, clock),
                credentials=CredentialRepository(database, vault, chain, clock),
                sign_ins=sign_ins,
                secrets=NamedValueRepository(SECRET, database, vault, chain, clock),
                variables=NamedValueRepository(VARIABLE, database, vault, chain, clock),
                imports=imports,
                images=ImageRepository(database, vault, chain, clock),
                agents=AgentRepository(database, vault, chain, clock),
                bootstrap_tokens=BootstrapTokenRepository(database, vault, chain, clock),
                enrolment=Enrolment(database, vault, chain, clock),
                audit=AuditRepository(database, vault, chain, clock),
                provisions=ProvisionRepository(database, vault, chain, clock, sign_ins.tokens),
                keys=KeyRepository(database, vault, clock, [table.table for table in SEALED_TABLES]),
            )
    finally:
        if sign_ins is not None:
            await sign_ins.close()
        await database.close()


@dataclass(frozen=True, slots=True)
class _Opened:
    """The root key and the installation's id; `new` where there is no keyring yet."""

    root: RootKey
    instance_id: str
    new: NewRootKey | None = None


def _root_key(settings: Settings, notices: Callable[[str], None], *, first: bool) -> _Opened:
    """The root key, proven against the keyring before anything opens the database to write to it.

    A root key is made only when there is no keyring at all.
    """
    installation, keyring, versions, wrapped = _inspected(settings)
    if bool(keyring) != bool(installation):
        # They are read one after the other, and another process may have written both in between.
        installation, keyring, versions, wrapped = _inspected(settings)
    refuse_newer([int(row["number"]) for row in versions], ahead=may_be_ahead(settings.database_url))
    if keyring or installation:
        if not (keyring and installation):  # they are written in one transaction
            lost = "installation row" if keyring else "keyring"
            raise KeyringBroken(f"WEBAPP_DATABASE_URL: the database has lost its {lost}. Restore a backup.")
        instance_id = str(installation[0]["id"])
        root = current_root_key(settings, keyring, wrapped, instance_id)
        open_keyring(keyring, root, instance_id)
        return _Opened(root, instance_id)
    if not first:
        raise ConfigurationError(
            "WEBAPP_DATABASE_URL: nothing is in this database yet. Run registry-credentials init once: it makes the root key, which every"
            " process needs."
        )
    instance_id = new_id()
    new = new_root_key(settings, place_of(settings), instance_id)
    which = f"{new.root.source} (fingerprint {new.root.fingerprint})."
    if new.wrapped is not None:
        notices(f"Made a root key, wrapped by {which}")
        notices("Keep that key: without it nothing that is stored here can be opened, from a backup neither.")
    else:
        # One that is there was made by a start that ended before it had written its keyring, or handed in by whoever installs.
        notices(f"{'Made a root key' if new.made else 'Took the root key that is there'}: {which}")
        notices("Keep a copy of it away from this machine: without it nothing that is stored here can be opened.")
    return _Opened(new.root, instance_id, new)


def _inspected(settings: Settings) -> list[list[Row]]:
    statements = (_INSTALLATION_SQL, KEYRING_SQL, VERSIONS_SQL, ROOT_KEYS_SQL)
    return inspect(settings.database_url, statements) or [[] for _ in statements]


async def _begin(database: Database, new: NewRootKey, instance_id: str, now: int) -> None:
    """Write the installation's row and its keyring on the first start."""
    async with database.transaction() as transaction:
        if await transaction.fetch_one(_INSTALLATION_SQL) is not None:
            raise ConfigurationError("WEBAPP_DATABASE_URL: another process has just begun there, with a root key of its own. Start again.")
        await transaction.execute("INSERT INTO installation (id, created_at) VALUES (:id, :now)", {"id": instance_id, "now": now})
        await keep_wrapped(transaction, new.wrapped, now)
        for row in new_keyring(new.root, instance_id, now):
            await transaction.execute(
                "INSERT INTO keyring (id, purpose, state, wrapped, check_value, root_fingerprint, created_at)"
                " VALUES (:id, :purpose, :state, :wrapped, :check_value, :root_fingerprint, :created_at)",
                row,
            )


async def keep_wrapped(transaction: Transaction, wrapped: WrappedRootKey | None, now: int) -> None:
    """Store what a KMS has wrapped, in the transaction that writes the keyring; nothing of a root key in a file."""
    if wrapped is not None:
        await transaction.execute(
            "INSERT INTO root_keys (fingerprint, provider, wrapped, created_at) VALUES (:fingerprint, :provider, :wrapped, :created_at)",
            wrapped.row(now),
        )
