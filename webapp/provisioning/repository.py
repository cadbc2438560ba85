"""Hand-overs in the database: what an agent is to have, and what became of it."""

from dataclasses import dataclass

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import MINUTE, Clock
from webapp.database import Database, Values
from webapp.errors import Conflict, NotFound
from webapp.provisioning.result import Result
from webapp.vault import Vault

_INTENDED = (
    "SELECT i.id AS image_id, i.name AS image_name, i.reference, i.host AS image_host, i.withdrawn_at,"
    " i.registry_credential_id AS needed_id, c.id AS credential_id, c.name AS credential_name, c.host AS credential_host,"
    " c.auth_method, c.username, c.sealed, c.secret_version"
    " FROM agents g JOIN accounts a ON a.id = g.account_id"
    " LEFT JOIN images i ON i.id = COALESCE(g.image_id, a.default_image_id) AND (i.account_id = g.account_id OR i.account_id IS NULL)"
    " LEFT JOIN registry_credentials c ON c.id = i.registry_credential_id AND c.account_id = g.account_id"
    " WHERE g.account_id = :account_id AND g.id = :agent_id AND g.revoked_at IS NULL"
)

_SEEN = "UPDATE agents SET last_seen_at = :now WHERE account_id = :account_id AND id = :id"
_USED = (
    "UPDATE agent_tokens SET used_at = :now WHERE account_id = :account_id AND agent_id = :id AND accessor = :accessor AND used_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Intended:
    """What an agent is to be handed, in one row. The value is still sealed.

    `image_id` is None when no image is chosen; `credential_id` is None when the image needs none, or when
    the one that it needs (`needs_credential`) is not there.
    """

    image_id: str | None
    image_name: str
    reference: str
    image_host: str
    image_withdrawn: bool
    needs_credential: bool
    credential_id: str | None
    credential_name: str
    credential_host: str
    credential_method: str
    credential_username: str
    sealed: bytes | None
    secret_version: int


class ProvisionRepository:
    """The account's hand-overs."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def intended(self, agent: Actor) -> Intended:
        """What this agent is to be handed now. Raises NotFound for one that is revoked meanwhile."""
        row = await self._database.account(agent.account_id).fetch_one(_INTENDED, {"agent_id": agent.id})
        if row is None:
            raise NotFound("This agent is not enrolled any more.")
        return Intended(
            image_id=row["image_id"],
            image_name=row["image_name"] or "",
            reference=row["reference"] or "",
            image_host=row["image_host"] or "",
            image_withdrawn=row["withdrawn_at"] is not None,
            needs_credential=row["needed_id"] is not None,
            credential_id=row["credential_id"],
            credential_name=row["credential_name"] or "",
            credential_host=row["credential_host"] or "",
            credential_method=row["auth_method"] or "",
            credential_username=row["username"] or "",
            sealed=row["sealed"],
            secret_version=row["secret_version"] or 0,
        )

    @staticmethod
    def seen(agent: Actor, now: int) -> list[tuple[str, Values]]:
        """The statements that record that the agent was here and has used its token."""
        values = {"now": now, "account_id": agent.account_id, "id": agent.id}
        return [(_SEEN, values), (_USED, {**values, "accessor": agent.accessor})]

    async def touch(self, agent: Actor) -> None:
        """Record that the agent was here although it was handed nothing; at most once a minute."""
        now = self._clock()
        row = await self._database.account(agent.account_id).fetch_one(
            "SELECT last_seen_at FROM agents WHERE account_id = :account_id AND id = :id", {"id": agent.id}
        )
        if row is None or (row["last_seen_at"] is not None and now - row["last_seen_at"] < MINUTE):
            return
        async with self._database.account(agent.account_id).transaction() as transaction:
            for sql, values in self.seen(agent, now):
                await transaction.execute(sql, values)

    async def report(self, agent: Actor, result: Result) -> bool:
        """Record what became of a hand-over; False when the very same was reported before.

        The agent's row shows it when it is about the agent's newest hand-over. Raises NotFound for a
        hand-over that is not this agent's, Conflict for a second, different result.
        """
        now = self._clock()
        async with self._database.account(agent.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "SELECT reference, outcome, digest, error FROM provisions"
                " WHERE account_id = :account_id AND agent_id = :agent_id AND id = :id",
                {"agent_id": agent.id, "id": result.provision_id},
            )
            if row is None:
                raise NotFound("This agent has had no provision with that provision_id.")
            if row["outcome"] is not None:
                if (row["outcome"], row["digest"], row["error"]) == (result.outcome, result.digest, result.error):
                    return False
                raise Conflict(
                    f"This provision was reported before, as {row['outcome']}. A result stands once it is given.", "result-stands"
                )
            await transaction.execute(
                "UPDATE provisions SET outcome = :outcome, digest = :digest, error = :error, reported_at = :now"
                " WHERE account_id = :account_id AND id = :id",
                {"outcome": result.outcome, "digest": result.digest, "error": result.error, "now": now, "id": result.provision_id},
            )
            await transaction.execute(
                "UPDATE agents SET last_seen_at = :now, last_outcome = :outcome, last_outcome_at = :now, last_error = :error"
                " WHERE account_id = :account_id AND id = :agent_id AND :id = (SELECT id FROM provisions"
                " WHERE account_id = :account_id AND agent_id = :agent_id ORDER BY created_at DESC, id DESC LIMIT 1)",
                {"now": now, "outcome": result.outcome, "error": result.error, "agent_id": agent.id, "id": result.provision_id},
            )
            detail = f"{result.outcome}: {row['reference']}" + (f" {result.digest}" if result.digest else "")
            await self._chain.append(transaction, agent, Event("agent.report", "agent", agent.id, agent.label, detail=detail[:500]))
        return True
