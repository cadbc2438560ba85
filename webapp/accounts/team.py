"""The members of one account, as its admins change them: roles, removal, and that there is always an admin."""

from collections.abc import Sequence
from dataclasses import replace

from webapp.accounts.member import Belongings, ListedMember, is_genuine, member_mac
from webapp.accounts.sessions import require_signed_in
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Forbidden, NotFound, Stale
from webapp.records import FIRST_PAGE, Order, Page, Wanted, page_of
from webapp.roles import Role, is_at_most, keeps_an_admin, stops_inviting
from webapp.vault import Vault

BY_ADDRESS = Order(("email_key", "id"))

_LIST = (
    "SELECT m.id, m.account_id, m.email, m.email_key, m.role, m.password_hash, m.mac, m.version, m.created_at,"
    " (SELECT MAX(s.seen_at) FROM sessions s WHERE s.account_id = m.account_id AND s.member_id = m.id) AS last_seen_at,"
    " (SELECT COUNT(*) FROM passkeys p WHERE p.account_id = m.account_id AND p.member_id = m.id) AS passkeys"
    " FROM members m WHERE m.account_id = :account_id"
)
_WHOLE = (
    "SELECT id, account_id, email, email_key, role, password_hash, mac, version FROM members WHERE account_id = :account_id AND id = :id"
)
_ADMINS = "SELECT id, account_id, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND role = 'admin'"
_BELONGINGS = (
    "SELECT (SELECT COUNT(*) FROM sessions WHERE account_id = :account_id AND member_id = :id AND ended_at IS NULL"
    " AND expires_at > :now) AS sessions,"
    " (SELECT COUNT(*) FROM passkeys WHERE account_id = :account_id AND member_id = :id) AS passkeys,"
    " (SELECT COUNT(*) FROM api_tokens WHERE account_id = :account_id AND member_id = :id AND revoked_at IS NULL"
    " AND expires_at > :now) AS api_tokens,"
    " (SELECT COUNT(*) FROM invitations WHERE account_id = :account_id AND invited_by = :id AND revoked_at IS NULL"
    " AND accepted_at IS NULL AND expires_at > :now) AS invitations,"
    " (SELECT COUNT(*) FROM bootstrap_tokens WHERE account_id = :account_id AND created_by = :email AND revoked_at IS NULL"
    " AND expires_at > :now) AS bootstrap_tokens"
)
# Those that have expired, too: a clock may be set back.
_REVOKE_INVITATIONS = (
    "UPDATE invitations SET revoked_at = :now WHERE account_id = :account_id AND invited_by = :id AND revoked_at IS NULL"
    " AND accepted_at IS NULL RETURNING id, accessor, email"
)
_REVOKE_BOOTSTRAP_TOKENS = (
    "UPDATE bootstrap_tokens SET revoked_at = :now WHERE account_id = :account_id AND created_by = :email AND revoked_at IS NULL"
    " AND expires_at > :now RETURNING id, accessor"
)
_OWNED = (
    ("session", "DELETE FROM sessions WHERE account_id = :account_id AND member_id = :id RETURNING accessor"),
    ("API token", "DELETE FROM api_tokens WHERE account_id = :account_id AND member_id = :id RETURNING accessor"),
    ("passkey", "DELETE FROM passkeys WHERE account_id = :account_id AND member_id = :id RETURNING id"),
    ("link to a sign-in elsewhere", "DELETE FROM identities WHERE account_id = :account_id AND member_id = :id RETURNING id"),
)
"""What is a member's own and goes with them, in the order in which the tables refer to each other."""

_LAST_ADMIN = "{} is the last admin, and an account needs one. Make somebody else an admin first."
_FORGED = "The row of {} was not written by this program, or was changed since. Remove this member, and invite them again."


