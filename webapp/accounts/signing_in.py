"""Signing in: by password, and by what else says who somebody is; and saying it again."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from webapp.accounts.device import device_cookie, device_of
from webapp.accounts.member import Member, is_genuine, key_to_look_for, member_mac
from webapp.accounts.members import member_of
from webapp.accounts.password import hash_password, needs_rehash, verify
from webapp.accounts.session import Browser, Method, Refused, SignedIn
from webapp.accounts.sessions import Sessions
from webapp.accounts.throttle import Kind, Throttle
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Unavailable
from webapp.log import get_logger
from webapp.network import network_of
from webapp.vault import Secret, Vault

Within = Callable[[AccountTransaction], Awaitable[None]]
"""What is to become true together with a session, or not at all."""

_WHOLE = "SELECT id, account_id, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id"

_logger = get_logger(__name__)


class _Changed(Exception):
    """The password was changed, or its member removed, while it was verified: what ends sessions ends this one, too."""


class SigningIn:
    """Begins sessions for those who have shown who they are."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, sessions: Sessions) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._sessions = sessions
        self._throttle = Throttle(database, vault, clock)

    async def by_password(self, actor: Actor, email: str, password: Secret, browser: Browser) -> SignedIn | Refused:
        """Sign a member in, with a new session; the one that the browser had ends.

        Takes the same work for an address that no member has. Raises TooMany before any of it, and Unavailable.
        """
        key = key_to_look_for(email)
        strangers: list[tuple[Kind, str]] = [("account", key), ("address", network_of(actor.address))]
        if not browser.device:
            self._throttle.refuse_known(strangers)
        row = await self._database.fetch_one(
            "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE email_key = :key", {"key": key}
        )
        member = None if row is None else member_of(row)
        device = None if row is None else device_of(self._vault, browser.device, row["id"], row["password_hash"])
        own: list[tuple[Kind, str]] = [] if device is None else [("device", device)]
        attempt = await self._throttle.begin(own or strangers)
        try:
            right = await verify(None if row is None else row["password_hash"], password)
        except Unavailable:
            await self._throttle.succeeded(attempt)  # nothing was tried
            raise
        if not right or row is None or member is None or not self._is_genuine(row):
            return Refused(member)
        await self._throttle.succeeded(attempt, clear=own)
        stronger = await hash_password(password) if needs_rehash(row["password_hash"]) else None

        async def still_right(transaction: AccountTransaction) -> None:
            stored = await transaction.fetch_one(_WHOLE, {"id": member.id})
            if stored is None or stored["password_hash"] != row["password_hash"] or not self._is_genuine(stored):
                raise _Changed
            if stronger is not None:
                mac = member_mac(self._vault, {**stored, "password_hash": stronger})
                await transaction.update("members", member.id, {"password_hash": stronger, "mac": mac})

        try:
            return await self.begin(actor, member, browser, "password", within=still_right)
        except _Changed:
            return Refused(member)

    async def begin(
        self,
        actor: Actor,
        member: Member,
        browser: Browser,
        method: Method,
        detail: str | None = None,
        *,
        within: Within | None = None,
        shown_at: int | None = None,
    ) -> SignedIn:
        """Sign in a member who has shown who they are, just now or at `shown_at`; the session that the browser had ends.

        `within` runs in the transaction of the new session, and may refuse it by raising: then the browser keeps the one that it had.
        """
        async with self._database.account(member.account_id).transaction() as transaction:
            if within is not None:
                await within(transaction)
            session = await self._sessions.begin(transaction, actor, member, browser.user_agent, method, detail, shown_at=shown_at)
            stored = await transaction.fetch_one(_WHOLE, {"id": member.id})
            password_hash = "" if stored is None else str(stored["password_hash"])
        await self._sessions.end_of_browser(browser.session, actor)
        device = device_of(self._vault, browser.device, member.id, password_hash)
        return SignedIn(member, session, device_cookie(self._vault, member.id, password_hash, device))

    async def record_refusal(self, actor: Actor, refused: Refused) -> None:
        """Write into the audit log that somebody tried a member's address with a wrong password.

        Done after the answer, which would otherwise take longer for an address that is somebody's. Nobody's
        address makes no row that stays, so that no stranger can fill the disk.
        """
        member = refused.member
        try:
            if member is None:
                await self._throttle.write_in_place_of_a_row()
                return
            event = Event("member.sign_in", "member", member.id, member.email, decision="denied", detail="the password was wrong")
            await self._chain.append_and_commit(replace(actor, account_id=member.account_id), event)
        except Unavailable:
            _logger.error("a refused sign-in could not be written into the audit log")

    async def confirm_password(self, actor: Actor, password: Secret) -> bool:
        """Whether this is the actor's password; then the session remembers that it was entered now.

        Raises TooMany after too many wrong ones in this session.
        """
        subject: list[tuple[Kind, str]] = [("session", actor.accessor or actor.id)]
        attempt = await self._throttle.begin(subject)
        row = await self._database.account(actor.account_id).fetch_one(_WHOLE, {"id": actor.id})
        try:
            right = await verify(None if row is None else row["password_hash"], password)
            right = right and row is not None and self._is_genuine(row)
        except Unavailable:
            await self._throttle.succeeded(attempt)  # nothing was tried
            raise
        event = Event("member.confirm_password", "member", actor.id, actor.label)
        if not right:
            await self._chain.append_and_commit(actor, replace(event, decision="denied", detail="the password was wrong"))
            return False
        await self._throttle.succeeded(attempt, clear=subject)
        async with self._database.account(actor.account_id).transaction() as transaction:
            await self._sessions.confirmed(transaction, actor.accessor or "")
            await self._chain.append(transaction, actor, event)
        return True

    async def confirmed(self, actor: Actor, detail: str, *, within: Within | None = None) -> None:
        """Remember that the actor has just shown again who they are, otherwise than by the password; `detail` says how.

        `within` runs in the same transaction, and may refuse it by raising.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            if within is not None:
                await within(transaction)
            await self._sessions.confirmed(transaction, actor.accessor or "")
            await self._chain.append(transaction, actor, Event("member.confirm", "member", actor.id, actor.label, detail=detail))

    def _is_genuine(self, row: Row) -> bool:
        if is_genuine(self._vault, row):
            return True
        _logger.error("a member's row was not written by this program, so nobody signs in with it", member=row["id"])
        return False
