"""Invitations in the database: a keyed hash of each link's token, never the token."""

from dataclasses import replace

from webapp.accounts.invitation import LIFETIME, TAKEN, UNKNOWN, Invitation, NoInvitation, why_over
from webapp.accounts.member import Email, Member, is_genuine
from webapp.accounts.members import MemberRepository, hash_of_new
from webapp.accounts.signing_in import Within
from webapp.accounts.team import Team
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import DAY, Clock
from webapp.database import AccountDatabase, AccountTransaction, Database, DuplicateKey, Row
from webapp.errors import Invalid, NotFound
from webapp.ids import new_id
from webapp.names import key_of
from webapp.nonce import spend_nonce
from webapp.roles import Role
from webapp.vault import Secret, Token, Vault, mint, parse

MOST_PENDING = 100
"""Of an account at a time: more than any team waits for, and fewer than would make a list of addresses."""

_KEPT_AFTER_EXPIRY = 30 * DAY

_ONE = (
    "SELECT id, account_id, accessor, mac, email, role, created_at, created_by, invited_by, expires_at, accepted_at, revoked_at"
    " FROM invitations WHERE account_id = :account_id AND id = :id"
)
_PENDING = (
    "SELECT id, account_id, accessor, mac, email, role, created_at, created_by, invited_by, expires_at, accepted_at, revoked_at"
    " FROM invitations WHERE account_id = :account_id AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > :now"
    " ORDER BY created_at DESC, id LIMIT :limit"
)
# The one statement that knows no account yet: the link is what tells it.
_BY_ACCESSOR = (
    "SELECT i.id, i.account_id, i.accessor, i.mac, i.email, i.role, i.created_at, i.created_by, i.invited_by, i.expires_at, i.accepted_at,"
    " i.revoked_at, a.name AS account_name FROM invitations i JOIN accounts a ON a.id = i.account_id WHERE i.accessor = :accessor"
)
_INVITER = (
    "SELECT id, account_id, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id AND role = 'admin'"
)
# An address is a member's of one account only, whichever that is.
_MEMBER_WITH = "SELECT CASE WHEN account_id = :account_id THEN 1 ELSE 0 END AS here FROM members WHERE email_key = :email_key"
_REPLACE = (
    "UPDATE invitations SET revoked_at = :now WHERE account_id = :account_id AND email_key = :email_key AND revoked_at IS NULL"
    " AND accepted_at IS NULL RETURNING id, accessor, email"
)
_FORGET = "DELETE FROM invitations WHERE account_id = :account_id AND expires_at < :before"
_COUNT = (
    "SELECT COUNT(*) AS pending FROM invitations WHERE account_id = :account_id AND accepted_at IS NULL AND revoked_at IS NULL"
    " AND expires_at > :now"
)

_HERE = "{} is a member of this account already. Their role can be changed in the list."
_ELSEWHERE = "Somebody signs in to this server with {} already, and an address belongs to one account. Invite them with another address."


