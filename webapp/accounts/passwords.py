"""Changing a member's password: by themselves in the page, or on the server when it was lost."""

from dataclasses import dataclass, replace

from webapp.accounts.device import device_cookie
from webapp.accounts.member import Email, Member, is_genuine, key_to_look_for, member_mac
from webapp.accounts.members import hash_of_new, member_of
from webapp.accounts.sessions import require_signed_in
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, NotFound, Unauthorised
from webapp.names import printable
from webapp.vault import Secret, Vault

_MEMBER = "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id"
_BY_ADDRESS = "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE email_key = :email_key"
_END_SESSIONS = (
    "UPDATE sessions SET ended_at = :now WHERE account_id = :account_id AND member_id = :id AND accessor <> :accessor AND ended_at IS NULL"
    " RETURNING expires_at"
)
_REMAIN = (
    "SELECT (SELECT COUNT(*) FROM passkeys WHERE account_id = :account_id AND member_id = :id) AS passkeys,"
    " (SELECT COUNT(*) FROM identities WHERE account_id = :account_id AND member_id = :id) AS identities,"
    " (SELECT COUNT(*) FROM api_tokens WHERE account_id = :account_id AND member_id = :id AND revoked_at IS NULL"
    " AND expires_at > :now) AS api_tokens"
)


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset did and what it left: how many sessions it ended, and what still signs the member in."""

    member: Member
    sessions: int
    passkeys: int
    identities: int
    api_tokens: int


class Passwords:
    """What members sign in with."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def change(self, actor: Actor, password: Secret) -> Secret:
        """Give the actor this password, and end all their sessions but this one; returns what their device's cookie is to hold now.

        That it is the actor who asks was confirmed before. Raises Invalid for a password that will not do, Unauthorised when the session
        has ended meanwhile, Unavailable.
        """
        accessor = actor.accessor or ""
        row = await self._database.account(actor.account_id).fetch_one(_MEMBER, {"id": actor.id})
        if row is None:
            raise Unauthorised("Sign in to go on.")
        password_hash = await hash_of_new(password, Email(row["email"], row["email_key"]))
        async with self._database.account(actor.account_id).transaction() as transaction:
            # A reset on the server, or a removal, may have come first: it ended this session, and is the one that counts.
            await require_signed_in(transaction, replace(actor, accessor=accessor))
            first = row["password_hash"] == ""
            ended = await self._store(transaction, actor.id, password_hash, but=accessor)
            detail = f"{'a first one; ' if first else ''}other sessions ended: {ended}"
            await self._chain.append(transaction, actor, Event("member.change_password", "member", actor.id, row["email"], detail=detail))
        return device_cookie(self._vault, actor.id, password_hash)

    async def reset(self, actor: Actor, email: str, password: Secret) -> Reset:
        """Give the member with this address another password, and end all their sessions; for the server's command line.

        Raises NotFound, Invalid for a password that will not do, Conflict for a row that this program did not write, Unavailable.
        """
        # This one knows no account: an address is one member's in the whole installation.
        found = await self._database.fetch_one(_BY_ADDRESS, {"email_key": key_to_look_for(email)})
        if found is None:
            raise NotFound("No member has this address.")
        member = member_of(found)
        password_hash = await hash_of_new(password, Email(found["email"], found["email_key"]))
        async with self._database.account(member.account_id).transaction() as transaction:
            ended = await self._store(transaction, member.id, password_hash)
            remain = await transaction.fetch_one(_REMAIN, {"id": member.id, "now": self._clock()}) or {}
            event = Event("member.reset_password", "member", member.id, member.email, detail=f"sessions ended: {ended}")
            await self._chain.append(transaction, replace(actor, account_id=member.account_id), event)
        return Reset(member, ended, **{name: remain[name] for name in ("passkeys", "identities", "api_tokens")})

    async def _store(self, transaction: AccountTransaction, member_id: str, password_hash: str, *, but: str = "") -> int:
        """Store the hash, and end the member's sessions but this one; returns how many would still have been valid."""
        row = await transaction.fetch_one(_MEMBER, {"id": member_id})
        if row is None:
            raise NotFound("No member has this address.")
        self._refuse_forged(row)
        mac = member_mac(self._vault, {**row, "password_hash": password_hash})
        await transaction.update("members", member_id, {"password_hash": password_hash, "mac": mac})
        now = self._clock()
        ended = await transaction.fetch_all(_END_SESSIONS, {"id": member_id, "accessor": but, "now": now})
        return sum(1 for session in ended if session["expires_at"] > now)

    def _refuse_forged(self, row: Row) -> None:
        if not is_genuine(self._vault, row):  # a new MAC would make it genuine, with the role that somebody wrote into it
            raise Conflict(
                f"The row of {printable(str(row['email']))} was not written by this program, or was changed since. Have an admin remove"
                " this member, and invite them again; create-admin makes another admin.",
                "not-genuine",
            )
