"""Registry credentials in the database: values go in sealed, and come out only at the hand-over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import HOUR, Clock, in_words
from webapp.credentials.credential import VALUE_FIELDS, AuthMethod, Credential, CredentialFields, rank_of, seal_context
from webapp.credentials.deletion import CredentialDeletion
from webapp.credentials.expiry import settled
from webapp.credentials.parameters import in_short, is_own_role
from webapp.credentials.versions import CredentialVersions
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Invalid, NotFound
from webapp.ids import new_id
from webapp.nonce import spend_nonce
from webapp.records import BY_NAME, FIRST_PAGE, Order, Page, Wanted, page_of, refuse_stale, unique_name
from webapp.reference import same_registry
from webapp.registry.outcomes import pulls_of
from webapp.vault import SealBroken, Sealed, Secret, Vault

MOST_IMAGES = 500

ORDERS = {
    "": BY_NAME,
    "registry": Order(("host", "name_key", "id")),
    "newest": Order(("replaced_at", "id"), descending=True, numeric="replaced_at"),
    "oldest": Order(("replaced_at", "id"), numeric="replaced_at"),
    "expiring": Order(("expiry_rank", "name_key", "id"), numeric="expiry_rank"),
}

_SELECT = (
    "SELECT c.id, c.name, c.name_key, c.description, c.host, c.auth_method, c.username, c.parameters, c.secret_version, c.expires_at,"
    " c.expiry_source, c.expiry_rank, c.version, c.updated_at, c.updated_by, c.replaced_at, c.replaced_by, v.last_used_at,"
    " v.last_pulled_at, v.last_failed_at, v.last_failure_kind, v.last_failed_agent,"
    " (SELECT count(*) FROM images i WHERE i.registry_credential_id = c.id AND i.account_id = :account_id) AS images"
    " FROM registry_credentials c JOIN registry_credential_activity v ON v.registry_credential_id = c.id"
    " WHERE c.account_id = :account_id"
)

_NEWEST = "SELECT newest_secret_version AS newest FROM registry_credentials WHERE account_id = :account_id AND id = :id"


@dataclass(frozen=True, slots=True)
class ImageUsing:
    """An image that uses a credential, with its canonical reference."""

    id: str
    name: str
    reference: str


class CredentialRepository:
    """The account's registry credentials."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self.versions = CredentialVersions(database, vault, chain, clock)
        self.deletion = CredentialDeletion(database, chain, clock)

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE) -> Page[Credential]:
        """A page of the registry credentials, in one of ORDERS; those that are searched for come by name."""
        account = self._database.account(actor.account_id)
        order = BY_NAME if wanted.query else ORDERS.get(wanted.order, BY_NAME)
        return await page_of(account, [_SELECT], _credential, table="registry_credentials", alias="c", wanted=wanted, order=order)

    async def get(self, actor: Actor, credential_id: str) -> Credential:
        """One registry credential. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(_SELECT + " AND c.id = :id", {"id": credential_id})
        return _found(row)

    async def images_using(self, actor: Actor, credential_id: str) -> list[tuple[str, str]]:
        """The images that use it, as id and name, at most 500."""
        rows = await self._database.account(actor.account_id).fetch_all(
            "SELECT id, name FROM images WHERE account_id = :account_id AND registry_credential_id = :id ORDER BY name_key LIMIT :limit",
            {"id": credential_id, "limit": MOST_IMAGES},
        )
        return [(row["id"], row["name"]) for row in rows]

    async def references_using(self, actor: Actor, credential_id: str, most: int) -> list[ImageUsing]:
        """The images that use it with their references, by name, at most so many."""
        rows = await self._database.account(actor.account_id).fetch_all(
            "SELECT id, name, reference FROM images WHERE account_id = :account_id AND registry_credential_id = :id"
            " ORDER BY name_key LIMIT :most",
            {"id": credential_id, "most": most},
        )
        return [ImageUsing(**row) for row in rows]

    async def note_test(self, actor: Actor, stored: Credential | None, fields: CredentialFields, found: str) -> None:
        """Write down that a value was tested, and what was found: of a draft under the name that was typed."""
        record_id, name = ("", fields.name) if stored is None else (stored.id, stored.name)
        event = Event("registry_credential.test", "registry_credential", record_id, name, detail=found)
        async with self._database.account(actor.account_id).transaction() as transaction:
            await self._chain.append(transaction, actor, event)

    async def add(self, actor: Actor, fields: CredentialFields, secret: Secret, nonce: str = "") -> tuple[Credential, bool]:
        """Store a registry credential; returns it, and whether it is new: a nonce that was spent leads to the one that it made.

        Raises Invalid, also for a value that has expired already, and NotFound when that one is gone.
        """
        credential_id, now = new_id(), self._clock()
        fields = settled(fields, None, replaced=True, now=now)
        sealed = self._seal(actor, credential_id, 1, fields, secret)
        async with unique_name(self._database.account(actor.account_id), "registry credential") as transaction:
            earlier = await spend_nonce(transaction, nonce, credential_id, now)
            if earlier is None:
                made = {"id": credential_id, "version": 1, "created_at": now, "updated_at": now, "updated_by": actor.label}
                value = {**_sealed_columns(sealed, 1), "replaced_at": now, "replaced_by": actor.label}
                await transaction.insert("registry_credentials", {**made, **_columns(fields), **value})
                await transaction.insert("registry_credential_activity", {"registry_credential_id": credential_id})
                await self._chain.append(transaction, actor, _event("create", credential_id, fields, 1))
        return await self.get(actor, earlier or credential_id), earlier is None

    async def save(
        self,
        actor: Actor,
        credential_id: str,
        fields: CredentialFields,
        secret: Secret | None,
        version: int | None,
        keep: int = HOUR,
        *,
        dated: bool = False,
    ) -> Credential:
        """Change a registry credential, and replace its value when there is a new one; the old one is kept for so many milliseconds.

        `dated` is whether the date in the fields is the new value's for certain, even where it is that of the one before.
        Raises NotFound; Stale when somebody else saved it since `version`; Invalid, also when the host, the method or its parameters
        change without a new value, when images of the old host use it, and for a value that has expired already.
        """
        async with unique_name(self._database.account(actor.account_id), "registry credential") as transaction:
            stored = _found(await transaction.fetch_one(_SELECT + " AND c.id = :id", {"id": credential_id}))
            refuse_stale("registry credential", stored=stored.version, edited=version, who=stored.updated_by)
            secret = refuse_collecting(stored, fields, secret)
            fields = settled(fields, stored, replaced=secret is not None, now=self._clock(), dated=dated)
            await self._refuse_leaving_images(transaction, stored, fields)
            await self._write(transaction, actor, stored, fields, secret, keep)
        return await self.get(actor, credential_id)

    async def roll_back(self, actor: Actor, credential_id: str, number: int, version: int | None) -> Credential:
        """Make a kept value the current one, with the host, the method and all else that it had; the current one is kept for an hour.

        Raises NotFound, also when it is not kept any more; Stale when somebody else saved the credential since `version`; Conflict when
        images of another host use it, or when the value does not open.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            stored = _found(await transaction.fetch_one(_SELECT + " AND c.id = :id", {"id": credential_id}))
            refuse_stale("registry credential", stored=stored.version, edited=version, who=stored.updated_by)
            try:
                taken = await self.versions.take(transaction, actor, stored, number)
            except SealBroken:
                raise Conflict(f"Version {number} does not open any more, so it cannot be rolled back to.", "version-broken") from None
            if stored.images and not same_registry(stored.host, str(taken["host"])):
                sentence = f"Images at {stored.host} use this credential, and version {number} is for {taken['host']}."
                raise Conflict(sentence, "images-elsewhere")
            now = self._clock()
            if taken["expires_at"] is not None and taken["expires_at"] <= now:
                sentence = f"Version {number} expired on {in_words(taken['expires_at'])}, and would be handed to nobody. Enter a new value."
                raise Conflict(sentence, "version-expired")
            await self.versions.keep(transaction, actor, stored.id, HOUR)
            who = {"updated_at": now, "updated_by": actor.label, "replaced_at": now, "replaced_by": actor.label}
            back = {**taken, **who, "expiry_rank": rank_of(taken["expires_at"]), "version": stored.version + 1}
            await transaction.update("registry_credentials", stored.id, back)
            detail = f"{_of_value(taken)}; in place of version {stored.secret_version}"
            event = Event("registry_credential.roll_back", "registry_credential", stored.id, stored.name, number, detail=detail)
            await self._chain.append(transaction, actor, event)
        return await self.get(actor, credential_id)

    async def _write(
        self, transaction: AccountTransaction, actor: Actor, stored: Credential, fields: CredentialFields, secret: Secret | None, keep: int
    ) -> None:
        now, secret_version = self._clock(), stored.secret_version
        changed = {**_columns(fields), "version": stored.version + 1, "updated_at": now, "updated_by": actor.label}
        if secret is not None:
            newest = await transaction.fetch_one(_NEWEST, {"id": stored.id})
            secret_version = max(stored.secret_version, 0 if newest is None else newest["newest"]) + 1
            await self.versions.keep(transaction, actor, stored.id, keep)
            sealed = self._seal(actor, stored.id, secret_version, fields, secret)
            changed |= {**_sealed_columns(sealed, secret_version), "replaced_at": now, "replaced_by": actor.label}
        await transaction.update("registry_credentials", stored.id, changed)
        verb = "update" if secret is None else "replace"
        await self._chain.append(transaction, actor, _event(verb, stored.id, fields, secret_version))

    async def _refuse_leaving_images(self, transaction: AccountTransaction, stored: Credential, fields: CredentialFields) -> None:
        if not stored.images or same_registry(stored.host, fields.host):
            return
        rows = await transaction.fetch_all(
            "SELECT name FROM images WHERE account_id = :account_id AND registry_credential_id = :id ORDER BY name_key LIMIT 5",
            {"id": stored.id},
        )
        names = ", ".join(row["name"] for row in rows) + (f" and {stored.images - 5} more" if stored.images > 5 else "")
        sentence = f"Images at {stored.host} use this credential ({names}), so its host has to stay. Create another credential instead."
        raise Invalid({"registry_url": sentence})

    def _seal(self, actor: Actor, credential_id: str, secret_version: int, fields: CredentialFields, secret: Secret) -> Sealed:
        place = seal_context(actor.account_id, credential_id, secret_version, fields.host, fields.auth_method, fields.parameters)
        return self._vault.seal(secret, place)