class Invitations:
    """The account's invitations, and what becomes of them."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, members: MemberRepository, team: Team) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._members = members
        self._team = team

    async def pending(self, actor: Actor) -> list[Invitation]:
        """Those that still work, the newest first."""
        values = {"now": self._clock(), "limit": MOST_PENDING}
        return [_invitation(row) for row in await self._database.account(actor.account_id).fetch_all(_PENDING, values)]

    async def get(self, actor: Actor, invitation_id: str) -> Invitation:
        """One invitation of the account. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(_ONE, {"id": invitation_id})
        if row is None:
            raise NotFound("There is no such invitation in this account.")
        return _invitation(row)

    async def create(self, actor: Actor, address: Email, role: Role, nonce: str = "") -> tuple[Invitation, Secret | None]:
        """Invite somebody; the secret is the token of the link, to be shown once. It takes the place of an earlier one to the same address.

        A nonce that was spent leads to the invitation that it made, whose secret was shown then. Raises Invalid, also for an address that
        a member of any account has; Forbidden when the actor is no admin any more.
        """
        now, token = self._clock(), mint("i")
        made = Invitation(
            new_id(), actor.account_id, token.accessor, address.text, role, now, actor.label, actor.id, now + LIFETIME, None, None
        )
        try:
            async with self._database.account(actor.account_id).transaction() as transaction:
                await self._team.require_admin(transaction, actor)
                earlier = await spend_nonce(transaction, nonce, made.id, now)
                row = None if earlier is None else await transaction.fetch_one(_ONE, {"id": earlier})
                if row is not None:
                    return _invitation(row), None
                await self._refuse_taken(transaction, address)
                await self._make_room(transaction, actor, address, now)
                await self._insert(transaction, made, address, token)
                event = Event("member.invite", "invitation", made.id, made.email, detail=f"{made.accessor}, role: {made.role}")
                await self._chain.append(transaction, actor, event)
        except _TakenElsewhere:
            # Written down, so that nobody goes through a list of addresses unseen.
            refused = Event("member.invite", "invitation", "", address.text, decision="denied", detail="the address is in use already")
            await self._chain.append_and_commit(actor, refused)
            raise Invalid({"email": _ELSEWHERE.format(address.text)}) from None
        return made, token.text

    async def revoke(self, actor: Actor, invitation_id: str) -> None:
        """End an invitation at once; one that is over stays so. Raises NotFound, Forbidden."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            await self._team.require_admin(transaction, actor)
            row = await transaction.fetch_one(
                "UPDATE invitations SET revoked_at = :now WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL"
                " AND accepted_at IS NULL RETURNING accessor, email",
                {"now": self._clock(), "id": invitation_id},
            )
            if row is not None:
                event = Event("member.revoke_invitation", "invitation", invitation_id, row["email"], detail=row["accessor"])
                await self._chain.append(transaction, actor, event)
        if row is None:
            await self.get(actor, invitation_id)

    async def find(self, unverified_text: str) -> tuple[Invitation, str]:
        """The invitation of this token, and the account's name. Raises NoInvitation for one that makes nobody a member."""
        token = parse(unverified_text, "i")
        row = None if token is None else await self._database.fetch_one(_BY_ACCESSOR, {"accessor": token.accessor})
        if token is None or row is None or not self._is_of(token, row):
            raise NoInvitation(UNKNOWN, known=False)
        invitation = _invitation(row)
        await self._refuse_over(self._database.account(invitation.account_id), invitation)
        return invitation, str(row["account_name"])

    async def acceptance(self, actor: Actor, invitation: Invitation, password: Secret) -> tuple[Member, Within]:
        """Whom the invitation makes a member, and what does so in the transaction of their first session.

        Raises Invalid for a password that will not do, Unavailable; what is returned raises NoInvitation when somebody was faster.
        """
        password_hash = await hash_of_new(password, Email(invitation.email, key_of(invitation.email)))
        member = Member(new_id(), invitation.account_id, invitation.email, invitation.role)
        who = replace(actor, label="invitation link", accessor=invitation.accessor)

        async def join(transaction: AccountTransaction) -> None:
            row = await transaction.fetch_one(_ONE, {"id": invitation.id})
            if row is None:
                raise NoInvitation(UNKNOWN, known=False)
            await self._refuse_over(transaction, replace(invitation, accepted_at=row["accepted_at"], revoked_at=row["revoked_at"]))
            await transaction.update("invitations", invitation.id, {"accepted_at": self._clock()})
            event = Event(
                "member.join", "member", member.id, member.email, detail=f"role: {member.role}; invited by {invitation.created_by}"
            )
            try:
                await self._members.insert(transaction, who, member, password_hash, event)
            except DuplicateKey:
                raise NoInvitation(TAKEN, known=True) from None

        return member, join

    async def _refuse_over(self, database: AccountDatabase | AccountTransaction, invitation: Invitation) -> None:
        inviter = await database.fetch_one(_INVITER, {"id": invitation.invited_by})
        inviter_may = inviter is not None and is_genuine(self._vault, inviter)
        why = why_over(invitation, self._clock(), inviter_may=inviter_may)
        if why is None and await database.fetch_one(_MEMBER_WITH, {"email_key": key_of(invitation.email)}) is not None:
            why = TAKEN
        if why is not None:
            raise NoInvitation(why, known=True)

    def _is_of(self, token: Token, row: Row) -> bool:
        owner = _invitation(row).owner
        return self._vault.token_matches(token, row["mac"], owner=owner, account_id=row["account_id"], expires_at=row["expires_at"])

    async def _refuse_taken(self, transaction: AccountTransaction, address: Email) -> None:
        row = await transaction.fetch_one(_MEMBER_WITH, {"email_key": address.key})
        if row is None:
            return
        if row["here"]:
            raise Invalid({"email": _HERE.format(address.text)})
        raise _TakenElsewhere

    async def _make_room(self, transaction: AccountTransaction, actor: Actor, address: Email, now: int) -> None:
        """End an earlier one to this address, and forget what was over long ago. Raises Invalid when too many are pending."""
        for row in await transaction.fetch_all(_REPLACE, {"email_key": address.key, "now": now}):
            event = Event(
                "member.revoke_invitation", "invitation", row["id"], row["email"], detail=f"{row['accessor']}: a new one takes its place"
            )
            await self._chain.append(transaction, actor, event)
        await transaction.execute(_FORGET, {"before": now - _KEPT_AFTER_EXPIRY})
        count = await transaction.fetch_one(_COUNT, {"now": now})
        if count is not None and count["pending"] >= MOST_PENDING:
            raise Invalid({"": f"{MOST_PENDING} invitations are pending, which is the most. Revoke one that nobody needs."})

    async def _insert(self, transaction: AccountTransaction, made: Invitation, address: Email, token: Token) -> None:
        mac = self._vault.token_mac(token, owner=made.owner, account_id=made.account_id, expires_at=made.expires_at)
        await transaction.insert(
            "invitations",
            {
                "id": made.id,
                "accessor": made.accessor,
                "mac": mac,
                "email": made.email,
                "email_key": address.key,
                "role": made.role,
                "created_at": made.created_at,
                "created_by": made.created_by,
                "invited_by": made.invited_by,
                "expires_at": made.expires_at,
            },
        )


class _TakenElsewhere(Exception):
    """A member of another account has the address."""


def _invitation(row: Row) -> Invitation:
    return Invitation(**{name: row[name] for name in Invitation.__dataclass_fields__})
