"""The import of a .env file: a preview first, then all of it in one transaction.

Between the two the text is kept here, sealed, for 10 minutes and for the session that sent it; it is never in the page.
"""

import json
from dataclasses import dataclass
from typing import Any

from webapp.actor import Actor
from webapp.clock import MINUTE, Clock
from webapp.database import AccountTransaction, Batch, Database, Row
from webapp.errors import Conflict, NotFound
from webapp.ids import new_id
from webapp.nonce import spend_nonce
from webapp.secrets.env_file import EnvEntry, EnvFile, EnvRefusal, parse_env_file
from webapp.secrets.named_value import NamedValue, ValueFields
from webapp.secrets.repository import Entry, NamedValueRepository
from webapp.vault import SealBroken, SealContext, Secret, Vault

KEPT = 10 * MINUTE
KEPT_AT_ONCE = 4
"""How many previews of a kind a session may have; a new one takes the place of the oldest."""

_GONE = "This import is not there any more: it is kept for 10 minutes, for the one who began it. Choose the file again."

_EXPIRED = "DELETE FROM env_imports WHERE expires_at <= :now"
_OLDER = (
    "DELETE FROM env_imports WHERE account_id = :account_id AND session = :session AND kind = :kind AND id NOT IN"
    " (SELECT id FROM env_imports WHERE account_id = :account_id AND session = :session AND kind = :kind"
    " ORDER BY expires_at DESC, id LIMIT :others)"
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do. `new`, `replaced` and `unchanged` are (line, name); a secret is never compared, so it is replaced."""

    id: str
    new: tuple[tuple[int, str], ...]
    replaced: tuple[tuple[int, str], ...]
    unchanged: tuple[tuple[int, str], ...]
    refused: tuple[EnvRefusal, ...]

    @property
    def changes(self) -> int:
        """How many records it would make or replace."""
        return len(self.new) + len(self.replaced)


class ImportRepository:
    """The imports that wait to be confirmed."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def begin(self, actor: Actor, values: NamedValueRepository, content: Secret) -> Preview:
        """Look at a .env file and keep it for its import. Raises ValueError with a sentence when it is none."""
        file = parse_env_file(content.reveal(), allow_empty=not values.kind.sealed)
        existing = await values.existing(actor, [entry.name.key for entry in file.entries])
        import_id, now = new_id(), self._clock()
        known = {key: [value.id, value.version] for key, value in existing.items()}
        # What the preview saw is kept beside the text: the import makes sure that it is still so.
        kept = json.dumps({"text": content.reveal().decode("utf-8"), "known": known}).encode("utf-8")
        sealed = self._vault.seal(Secret(kept), self._context(actor, values, import_id))
        async with self._database.account(actor.account_id).transaction() as transaction:
            await transaction.whole.execute(_EXPIRED, {"now": now})
            # A few are kept, so that a form that is sent twice and is stale gets two previews, and both can be confirmed.
            await transaction.execute(_OLDER, {"session": actor.accessor or "", "kind": values.kind.noun, "others": KEPT_AT_ONCE - 1})
            row = {"id": import_id, "session": actor.accessor or "", "kind": values.kind.noun, "expires_at": now + KEPT}
            await transaction.insert("env_imports", {**row, "sealed": sealed.blob, "kek_id": sealed.kek_id})
        return _preview(import_id, file, existing)

    async def forget_expired(self) -> None:
        """Delete what nobody has confirmed in time, of all accounts."""
        async with self._database.transaction() as transaction:
            await transaction.execute(_EXPIRED, {"now": self._clock()})

    async def commit(self, actor: Actor, values: NamedValueRepository, import_id: str) -> int:
        """Store all that the preview said, in one transaction; returns how many. A second time changes nothing, and returns 0.

        Raises NotFound when it is not this session's, or older than 10 minutes; Conflict when something was changed since the preview.
        """
        row = await self._kept(actor, values, import_id)
        entries = [] if row is None else await self._entries(actor, values, row)
        account, stored = self._database.account(actor.account_id), 0

        async def store(transaction: AccountTransaction) -> None:
            nonlocal stored
            if row is None:  # it was stored before, or nobody has it any more: either way it waits for no other import
                if await spend_nonce(transaction, import_id, import_id, self._clock()) is None:
                    raise NotFound(_GONE)
                return
            if await spend_nonce(transaction, import_id, import_id, self._clock()) is not None:
                return
            await values.put_all(transaction, actor, entries)
            await transaction.execute("DELETE FROM env_imports WHERE account_id = :account_id AND id = :id", {"id": import_id})
            stored = len(entries)

        async def write(batch: Batch) -> None:
            # As a batch: a thousand values are a few statements, and do not keep others waiting for a second.
            # What another import of this very batch writes cannot be read yet: a second one of an account waits its turn.
            first = import_id if row is None else batch.memo.setdefault(("import", actor.account_id), import_id)
            if first != import_id:
                raise Conflict("Another import of this account was stored at the same time. Look at the new preview.", "import-stale")
            if row is not None and batch.memo.get(("imported", import_id)):
                return
            await store(AccountTransaction(batch, actor.account_id))
            if row is not None:
                batch.memo["imported", import_id] = True

        if self._database.is_shared:  # others write between what a batch reads and what it writes: only a transaction keeps them out
            async with account.transaction() as transaction:
                await store(transaction)
        else:
            await self._database.submit(write)
        return stored

    async def again(self, actor: Actor, values: NamedValueRepository, import_id: str) -> Preview | None:
        """A new preview of the same file, after something was changed meanwhile. Raises NotFound.

        None when the import was stored meanwhile: its form was sent twice, and another import came in between.
        """
        row = await self._kept(actor, values, import_id)
        if row is None:
            await self.commit(actor, values, import_id)
            return None
        kept = await self._opened(actor, values, row)
        return await self.begin(actor, values, Secret(kept["text"].encode("utf-8")))

    async def _kept(self, actor: Actor, values: NamedValueRepository, import_id: str) -> Row | None:
        return await self._database.account(actor.account_id).fetch_one(
            "SELECT id, sealed FROM env_imports WHERE account_id = :account_id AND id = :id AND session = :session AND kind = :kind"
            " AND expires_at > :now",
            {"id": import_id, "session": actor.accessor or "", "kind": values.kind.noun, "now": self._clock()},
        )

    async def _entries(self, actor: Actor, values: NamedValueRepository, row: Row) -> list[Entry]:
        kept = await self._opened(actor, values, row)
        known = {key: (str(record_id), int(version)) for key, (record_id, version) in kept["known"].items()}
        file = parse_env_file(kept["text"].encode("utf-8"), allow_empty=not values.kind.sealed)
        existing = await values.existing(actor, [entry.name.key for entry in file.entries])
        return [
            Entry(ValueFields(entry.name.text, entry.name.key, ""), entry.value, known.get(entry.name.key))
            for entry in file.entries
            if not _is_unchanged(entry, existing.get(entry.name.key))
        ]

    async def _opened(self, actor: Actor, values: NamedValueRepository, row: Row) -> Any:
        """The text that is kept, and what the preview saw beside it. Raises NotFound: one that does not open is there no more."""
        try:
            return json.loads((await self._vault.opened(row["sealed"], self._context(actor, values, row["id"]))).reveal())
        except SealBroken:
            raise NotFound(_GONE) from None

    def _context(self, actor: Actor, values: NamedValueRepository, import_id: str) -> SealContext:
        return seal_context(actor.account_id, import_id, actor.accessor or "", values.kind.noun)


def seal_context(account_id: str, import_id: str, session: str, kind: str) -> SealContext:
    """The place that a kept file is sealed to: to the session that sent it, too."""
    return SealContext(account_id, "env_imports", import_id, "sealed", 1, (session, kind))


def _is_unchanged(entry: EnvEntry, stored: NamedValue | None) -> bool:
    return stored is not None and stored.value is not None and stored.value.encode("utf-8") == entry.value.reveal()


def _preview(import_id: str, file: EnvFile, existing: dict[str, NamedValue]) -> Preview:
    new, replaced, unchanged = [], [], []
    for entry in file.entries:
        stored = existing.get(entry.name.key)
        if stored is None:
            new.append((entry.line, entry.name.text))
        elif _is_unchanged(entry, stored):
            unchanged.append((entry.line, stored.name))
        else:
            replaced.append((entry.line, stored.name))
    return Preview(import_id, tuple(new), tuple(replaced), tuple(unchanged), file.refused)
