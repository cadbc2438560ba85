"""Accounts in the database, and what Settings change of them."""

from webapp.accounts.account import Account, ImageChoice, NamedAccount
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Invalid, NotFound, Stale
from webapp.names import Name, key_of
from webapp.vault import Vault

MOST_CHOICES = 500

_ACCOUNT = (
    "SELECT a.id, a.name, a.default_image_id, i.name AS default_image_name, a.version FROM accounts a"
    " LEFT JOIN images i ON i.id = a.default_image_id WHERE a.id = :account_id"
)
_CHOICE = "SELECT id, name, reference, account_id, withdrawn_at FROM images WHERE"
_DEFAULT = (
    "SELECT id, name, reference, account_id, withdrawn_at FROM images"
    " WHERE id = (SELECT default_image_id FROM accounts WHERE id = :account_id)"
)
_OWN = f"{_CHOICE} account_id = :account_id AND withdrawn_at IS NULL ORDER BY name_key LIMIT {MOST_CHOICES}"
_OFFICIAL = f"{_CHOICE} account_id IS NULL AND withdrawn_at IS NULL AND :account_id <> '' ORDER BY name_key, id"
_IMAGE = "SELECT name FROM images WHERE id = :id AND (account_id = :account_id OR account_id IS NULL) AND withdrawn_at IS NULL"
_NO_SUCH_IMAGE = "There is no such image any more. Choose one of the list, or none."


class AccountRepository:
    """Accounts, and what their settings say."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def only_account_id(self) -> str | None:
        """The id of the account, when there is exactly one."""
        rows = await self._database.fetch_all("SELECT id FROM accounts LIMIT 2")
        return str(rows[0]["id"]) if len(rows) == 1 else None

    async def every(self) -> list[NamedAccount]:
        """All accounts of the installation by their names; for the server's command line, and for no page."""
        return [
            NamedAccount(row["id"], row["name"])
            for row in await self._database.fetch_all("SELECT id, name FROM accounts ORDER BY name, id")
        ]

    async def account(self, actor: Actor) -> Account:
        """The actor's account. Raises NotFound."""
        return _account(await self._database.account(actor.account_id).fetch_one(_ACCOUNT))

    async def image_choices(self, actor: Actor) -> list[ImageChoice]:
        """The images that can be the default: the account's own first, at most 500, then the official ones, and the one that is."""
        account = self._database.account(actor.account_id)
        rows = {row["id"]: row for sql in (_DEFAULT, _OWN, _OFFICIAL) for row in await account.fetch_all(sql)}
        ordered = sorted(rows.values(), key=lambda row: (row["account_id"] is None, key_of(row["name"])))
        return [
            ImageChoice(row["id"], row["name"], row["reference"], row["account_id"] is None, row["withdrawn_at"] is not None)
            for row in ordered
        ]

    async def update_account(self, actor: Actor, name: Name, default_image_id: str | None, version: int | None) -> Account:
        """Change the account's name and default image.

        Raises Stale when somebody else saved it since `version`; Invalid for an image that is not there to choose.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            stored = _account(await transaction.fetch_one(_ACCOUNT))
            if version is not None and stored.version != version:
                raise Stale("Somebody else saved the settings meanwhile.")
            changes = [f"name: {name.text}"] if name.text != stored.name else []
            if default_image_id != stored.default_image_id:
                changes.append(f"default image: {await _image_name(transaction, default_image_id)}")
            if changes:
                await transaction.execute(
                    "UPDATE accounts SET name = :name, default_image_id = :image_id, version = version + 1 WHERE id = :account_id",
                    {"name": name.text, "image_id": default_image_id},
                )
                event = Event("account.update", "account", stored.id, name.text, detail=f"changed: {', '.join(changes)}")
                await self._chain.append(transaction, actor, event)
        return await self.account(actor)


async def _image_name(transaction: AccountTransaction, image_id: str | None) -> str:
    if image_id is None:
        return "none"
    row = await transaction.fetch_one(_IMAGE, {"id": image_id})
    if row is None:
        raise Invalid({"default_image_id": _NO_SUCH_IMAGE})
    return str(row["name"])


def _account(row: Row | None) -> Account:
    if row is None:
        raise NotFound("There is no such account.")
    return Account(row["id"], row["name"], row["default_image_id"], row["default_image_name"], row["version"])