class Team:
    """The members of an account."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE) -> Page[ListedMember]:
        """A page of the account's members, by their addresses; it is not searched."""
        account, wanted = self._database.account(actor.account_id), replace(wanted, query="")
        return await page_of(account, [_LIST], self._listed, table="members", alias="m", wanted=wanted, order=BY_ADDRESS)

    async def member(self, actor: Actor, member_id: str) -> ListedMember:
        """One member of the account. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(f"{_LIST} AND m.id = :id", {"id": member_id})
        if row is None:
            raise NotFound("There is no such member in this account.")
        return self._listed(row)

    async def belongings(self, actor: Actor, member: ListedMember) -> Belongings:
        """What ends with the member, or may."""
        values = {"id": member.id, "email": member.email, "now": self._clock()}
        row = await self._database.account(actor.account_id).fetch_one(_BELONGINGS, values) or {}
        return Belongings(**{name: row[name] for name in Belongings.__dataclass_fields__})

    async def change_role(
        self, actor: Actor, member_id: str, role: Role, version: int | None = None, *, revoke_bootstrap_tokens: bool = False
    ) -> None:
        """Give a member another role, at once; the invitations of who is no admin any more are revoked.

        Where it is said, so are the bootstrap tokens that who becomes a viewer has made, and may know.
        Raises NotFound; Stale when somebody else changed the member since `version`; Conflict for the last admin, and for a row that this
        program did not write; Forbidden when the actor is no admin any more.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            await self.require_admin(transaction, actor)
            row = await self._whole(transaction, member_id)
            if version is not None and row["version"] != version:
                raise Stale("Somebody else changed this member meanwhile.")
            if not is_genuine(self._vault, row):
                raise Conflict(_FORGED.format(row["email"]), "not-genuine")  # a new MAC would make it genuine
            if row["role"] == role:
                return
            if not keeps_an_admin(row["role"], role, await self._admins_beside(transaction, member_id)):
                raise Conflict(_LAST_ADMIN.format(row["email"]), "last-admin")
            changed = {**row, "role": role}
            values = {"role": role, "mac": member_mac(self._vault, changed), "version": row["version"] + 1}
            await transaction.update("members", member_id, values)
            if stops_inviting(row["role"], role):
                await self._revoke_invitations(transaction, actor, member_id, "whoever made it is no admin any more")
            if revoke_bootstrap_tokens and not is_at_most("editor", role):
                await self._revoke_bootstrap_tokens(transaction, actor, row["email"], "whoever made it is a viewer now")
            event = Event("member.change_role", "member", member_id, row["email"], detail=f"role: {role}; it was: {row['role']}")
            await self._chain.append(transaction, actor, event)

    async def remove(self, actor: Actor, member_id: str, *, revoke_bootstrap_tokens: bool) -> None:
        """End a member: their sessions, API tokens, passkeys and invitations, and, where it is said, the bootstrap tokens that they know.

        A member of any role may remove themselves. Raises NotFound, Conflict for the last admin, Forbidden when the actor is no admin.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await self._whole(transaction, member_id)
            leaves = actor.kind == "member" and actor.id == member_id
            if not leaves:
                await self.require_admin(transaction, actor)
            # What is only called an admin is none, and may go.
            if is_genuine(self._vault, row) and not keeps_an_admin(row["role"], None, await self._admins_beside(transaction, member_id)):
                raise Conflict(_LAST_ADMIN.format(row["email"]), "last-admin")
            why = f"whoever made it {'left' if leaves else 'was removed'}"
            await self._revoke_invitations(transaction, actor, member_id, why)
            if revoke_bootstrap_tokens:
                await self._revoke_bootstrap_tokens(transaction, actor, row["email"], why)
            ended = [(what, len(await transaction.fetch_all(sql, {"id": member_id}))) for what, sql in _OWNED]
            await transaction.execute("DELETE FROM members WHERE account_id = :account_id AND id = :id", {"id": member_id})
            detail = "; ".join(["left"] * leaves + [f"role: {row['role']}"] + _counted(ended))
            await self._chain.append(transaction, actor, Event("member.remove", "member", member_id, row["email"], detail=detail))

    async def require_admin(self, transaction: AccountTransaction, actor: Actor) -> None:
        """Raise Forbidden unless the actor is an admin of the account still, in this transaction: they may just have been removed.

        Raises Unauthorised when it is their session that has ended.
        """
        row = await transaction.fetch_one(_WHOLE, {"id": actor.id}) if actor.kind == "member" else None
        if row is None or row["role"] != "admin" or not is_genuine(self._vault, row):
            raise Forbidden("Only a member who is an admin may do this.")
        await require_signed_in(transaction, actor)

    async def _whole(self, transaction: AccountTransaction, member_id: str) -> Row:
        row = await transaction.fetch_one(_WHOLE, {"id": member_id})
        if row is None:
            raise NotFound("There is no such member in this account.")
        return row

    async def _admins_beside(self, transaction: AccountTransaction, member_id: str) -> int:
        """How many admins there are beside this member; a row that this program did not write is none."""
        rows = await transaction.fetch_all(_ADMINS)
        return sum(1 for row in rows if row["id"] != member_id and is_genuine(self._vault, row))

    async def _revoke_invitations(self, transaction: AccountTransaction, actor: Actor, member_id: str, why: str) -> None:
        for row in await transaction.fetch_all(_REVOKE_INVITATIONS, {"id": member_id, "now": self._clock()}):
            event = Event("member.revoke_invitation", "invitation", row["id"], row["email"], detail=f"{row['accessor']}: {why}")
            await self._chain.append(transaction, actor, event)

    async def _revoke_bootstrap_tokens(self, transaction: AccountTransaction, actor: Actor, email: str, why: str) -> None:
        for row in await transaction.fetch_all(_REVOKE_BOOTSTRAP_TOKENS, {"email": email, "now": self._clock()}):
            event = Event("bootstrap_token.revoke", "bootstrap_token", row["id"], row["accessor"], detail=why)
            await self._chain.append(transaction, actor, event)

    def _listed(self, row: Row) -> ListedMember:
        return ListedMember(
            id=row["id"],
            email=row["email"],
            role=row["role"],
            version=row["version"],
            joined_at=row["created_at"],
            last_seen_at=row["last_seen_at"],
            has_password=row["password_hash"] != "",
            passkeys=row["passkeys"],
            genuine=is_genuine(self._vault, row),
        )


def _counted(ended: Sequence[tuple[str, int]]) -> list[str]:
    """`ended: 2 sessions, 1 API token`; nothing for nothing."""
    plurals = {"link to a sign-in elsewhere": "links to sign-ins elsewhere"}
    words = [f"{count} {what if count == 1 else plurals.get(what, what + 's')}" for what, count in ended if count]
    return [f"ended: {', '.join(words)}"] if words else []