def refuse_collecting(stored: Credential, fields: CredentialFields, secret: Secret | None) -> Secret | None:
    """The value to store: the one that was entered, or none where the stored one stays.

    Raises Invalid when something that a value is sealed to changes without one: otherwise whoever may edit a credential could point
    it at a host of their own, or at another role, and collect it. A credential that signs in by this process's own role has an empty one.
    """
    changed = (fields.auth_method, fields.host, fields.parameters) != (stored.auth_method, stored.host, stored.parameters)
    if secret is not None or not changed:
        return secret
    if is_own_role(fields.auth_method, fields.parameters):
        return Secret(b"")
    field = VALUE_FIELDS[fields.auth_method]
    if fields.auth_method is not stored.auth_method:
        raise Invalid({field: "Changing the authentication method needs a value of the new kind. Enter it."})
    if fields.host != stored.host:
        raise Invalid({field: f"Changing the host needs the value entered again, since the stored one is for {stored.host} only."})
    what = "the access key id, region, role or external id" if fields.auth_method is AuthMethod.AWS_ECR else "how the key is handed over"
    raise Invalid({field: f"Changing {what} needs the value entered again, since the stored one is sealed to what it was."})


def _found(row: Row | None) -> Credential:
    if row is None:
        raise NotFound("There is no such registry credential in this account.")
    return _credential(row)


