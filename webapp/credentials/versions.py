"""The values that a registry credential had before: kept sealed for a chosen time, to be rolled back to, and then destroyed.

A kept value is handed to nobody. Its place in the vault is the credential's own, with its version, so that it needs no sealing anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import DAY, HOUR, Clock
from webapp.credentials.credential import AuthMethod, Credential, seal_context
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import NotFound
from webapp.ids import new_id
from webapp.names import printable
from webapp.vault import SealBroken, Sealed, Vault

KEEPING: Mapping[str, tuple[str, int]] = {
    "1h": ("For 1 hour", HOUR),
    "1d": ("For 1 day", DAY),
    "7d": ("For 7 days", 7 * DAY),
    "no": ("Do not keep it", 0),
}
"""How long a value may be kept: what the form calls it, and milliseconds."""

USUAL = "1h"

MOST = 5
"""Values of one credential that are kept; the oldest one goes first."""

_KEPT = (
    "SELECT id, registry_credential_id, secret_version, host, auth_method, username, expires_at, stored_at, stored_by,"
    " kept_until"
    " FROM registry_credential_versions"
    " WHERE account_id = :account_id AND registry_credential_id = :credential AND kept_until > :now ORDER BY secret_version DESC"
)
_CURRENT = "SELECT * FROM registry_credentials WHERE account_id = :account_id AND id = :id"
_ONE = (
    "SELECT * FROM registry_credential_versions WHERE account_id = :account_id AND registry_credential_id = :credential"
    " AND secret_version = :number AND kept_until > :now"
)
_GONE = "DELETE FROM registry_credential_versions WHERE account_id = :account_id AND id = :id"

_TIMER = "timer"

_VALUE = ("secret_version", "host", "auth_method", "username", "parameters", "expires_at", "expiry_source")
"""What a value is kept with, and comes back with."""


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A value that is kept, as the page shows it: when and by whom it was stored, and until when it is kept (Unix milliseconds)."""

    id: str
    registry_credential_id: str
    secret_version: int
    host: str
    auth_method: AuthMethod
    username: str
    expires_at: int | None
    stored_at: int
    stored_by: str
    kept_until: int


class CredentialVersions:
    """The account's kept values."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def kept(self, actor: Actor, credential_id: str) -> list[KeptVersion]:
        """The values that are kept of this credential, the newest first."""
        values = {"credential": credential_id, "now": self._clock()}
        return [_version(row) for row in await self._database.account(actor.account_id).fetch_all(_KEPT, values)]

    async def keep(self, transaction: AccountTransaction, actor: Actor, credential_id: str, milliseconds: int) -> None:
        """Keep the credential's value, in the transaction that replaces it. One that does not open is not kept."""
        row = await transaction.fetch_one(_CURRENT, {"id": credential_id})
        if row is None or milliseconds <= 0:
            return
        try:
            sealed = await self._resealed(actor, credential_id, row)
        except SealBroken:
            return
        stored = {"stored_at": row["replaced_at"], "stored_by": row["replaced_by"], "kept_until": self._clock() + milliseconds}
        made = {"id": new_id(), "registry_credential_id": credential_id}
        await transaction.insert("registry_credential_versions", {**made, **_value(row, sealed), **stored})
        kept = await transaction.fetch_all(_KEPT, {"credential": credential_id, "now": self._clock()})
        for surplus in kept[MOST:]:
            await self._destroy(transaction, actor, row["name"], surplus, f"more than {MOST} were kept")

    async def take(self, transaction: AccountTransaction, actor: Actor, credential: Credential, number: int) -> dict[str, Any]:
        """Take a kept value out, in the transaction that makes it the current one again; its columns. Raises NotFound, SealBroken."""
        row = await self._one(transaction, credential, number)
        sealed = await self._resealed(actor, credential.id, row)
        await transaction.execute(_GONE, {"id": row["id"]})
        return _value(row, sealed)

    async def destroy(self, actor: Actor, credential: Credential, number: int) -> None:
        """Destroy a kept value before its time. Raises NotFound."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await self._one(transaction, credential, number)
            await self._destroy(transaction, actor, credential.name, row, "before its time")

    async def destroy_expired(self) -> int:
        """Destroy the values of all accounts whose time is over; returns how many. Raises Unavailable."""
        rows = await self._database.fetch_all(
            "SELECT v.id, v.account_id, v.registry_credential_id, v.secret_version, v.host, c.name FROM registry_credential_versions v"
            " JOIN registry_credentials c ON c.id = v.registry_credential_id WHERE v.kept_until <= :now ORDER BY v.kept_until LIMIT 100",
            {"now": self._clock()},
        )
        for row in rows:
            timer = Actor(row["account_id"], "system", _TIMER, _TIMER)
            async with self._database.account(row["account_id"]).transaction() as transaction:
                if await transaction.fetch_one(_GONE + " RETURNING id", {"id": row["id"]}) is not None:
                    await self._tell(transaction, timer, printable(str(row["name"])), row, "its time was over")
        return len(rows)

    async def _one(self, transaction: AccountTransaction, credential: Credential, number: int) -> Row:
        row = await transaction.fetch_one(_ONE, {"credential": credential.id, "number": number, "now": self._clock()})
        if row is None:
            raise NotFound(f"Version {number} of this registry credential's value is not kept any more.")
        return row

    async def _resealed(self, actor: Actor, credential_id: str, row: Row) -> Sealed:
        """The row's value under the key that seals now: a rotation that has passed will not come to it again. Raises SealBroken."""
        place = seal_context(actor.account_id, credential_id, row["secret_version"], row["host"], row["auth_method"], row["parameters"])
        await self._vault.opened(row["sealed"], place)  # what does not open is worth nothing
        return self._vault.rewrap(row["sealed"], place)

    async def _destroy(self, transaction: AccountTransaction, actor: Actor, name: str, row: Row, why: str) -> None:
        await transaction.execute(_GONE, {"id": row["id"]})
        await self._tell(transaction, actor, name, row, why)

    async def _tell(self, transaction: AccountTransaction, actor: Actor, name: str, row: Row, why: str) -> None:
        event = Event(
            "registry_credential.destroy", "registry_credential", row["registry_credential_id"], name,
            secret_version=row["secret_version"], detail=f"host {printable(str(row['host']))}; {why}",
        )  # fmt: skip
        await self._chain.append(transaction, actor, event)


def _value(row: Row, sealed: Sealed) -> dict[str, Any]:
    """A value's columns, which both tables have."""
    copied = {name: row[name] for name in _VALUE}
    return {**copied, "sealed": sealed.blob, "kek_id": sealed.kek_id}


def _version(row: Row) -> KeptVersion:
    return KeptVersion(**{**row, "auth_method": AuthMethod(row["auth_method"])})
