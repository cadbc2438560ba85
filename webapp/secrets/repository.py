"""Secrets and variables in the database: one store for each kind, and the two alike but for the sealing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountDatabase, AccountTransaction, Batch, Database, Row
from webapp.errors import Conflict, Invalid, NotFound
from webapp.ids import new_id
from webapp.nonce import spend_nonce
from webapp.records import FIRST_PAGE, Page, Wanted, page_of, refuse_stale, unique_name
from webapp.secrets.named_value import Kind, NamedValue, ValueFields, seal_context
from webapp.vault import Secret, Vault

MOST_IMAGES = 500

_IMAGES_OF = (
    "SELECT i.id, i.name FROM images i JOIN image_{kind.table} u ON u.image_id = i.id"
    " WHERE u.account_id = :account_id AND u.{kind.noun}_id = :id ORDER BY i.name_key LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that user data refers to, found but not opened yet. `secret_version` is None for a variable."""

    id: str
    name: str
    secret_version: int | None
    stored: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of an import: with the id and version of the record that it replaces, or without, for a new one."""

    fields: ValueFields
    value: Secret
    replaces: tuple[str, int] | None


class NamedValueRepository:
    """The account's secrets, or its variables."""

    def __init__(self, kind: Kind, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self.kind = kind
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._uses = f"SELECT count(*) FROM image_{kind.table} u WHERE u.{kind.noun}_id = v.id AND u.account_id = v.account_id"
        self._select = (
            "SELECT v.id, v.name, v.name_key, v.description, v.version, v.updated_by, v.replaced_at, v.replaced_by,"
            f" ({self._uses}) AS images, {'NULL' if kind.sealed else 'v.value'} AS value{', v.secret_version' if kind.sealed else ''}"
            f" FROM {kind.table} v WHERE v.account_id = :account_id"
        )

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE) -> Page[NamedValue]:
        """A page of them, by name."""
        account = self._database.account(actor.account_id)
        return await page_of(account, [self._select], _named_value, table=self.kind.table, alias="v", wanted=wanted)

    async def get(self, actor: Actor, record_id: str) -> NamedValue:
        """One of them. Raises NotFound."""
        return _named_value(
            self._found(await self._database.account(actor.account_id).fetch_one(f"{self._select} AND v.id = :id", {"id": record_id}))
        )

    async def images_using(self, actor: Actor, record_id: str) -> list[tuple[str, str]]:
        """The images whose user data refers to it, as id and name, at most 500."""
        rows = await self._database.account(actor.account_id).fetch_all(
            _IMAGES_OF.format(kind=self.kind), {"id": record_id, "limit": MOST_IMAGES}
        )
        return [(row["id"], row["name"]) for row in rows]

    async def existing(self, actor: Actor, name_keys: Collection[str]) -> dict[str, NamedValue]:
        """Those with these keys, by key."""
        rows = await self._rows(self._database.account(actor.account_id), name_keys)
        return {key: _named_value(row) for key, row in rows.items()}

    async def add(self, actor: Actor, fields: ValueFields, value: Secret, nonce: str = "") -> tuple[NamedValue, bool]:
        """Store one; returns it, and whether it is new: a nonce that was spent leads to the one that it made.

        Raises Invalid, and NotFound when that one is gone.
        """
        record_id = new_id()
        async with unique_name(self._database.account(actor.account_id), self.kind.noun) as transaction:
            earlier = await spend_nonce(transaction, nonce, record_id, self._clock())
            if earlier is None:
                await self._insert(transaction, actor, record_id, fields, value)
        return await self.get(actor, earlier or record_id), earlier is None

    async def save(self, actor: Actor, record_id: str, fields: ValueFields, value: Secret | None, version: int | None) -> NamedValue:
        """Change one, and replace its value when there is a new one.

        Raises NotFound; Stale when somebody else saved it since `version`; Invalid, also for a new name while images use the old one.
        """
        async with unique_name(self._database.account(actor.account_id), self.kind.noun) as transaction:
            row = self._found(await transaction.fetch_one(f"{self._select} AND v.id = :id", {"id": record_id}))
            stored = _named_value(row)
            refuse_stale(self.kind.noun, stored=stored.version, edited=version, who=stored.updated_by)
            if fields.name != stored.name and stored.images:
                raise Invalid({"name": await self._in_use(transaction, stored)})
            await self._update(transaction, actor, row, fields, value)
        return await self.get(actor, record_id)

    async def delete(self, actor: Actor, record_id: str) -> None:
        """Delete one that no image uses. Raises NotFound, Conflict while one does."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            stored = _named_value(self._found(await transaction.fetch_one(f"{self._select} AND v.id = :id", {"id": record_id})))
            if stored.images:
                raise Conflict(f"The {self.kind.noun} {stored.name} is in use, so it cannot be deleted.", f"{self.kind.noun}-in-use")
            await transaction.execute(f"DELETE FROM {self.kind.table} WHERE account_id = :account_id AND id = :id", {"id": record_id})
            await self._chain.append(transaction, actor, self._event("delete", record_id, stored.name, None))

    async def put_all(self, transaction: AccountTransaction, actor: Actor, entries: Collection[Entry]) -> None:
        """Store all of an import in the caller's transaction.

        Raises Conflict when one was made, changed or deleted since the import looked: then nothing of it is stored.
        """
        rows = await self._rows(transaction, [entry.fields.name_key for entry in entries])
        for entry in entries:
            row = rows.get(entry.fields.name_key)
            if (None if row is None else (row["id"], row["version"])) != entry.replaces:
                raise Conflict(f"The {self.kind.noun} {entry.fields.name} was changed meanwhile. Look at the new preview.", "import-stale")
            if row is None:
                await self._insert(transaction, actor, new_id(), entry.fields, entry.value)
            else:
                await self._update(transaction, actor, row, ValueFields(row["name"], row["name_key"], row["description"]), entry.value)

    def readings(self, batch: Batch, account_id: str, names: Collection[str]) -> dict[str, Reading]:
        """Those with exactly these names, at most 64, as they are stored; for a hand-over. A name that is not there is left out."""
        if not names:
            return {}
        asked = (self.kind.table, account_id, tuple(names))
        if (known := batch.memo.get(asked)) is not None:
            found: dict[str, Reading] = known
            return found
        binds = {f"name_{number}": name for number, name in enumerate(names)}
        columns = "secret_version, sealed AS stored" if self.kind.sealed else "value AS stored"
        rows = batch.rows(
            f"SELECT id, name, {columns} FROM {self.kind.table}"
            f" WHERE account_id = :account_id AND name IN ({', '.join(':' + bind for bind in binds)})",
            {**binds, "account_id": account_id},
        )
        found = {row["name"]: Reading(row["id"], row["name"], row.get("secret_version"), _bytes(row["stored"])) for row in rows}
        batch.memo[asked] = found
        return found

    def open(self, account_id: str, reading: Reading) -> Secret:
        """The value that was found, opened when it is a secret. Raises SealBroken."""
        if reading.secret_version is None:
            return Secret(reading.stored)
        return self._vault.open(reading.stored, seal_context(account_id, reading.id, reading.secret_version))

    async def _rows(self, account: AccountDatabase | AccountTransaction, name_keys: Collection[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        keys = list(name_keys)
        for start in range(0, len(keys), 500):
            binds = {f"key_{number}": key for number, key in enumerate(keys[start : start + 500])}
            rows = await account.fetch_all(f"{self._select} AND v.name_key IN ({', '.join(':' + bind for bind in binds)})", binds)
            found |= {row["name_key"]: row for row in rows}
        return found

    async def _insert(self, transaction: AccountTransaction, actor: Actor, record_id: str, fields: ValueFields, value: Secret) -> None:
        now = self._clock()
        replaced = self._value(actor, record_id, 1, value)
        made = {"id": record_id, "version": 1, "created_at": now, "updated_at": now, "updated_by": actor.label}
        await transaction.insert(self.kind.table, {**made, **_columns(fields), **replaced, "replaced_at": now, "replaced_by": actor.label})
        await self._chain.append(transaction, actor, self._event("create", record_id, fields.name, 1))

    async def _update(self, transaction: AccountTransaction, actor: Actor, row: Row, fields: ValueFields, value: Secret | None) -> None:
        now, secret_version = self._clock(), row.get("secret_version", 0)
        changed = {**_columns(fields), "version": row["version"] + 1, "updated_at": now, "updated_by": actor.label}
        if value is not None:
            secret_version += 1
            changed |= {**self._value(actor, row["id"], secret_version, value), "replaced_at": now, "replaced_by": actor.label}
        await transaction.update(self.kind.table, row["id"], changed)
        await self._chain.append(
            transaction, actor, self._event("update" if value is None else "replace", row["id"], fields.name, secret_version)
        )

    async def _in_use(self, transaction: AccountTransaction, stored: NamedValue) -> str:
        rows = await transaction.fetch_all(_IMAGES_OF.format(kind=self.kind), {"id": stored.id, "limit": 5})
        names = ", ".join(row["name"] for row in rows) + (f" and {stored.images - 5} more" if stored.images > 5 else "")
        who = "1 image refers" if stored.images == 1 else f"{stored.images} images refer"
        return f"{who} to {self.kind.table}.{stored.name} ({names}), so its name has to stay. Change the user data there first."

    def _value(self, actor: Actor, record_id: str, secret_version: int, value: Secret) -> Mapping[str, object]:
        if not self.kind.sealed:
            return {"value": value.reveal().decode("utf-8")}
        sealed = self._vault.seal(value, seal_context(actor.account_id, record_id, secret_version))
        return {"sealed": sealed.blob, "kek_id": sealed.kek_id, "secret_version": secret_version}

    def _event(self, verb: str, record_id: str, name: str, secret_version: int | None) -> Event:
        version = secret_version if self.kind.sealed else None
        return Event(f"{self.kind.noun}.{verb}", self.kind.noun, record_id, name, secret_version=version)

    def _found(self, row: Row | None) -> Row:
        if row is None:
            raise NotFound(f"There is no such {self.kind.noun} in this account.")
        return row


def _named_value(row: Row) -> NamedValue:
    return NamedValue(**{name: row[name] for name in NamedValue.__dataclass_fields__})


def _columns(fields: ValueFields) -> dict[str, object]:
    return {"name": fields.name, "name_key": fields.name_key, "description": fields.description}


def _bytes(stored: object) -> bytes:
    """What is stored, as bytes: nothing where it is neither text nor bytes, which opens nowhere."""
    if isinstance(stored, str):
        return stored.encode("utf-8", "surrogateescape")
    return stored if isinstance(stored, bytes) else b""
