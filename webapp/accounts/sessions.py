"""Sessions in the database: a keyed hash of each token, and never the token."""

from dataclasses import replace
from typing import Any

from webapp.accounts.member import Member, is_genuine
from webapp.accounts.session import ABSOLUTE, IDLE, SEEN_EVERY, LiveSession, Method, SessionFacts, is_valid
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import DAY, Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import NotFound, Unauthorised, Unavailable
from webapp.log import get_logger
from webapp.vault import Secret, Vault, mint, parse

_KEPT_AFTER_EXPIRY = 30 * DAY
_LONGEST_USER_AGENT = 200

_SELECT = (
    "SELECT s.accessor, s.account_id, s.member_id, s.mac, s.seen_at, s.expires_at, s.password_at,"
    " m.id, m.email, m.email_key, m.role, m.password_hash, m.mac AS member_mac, a.name AS account_name,"
    " EXISTS (SELECT 1 FROM passkeys p WHERE p.account_id = m.account_id AND p.member_id = m.id) AS has_passkey,"
    " EXISTS (SELECT 1 FROM identities i WHERE i.account_id = m.account_id AND i.member_id = m.id AND i.issuer = :issuer) AS has_identity"
    " FROM sessions s JOIN members m ON m.id = s.member_id AND m.account_id = s.account_id JOIN accounts a ON a.id = s.account_id"
    " WHERE s.accessor = :accessor AND s.ended_at IS NULL"
)

_LIVE = (
    "SELECT accessor, user_agent, address, method, created_at, seen_at, expires_at FROM sessions"
    " WHERE account_id = :account_id AND member_id = :member_id AND ended_at IS NULL AND expires_at > :now AND seen_at >= :idle_since"
)
_IS_SIGNED_IN = (
    "SELECT accessor FROM sessions WHERE account_id = :account_id AND accessor = :accessor AND member_id = :id AND ended_at IS NULL"
)
_MOST_LISTED = 100

_logger = get_logger(__name__)


