"""Accounts and their members in the database: set-up, sign-in, and what Settings change."""

import logging
from dataclasses import replace

from webapp.accounts.account import Account, ImageChoice, name_from_email
from webapp.accounts.device import device_cookie, device_of
from webapp.accounts.member import Email, Member, Role, is_genuine, key_to_look_for, member_mac, parse_email
from webapp.accounts.password import check_new_password, hash_password, needs_rehash, verify
from webapp.accounts.session import Browser, Refused, SessionFacts, SignedIn
from webapp.accounts.sessions import Sessions
from webapp.accounts.throttle import Kind, Throttle
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, DuplicateKey, Row, Transaction
from webapp.errors import Conflict, Invalid, NotFound, Stale, Unavailable
from webapp.ids import new_id
from webapp.names import Name, key_of
from webapp.network import network_of
from webapp.vault import Secret, Vault

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

_logger = logging.getLogger(__name__)


class AccountRepository:
    """Accounts, members and their sessions."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._sessions = Sessions(database, vault, chain, clock)
        self._throttle = Throttle(clock)

    async def has_members(self) -> bool:
        """Whether somebody has been set up, so that the set-up link is of no use any more."""
        return await self._database.fetch_one("SELECT id FROM members LIMIT 1") is not None

    async def only_account_id(self) -> str | None:
        """The id of the account, when there is exactly one."""
        rows = await self._database.fetch_all("SELECT id FROM accounts LIMIT 2")
        return str(rows[0]["id"]) if len(rows) == 1 else None

    async def set_up(self, actor: Actor, account_name: Name, email: Email, password: Secret) -> Member:
        """Make the first account and its first admin.

        Raises NotFound when there is a member already, Invalid for a password that will not do.
        """
        password_hash = await _hash_of_new(password, email)
        async with self._database.transaction() as transaction:
            if await transaction.fetch_one("SELECT id FROM members LIMIT 1") is not None:
                raise NotFound("There is no such address.")
            account_id = await self._add_account(transaction, actor, account_name)
            return await self._add_member(transaction, actor, account_id, email, "admin", password_hash)

    async def create_admin(self, actor: Actor, email: str, password: Secret) -> Member:
        """Make an admin of the one account, and that account, named after the email's domain, when there is none.

        Raises Invalid, also for an address that a member has; Conflict when there are several accounts.
        """
        try:
            parsed = parse_email(email)
        except ValueError as error:
            raise Invalid({"email": str(error)}) from None
        password_hash = await _hash_of_new(password, parsed)
        try:
            async with self._database.transaction() as transaction:
                accounts = await transaction.fetch_all("SELECT id FROM accounts LIMIT 2")
                if len(accounts) > 1:
                    raise Conflict("There are several accounts here, so it is not clear whose admin this would be.", "several-accounts")
                account_id = accounts[0]["id"] if accounts else await self._add_account(transaction, actor, name_from_email(parsed.text))
                return await self._add_member(transaction, actor, account_id, parsed, "admin", password_hash)
        except DuplicateKey:
            raise Invalid({"email": f"There is a member with the address {parsed.text} already. Use another address."}) from None

    async def sign_in(self, actor: Actor, email: str, password: Secret, browser: Browser) -> SignedIn | Refused:
        """Sign a member in, with a new session; the one that the browser had ends.

        Takes the same work for an address that no member has. Raises TooMany before any of it, and Unavailable.
        """
        key = key_to_look_for(email)
        row = await self._database.fetch_one(
            "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE email_key = :key", {"key": key}
        )
        member = None if row is None else _member(row)
        device = device_of(self._vault, browser.device, "" if member is None else member.id)
        strangers: list[tuple[Kind, str]] = [("account", key), ("address", network_of(actor.address))]
        own: list[tuple[Kind, str]] = [] if device is None else [("device", device)]
        attempt = self._throttle.begin(own or strangers)
        try:
            right = await verify(None if row is None else row["password_hash"], password)
        except Unavailable:
            self._throttle.succeeded(attempt)  # nothing was tried
            raise
        if not right or row is None or member is None or not self._is_genuine(row):
            return Refused(member)
        self._throttle.succeeded(attempt, clear=own)
        stronger = await hash_password(password) if needs_rehash(row["password_hash"]) else None
        await self._sessions.end_of_browser(browser.session, actor)
        async with self._database.account(member.account_id).transaction() as transaction:
            if stronger is not None:
                await transaction.execute(
                    "UPDATE members SET password_hash = :new, mac = :mac"
                    " WHERE account_id = :account_id AND id = :id AND password_hash = :old",
                    {
                        "new": stronger,
                        "mac": member_mac(self._vault, {**row, "password_hash": stronger}),
                        "id": member.id,
                        "old": row["password_hash"],
                    },
                )
            session = await self._sessions.begin(transaction, actor, member, browser.user_agent)
        return SignedIn(member, session, self._device_cookie(member, device))

    async def sign_in_first(self, actor: Actor, member: Member, browser: Browser) -> SignedIn:
        """Sign the first admin in, who has just chosen the password."""
        async with self._database.account(member.account_id).transaction() as transaction:
            session = await self._sessions.begin(transaction, actor, member, browser.user_agent, "by the set-up link")
        return SignedIn(member, session, self._device_cookie(member, None))

    async def record_refusal(self, actor: Actor, refused: Refused) -> None:
        """Write into the audit log that somebody tried a member's address with a wrong password.

        Done after the answer, which would otherwise take longer for an address that is somebody's. Nobody's
        address makes no row, so that no stranger can fill the disk.
        """
        member = refused.member
        if member is None:
            return
        event = Event("member.sign_in", "member", member.id, member.email, decision="denied", detail="the password was wrong")
        try:
            await self._chain.append_and_commit(replace(actor, account_id=member.account_id), event)
        except Unavailable:
            _logger.error("a refused sign-in could not be written into the audit log")

    async def find_session(self, unverified_text: str, *, touch: bool = True) -> SessionFacts | None:
        """The session that a cookie stands for, if it is a valid one; see `Sessions.find`."""
        return await self._sessions.find(unverified_text, touch=touch)

    async def end_session(self, actor: Actor) -> None:
        """Sign the actor out, in this browser."""
        await self._sessions.end(actor)

    async def confirm_password(self, actor: Actor, password: Secret) -> bool:
        """Whether this is the actor's password; then the session remembers that it was entered now.

        Raises TooMany after too many wrong ones in this session.
        """
        subject: list[tuple[Kind, str]] = [("session", actor.accessor or actor.id)]
        attempt = self._throttle.begin(subject)
        row = await self._database.account(actor.account_id).fetch_one(
            "SELECT id, account_id, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id",
            {"id": actor.id},
        )
        try:
            right = await verify(None if row is None else row["password_hash"], password)
            right = right and row is not None and self._is_genuine(row)
        except Unavailable:
            self._throttle.succeeded(attempt)  # nothing was tried
            raise
        event = Event("member.confirm_password", "member", actor.id, actor.label)
        if not right:
            await self._chain.append_and_commit(actor, replace(event, decision="denied", detail="the password was wrong"))
            return False
        self._throttle.succeeded(attempt, clear=subject)
        async with self._database.account(actor.account_id).transaction() as transaction:
            await self._sessions.password_confirmed(transaction, actor.accessor or "")
            await self._chain.append(transaction, actor, event)
        return True

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

    async def _add_account(self, transaction: Transaction, actor: Actor, name: Name) -> str:
        account_id = new_id()
        await transaction.execute(
            "INSERT INTO accounts (id, name, version, created_at) VALUES (:id, :name, 1, :now)",
            {"id": account_id, "name": name.text, "now": self._clock()},
        )
        event = Event("account.set_up", "account", account_id, name.text)
        await self._chain.append(transaction, replace(actor, account_id=account_id), event)
        return account_id

    async def _add_member(
        self, transaction: Transaction, actor: Actor, account_id: str, email: Email, role: Role, password_hash: str
    ) -> Member:
        member = Member(new_id(), account_id, email.text, role)
        row = {
            "id": member.id,
            "account_id": account_id,
            "email": email.text,
            "email_key": email.key,
            "role": role,
            "password_hash": password_hash,
        }
        await transaction.execute(
            "INSERT INTO members (id, account_id, email, email_key, role, password_hash, mac, version, created_at)"
            " VALUES (:id, :account_id, :email, :email_key, :role, :password_hash, :mac, 1, :now)",
            {**row, "mac": member_mac(self._vault, row), "now": self._clock()},
        )
        event = Event("member.create", "member", member.id, member.email, detail=f"role: {role}")
        await self._chain.append(transaction, replace(actor, account_id=account_id), event)
        return member

    def _is_genuine(self, row: Row) -> bool:
        if is_genuine(self._vault, row):
            return True
        _logger.error("the row of member %s was not written by this program, so nobody signs in with it", row["id"])
        return False

    def _device_cookie(self, member: Member, device: str | None) -> Secret:
        return Secret(device_cookie(self._vault, member.id, device).encode("ascii"))


async def _hash_of_new(password: Secret, email: Email) -> str:
    try:
        check_new_password(password, email)
    except ValueError as error:
        raise Invalid({"password": str(error)}) from None
    return await hash_password(password)


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


def _member(row: Row) -> Member:
    return Member(row["id"], row["account_id"], row["email"], row["role"])
