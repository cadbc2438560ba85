"""Enrolment: a bootstrap token becomes an agent with a token of its own; and whose token one is."""

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Unauthorised
from webapp.ids import new_id
from webapp.names import Name
from webapp.vault import Secret, Token, Vault, mint

_NEVER_USED = "its first token was never used"


class Enrolment:
    """Tokens of the agent API: finding their bearers, and minting the agents'."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def find_bearer(self, token: Token) -> tuple[Actor, str | None] | None:
        """Whose token this is, and why it is refused (None when it is valid). None for an unknown one."""
        return await (self._find_agent(token) if token.kind == "a" else self._find_bootstrap_token(token))

    async def _find_agent(self, token: Token) -> tuple[Actor, str | None] | None:
        row = await self._database.fetch_one_now(
            "SELECT t.mac, t.account_id, t.agent_id, t.revoked_at, g.name FROM agent_tokens t JOIN agents g ON g.id = t.agent_id"
            " AND g.account_id = t.account_id WHERE t.accessor = :accessor",
            {"accessor": token.accessor},
        )
        if row is None:
            return None
        bearer = Actor(row["account_id"], "agent", row["agent_id"], row["name"], accessor=token.accessor)
        if not self._vault.token_matches(token, row["mac"], owner=bearer.id, account_id=bearer.account_id, expires_at=None):
            return bearer, "the token's accessor is known, the token is not"
        return bearer, None if row["revoked_at"] is None else "the token is revoked"

    async def _find_bootstrap_token(self, token: Token) -> tuple[Actor, str | None] | None:
        row = await self._database.fetch_one(
            "SELECT id, account_id, mac, expires_at, revoked_at FROM bootstrap_tokens WHERE accessor = :accessor",
            {"accessor": token.accessor},
        )
        if row is None:
            return None
        bearer = Actor(row["account_id"], "bootstrap_token", row["id"], token.accessor, accessor=token.accessor)
        if not self._vault.token_matches(token, row["mac"], owner=bearer.id, account_id=bearer.account_id, expires_at=row["expires_at"]):
            return bearer, "the token's accessor is known, the token is not"
        if row["revoked_at"] is not None:
            return bearer, "the token is revoked"
        return bearer, None if row["expires_at"] > self._clock() else "the token has expired"

    async def enroll(self, bearer: Actor, name: Name) -> tuple[str, Secret]:
        """Enrol an agent under this name; returns its id and its token.

        A name that is taken is given again only when the first answer was lost (its token was never used,
        and the bootstrap token is the same), or when a member allowed it; the old token then dies in the
        same transaction. Raises Conflict (`agent-name-taken`), Unauthorised for a bootstrap token that
        ended meanwhile.
        """
        now = self._clock()
        async with self._database.account(bearer.account_id).transaction() as transaction:
            bootstrap = await transaction.fetch_one(
                "SELECT allow_reenrolment FROM bootstrap_tokens"
                " WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL AND expires_at > :now",
                {"id": bearer.id, "now": now},
            )
            if bootstrap is None:
                raise Unauthorised("The token is not valid here.")
            standing = await transaction.fetch_one(
                "SELECT id, reenrol_until FROM agents WHERE account_id = :account_id AND name_key = :key AND revoked_at IS NULL",
                {"key": name.key},
            )
            if standing is None:
                agent_id = await self._first(transaction, bearer, name, now)
                event = Event("agent.enroll", "agent", agent_id, name.text)
            else:
                agent_id = standing["id"]
                reason = await self._reason_to_reenrol(transaction, bearer, bootstrap, standing, now)
                if reason is None:
                    raise _taken(name)
                used = await self._again(transaction, bearer, agent_id, now)
                if used and reason == _NEVER_USED:
                    raise _taken(name)  # with a hand-over of another process, since it was looked at: those wait for nobody
                event = Event("agent.reenroll", "agent", agent_id, name.text, detail=reason)
            token = mint("a")
            mac = self._vault.token_mac(token, owner=agent_id, account_id=bearer.account_id, expires_at=None)
            await transaction.execute(
                "INSERT INTO agent_tokens (accessor, account_id, agent_id, bootstrap_token_id, mac, created_at)"
                " VALUES (:accessor, :account_id, :agent_id, :bootstrap, :mac, :now)",
                {"accessor": token.accessor, "agent_id": agent_id, "bootstrap": bearer.id, "mac": mac, "now": now},
            )
            await self._chain.append(transaction, bearer, event)
        return agent_id, token.text

    async def _first(self, transaction: AccountTransaction, bearer: Actor, name: Name, now: int) -> str:
        agent_id = new_id()
        await transaction.execute(
            "INSERT INTO agents (id, account_id, name, name_key, bootstrap_token_id, enrolled_at, version)"
            " VALUES (:id, :account_id, :name, :key, :bootstrap, :now, 1)",
            {"id": agent_id, "name": name.text, "key": name.key, "bootstrap": bearer.id, "now": now},
        )
        await transaction.insert("agent_activity", {"agent_id": agent_id})
        return agent_id

    async def _again(self, transaction: AccountTransaction, bearer: Actor, agent_id: str, now: int) -> bool:
        """Have the old token die, and say whether it was ever used."""
        old = await transaction.fetch_one(
            "UPDATE agent_tokens SET revoked_at = :now WHERE account_id = :account_id AND agent_id = :id AND revoked_at IS NULL"
            " RETURNING used_at",
            {"now": now, "id": agent_id},
        )
        await transaction.execute(
            "UPDATE agents SET bootstrap_token_id = :bootstrap, enrolled_at = :now, reenrol_until = NULL, version = version + 1"
            " WHERE account_id = :account_id AND id = :id",
            {"bootstrap": bearer.id, "now": now, "id": agent_id},
        )
        return old is not None and old["used_at"] is not None

    async def _reason_to_reenrol(
        self, transaction: AccountTransaction, bearer: Actor, bootstrap: Row, standing: Row, now: int
    ) -> str | None:
        token = await transaction.fetch_one(
            "SELECT bootstrap_token_id, used_at FROM agent_tokens WHERE account_id = :account_id AND agent_id = :id AND revoked_at IS NULL",
            {"id": standing["id"]},
        )
        if token is not None and token["used_at"] is None and token["bootstrap_token_id"] == bearer.id:
            return _NEVER_USED
        if standing["reenrol_until"] is not None and standing["reenrol_until"] > now:
            return "a member allowed it"
        return "the bootstrap token allows it" if bootstrap["allow_reenrolment"] else None


def _taken(name: Name) -> Conflict:
    return Conflict(
        f"An agent named {name.text} is enrolled already. Give this machine another name, or press Allow re-enrolment on that agent's"
        " page and enrol again.",
        "agent-name-taken",
    )