async def require_signed_in(transaction: AccountTransaction, actor: Actor) -> None:
    """Raise Unauthorised when the session that the actor acts in has ended meanwhile; who acts in none, as a command, passes.

    For what outlives a session, and would outlive what ended it: a reset of the password, a removal.
    """
    if actor.accessor is None:
        return
    if await transaction.fetch_one(_IS_SIGNED_IN, {"id": actor.id, "accessor": actor.accessor}) is None:
        raise Unauthorised("Sign in to go on.")


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, issuer: str) -> None:
        """`issuer` is the OpenID Connect one of now, empty for none: a link to another signs nobody in."""
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._issuer = issuer

    async def find(self, unverified_text: str, *, touch: bool) -> SessionFacts | None:
        """The session that this cookie stands for; None for one that is not valid, or no longer.

        `touch` says that somebody is there, which prolongs it; a page that polls does not say so.
        """
        token = parse(unverified_text, "s")
        if token is None:
            return None
        # The one statement that knows no account yet: the session is what tells it.
        row = await self._database.fetch_one(_SELECT, {"accessor": token.accessor, "issuer": self._issuer})
        if row is None or not self._vault.token_matches(
            token, row["mac"], owner=row["member_id"], account_id=row["account_id"], expires_at=row["expires_at"]
        ):
            return None
        if not is_genuine(self._vault, {**row, "mac": row["member_mac"]}):
            _logger.error("a member's row was not written by this program, so their sessions are none", member=row["member_id"])
            return None
        now = self._clock()
        if not is_valid(now, seen_at=row["seen_at"], expires_at=row["expires_at"]):
            return None
        if touch and now - row["seen_at"] >= SEEN_EVERY:
            await self._touch(row, now)
        ways = {"has_password": "password_hash", "has_passkey": "has_passkey", "has_identity": "has_identity"}
        facts = {**row, **{name: bool(row[column]) for name, column in ways.items()}}
        return SessionFacts(**{name: facts[name] for name in SessionFacts.__dataclass_fields__})

    async def begin(
        self,
        transaction: AccountTransaction,
        actor: Actor,
        member: Member,
        user_agent: str,
        method: Method,
        detail: str | None = None,
        *,
        shown_at: int | None = None,
    ) -> Secret:
        """Begin a session for a member who has shown who they are, just now or at `shown_at`; returns its token, which is nowhere else."""
        token, now = mint("s"), self._clock()
        expires_at = now + ABSOLUTE
        await transaction.execute(
            "DELETE FROM sessions WHERE account_id = :account_id AND expires_at < :before", {"before": now - _KEPT_AFTER_EXPIRY}
        )
        await transaction.execute(
            "INSERT INTO sessions (accessor, account_id, member_id, mac, created_at, seen_at, expires_at, password_at, address, user_agent,"
            " method)"
            " VALUES (:accessor, :account_id, :member_id, :mac, :now, :now, :expires_at, :shown_at, :address, :user_agent,"
            " :method)",
            {
                "accessor": token.accessor,
                "member_id": member.id,
                "mac": self._vault.token_mac(token, owner=member.id, account_id=member.account_id, expires_at=expires_at),
                "now": now,
                "expires_at": expires_at,
                "shown_at": now if shown_at is None else min(shown_at, now),
                "address": actor.address,
                "method": method,
                "user_agent": "".join(character for character in user_agent if character.isprintable())[:_LONGEST_USER_AGENT],
            },
        )
        who = replace(actor, account_id=member.account_id, kind="member", id=member.id, label=member.email, accessor=token.accessor)
        await self._chain.append(transaction, who, Event("member.sign_in", "member", member.id, member.email, detail=detail))
        return token.text

    async def end(self, actor: Actor, detail: str | None = None) -> None:
        """End the session that the actor is signed in with; one that has ended already stays so."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            ended = await transaction.fetch_one(
                "UPDATE sessions SET ended_at = :now WHERE account_id = :account_id AND accessor = :accessor AND ended_at IS NULL"
                " RETURNING accessor",
                {"accessor": actor.accessor, "now": self._clock()},
            )
            if ended is not None:
                await self._chain.append(transaction, actor, Event("member.sign_out", "member", actor.id, actor.label, detail=detail))

    async def live(self, actor: Actor) -> list[LiveSession]:
        """The actor's sessions that have not ended, the one that was seen last first; at most 100."""
        rows = await self._database.account(actor.account_id).fetch_all(
            f"{_LIVE} ORDER BY seen_at DESC, accessor LIMIT {_MOST_LISTED}", self._alive(actor)
        )
        return [LiveSession(**row) for row in rows]

    async def get_live(self, actor: Actor, accessor: str) -> LiveSession:
        """One of them. Raises NotFound, also for somebody else's."""
        values = {**self._alive(actor), "accessor": accessor}
        row = await self._database.account(actor.account_id).fetch_one(f"{_LIVE} AND accessor = :accessor", values)
        if row is None:
            raise NotFound("You have no such session. It may have ended meanwhile.")
        return LiveSession(**row)

    async def end_one(self, actor: Actor, accessor: str) -> None:
        """End a session of the actor's at once. Raises NotFound, also for somebody else's and for one that has ended."""
        session = await self.get_live(actor, accessor)
        await self._end_of_member(actor, " AND accessor = :accessor", accessor, f"{session.browser}, accessor {accessor}")

    async def end_others(self, actor: Actor) -> int:
        """End all sessions of the actor's at once but the one that they act in; returns how many those were."""
        return await self._end_of_member(actor, " AND accessor <> :accessor", actor.accessor or "", "all but the one in use")

    async def _end_of_member(self, actor: Actor, which: str, accessor: str, detail: str) -> int:
        async with self._database.account(actor.account_id).transaction() as transaction:
            # Those that are idle for too long end, too: they say nothing any more of somebody being there.
            ended = await transaction.fetch_all(
                "UPDATE sessions SET ended_at = :now WHERE account_id = :account_id AND member_id = :member_id AND ended_at IS NULL"
                f"{which} RETURNING seen_at, expires_at",
                {"member_id": actor.id, "accessor": accessor, "now": self._clock()},
            )
            alive = self._alive(actor)
            count: int = sum(row["expires_at"] > alive["now"] and row["seen_at"] >= alive["idle_since"] for row in ended)
            if count:
                event = Event("member.end_sessions", "member", actor.id, actor.label, detail=f"{count}: {detail}")
                await self._chain.append(transaction, actor, event)
        return count

    def _alive(self, actor: Actor) -> dict[str, Any]:
        now = self._clock()
        return {"member_id": actor.id, "now": now, "idle_since": now - IDLE}

    async def end_of_browser(self, unverified_text: str, actor: Actor) -> None:
        """End the session that a browser still had when somebody signs in with it anew."""
        facts = await self.find(unverified_text, touch=False)
        if facts is not None:
            who = replace(actor, account_id=facts.account_id, kind="member", id=facts.member_id, label=facts.email, accessor=facts.accessor)
            await self.end(who, "signed in anew in the same browser")

    async def confirmed(self, transaction: AccountTransaction, accessor: str) -> None:
        """Remember that the session's member has just shown again who they are."""
        await transaction.execute(
            "UPDATE sessions SET password_at = :now WHERE account_id = :account_id AND accessor = :accessor",
            {"now": self._clock(), "accessor": accessor},
        )

    async def _touch(self, row: Row, now: int) -> None:
        try:
            async with self._database.account(row["account_id"]).transaction() as transaction:
                await transaction.execute(
                    "UPDATE sessions SET seen_at = :now WHERE account_id = :account_id AND accessor = :accessor AND seen_at < :now",
                    {"now": now, "accessor": row["accessor"]},
                )
        except Unavailable:
            # Whoever only reads shall not suffer from a disk that is full.
            _logger.warning("a session's last use could not be written")