def _credential(row: Row) -> Credential:
    values = {name: row[name] for name in Credential.__dataclass_fields__ if name not in ("auth_method", "pulls")}
    return Credential(auth_method=AuthMethod(row["auth_method"]), pulls=pulls_of(row), **values)


def _columns(fields: CredentialFields) -> dict[str, Any]:
    names = ("name", "name_key", "description", "host", "username", "parameters", "expires_at", "expiry_source")
    others = {"auth_method": str(fields.auth_method), "expiry_rank": rank_of(fields.expires_at)}
    return {name: getattr(fields, name) for name in names} | others


def _sealed_columns(sealed: Sealed, secret_version: int) -> dict[str, object]:
    return {"sealed": sealed.blob, "kek_id": sealed.kek_id, "secret_version": secret_version, "newest_secret_version": secret_version}


def _of_value(columns: Mapping[str, Any]) -> str:
    """A value's host, what its method needs beside it, and its expiry, for the audit log."""
    expires = "" if columns["expires_at"] is None else f"expires {in_words(columns['expires_at'])}"
    told = (f"host {columns['host']}", in_short(columns["auth_method"], columns["parameters"]), expires)
    return "; ".join(part for part in told if part)


def _event(verb: str, credential_id: str, fields: CredentialFields, secret_version: int) -> Event:
    detail = _of_value(_columns(fields))
    return Event(f"registry_credential.{verb}", "registry_credential", credential_id, fields.name, secret_version, detail=detail)
