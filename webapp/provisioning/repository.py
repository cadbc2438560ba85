"""Hand-overs in the database: what an agent is to have, and what became of it."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import MINUTE, Clock
from webapp.credentials.credential import seal_context
from webapp.database import AccountTransaction, Batch, Database, Row
from webapp.errors import Conflict, NotFound, Unauthorised
from webapp.log import redact
from webapp.provisioning.result import Result
from webapp.vault import SealBroken, Vault
from webapp.withheld import withhold

# By the token, so that a revoked one, or one that a re-enrolment has replaced, is handed nothing from the next commit on.
_INTENDED = (
    "SELECT t.used_at, g.last_seen_at, i.id AS image_id, i.name AS image_name, i.reference, i.withdrawn_at, i.user_data,"
    " i.registry_credential_id AS needed_id, c.id AS credential_id, c.name AS credential_name, c.host AS credential_host,"
    " c.auth_method, c.username, c.sealed, c.secret_version"
    " FROM agent_tokens t JOIN agents g ON g.id = t.agent_id AND g.account_id = t.account_id JOIN accounts a ON a.id = g.account_id"
    " LEFT JOIN images i ON i.id = COALESCE(g.image_id, a.default_image_id) AND (i.account_id = g.account_id OR i.account_id IS NULL)"
    " LEFT JOIN registry_credentials c ON c.id = i.registry_credential_id AND c.account_id = g.account_id"
    " WHERE t.account_id = :account_id AND t.accessor = :accessor AND t.revoked_at IS NULL AND g.id = :agent_id AND g.revoked_at IS NULL"
)

_SEEN = "UPDATE agents SET last_seen_at = :now WHERE account_id = :account_id AND id = :id"
_USED = (
    "UPDATE agent_tokens SET used_at = :now WHERE account_id = :account_id AND agent_id = :id AND accessor = :accessor AND used_at IS NULL"
)
_RECORD = (
    "INSERT INTO provisions (id, account_id, agent_id, image_id, reference, registry_credential_id, secret_version, created_at)"
    " VALUES (:id, :account_id, :agent_id, :image_id, :reference, :credential_id, :secret_version, :now)"
)


@dataclass(frozen=True, slots=True)
class Intended:
    """What an agent is to be handed, in one row. The value is still sealed.

    `used_before` says whether its token was used before, `last_seen_at` (Unix milliseconds) when the agent was here last.
    `image_id` is None when no image is chosen; `credential_id` is None when the image needs none, or when the one that it needs
    (`needs_credential`) is not there.
    """

    used_before: bool
    last_seen_at: int | None
    image_id: str | None
    image_name: str
    reference: str
    image_host: str
    image_withdrawn: bool
    user_data: str | None
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

    async def submit(self, write: Callable[[Batch], Awaitable[None]]) -> None:
        """Group commit; see `Database.submit`."""
        await self._database.submit(write)

    async def intended(self, batch: Batch, agent: Actor) -> Intended:
        """What this agent is to be handed now, read while nobody else writes. Raises Unauthorised for a token that is no longer valid."""
        row = await batch.fetch_one(_INTENDED, {"account_id": agent.account_id, "agent_id": agent.id, "accessor": agent.accessor})
        if row is None:
            raise Unauthorised("The token is not valid here any more. Enrol the agent again.")
        reference = row["reference"] or ""
        return Intended(
            used_before=row["used_at"] is not None,
            last_seen_at=row["last_seen_at"],
            image_id=row["image_id"],
            image_name=row["image_name"] or "",
            reference=reference,
            # The reference that is handed over is what counts, and not a column beside it. A canonical one begins with its host.
            image_host=reference.partition("/")[0],
            image_withdrawn=row["withdrawn_at"] is not None,
            user_data=row["user_data"],
            needs_credential=row["needed_id"] is not None,
            credential_id=row["credential_id"],
            credential_name=row["credential_name"] or "",
            credential_host=row["credential_host"] or "",
            credential_method=row["auth_method"] or "",
            credential_username=row["username"] or "",
            sealed=row["sealed"],
            secret_version=row["secret_version"] or 0,
        )

    async def seen(self, batch: Batch, agent: Actor, intended: Intended, now: int) -> None:
        """Record that the agent was here, at most once a minute, and that it has used its token, the first time."""
        values = {"now": now, "account_id": agent.account_id, "id": agent.id}
        if not intended.used_before:
            await batch.execute(_USED, {**values, "accessor": agent.accessor})
        if intended.last_seen_at is None or now - intended.last_seen_at >= MINUTE:
            await batch.execute(_SEEN, values)

    async def record(self, batch: Batch, agent: Actor, intended: Intended, provision_id: str, now: int) -> None:
        """Write down the hand-over, for its result to refer to."""
        values = {
            "id": provision_id,
            "account_id": agent.account_id,
            "agent_id": agent.id,
            "image_id": intended.image_id,
            "reference": intended.reference,
            "credential_id": intended.credential_id,
            "secret_version": intended.secret_version if intended.credential_id is not None else None,
            "now": now,
        }
        await batch.execute(_RECORD, values)

    async def report(self, agent: Actor, result: Result) -> bool:
        """Record what became of a hand-over; False when the very same was reported before.

        The agent's row shows it when it is about the agent's newest hand-over. Raises NotFound for a
        hand-over that is not this agent's, Conflict for a second, different result.
        """
        now = self._clock()
        async with self._database.account(agent.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "SELECT reference, registry_credential_id, secret_version, outcome, digest, error FROM provisions"
                " WHERE account_id = :account_id AND agent_id = :agent_id AND id = :id",
                {"agent_id": agent.id, "id": result.provision_id},
            )
            if row is None:
                raise NotFound("This agent has had no provision with that provision_id.")
            result = replace(result, error=await self._without_secret(transaction, row, result.error))
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

    async def _without_secret(self, transaction: AccountTransaction, provision: Row, error: str | None) -> str | None:
        """What the agent saw, without the value that it was handed: a program may quote it, and this text is shown on a page."""
        if error is None or provision["registry_credential_id"] is None:
            return error
        row = await transaction.fetch_one(
            "SELECT id, host, auth_method, username, sealed FROM registry_credentials"
            " WHERE account_id = :account_id AND id = :id AND secret_version = :version",
            {"id": provision["registry_credential_id"], "version": provision["secret_version"]},
        )
        if row is None:
            return redact(error)
        context = seal_context(transaction.account_id, row["id"], provision["secret_version"], row["host"], row["auth_method"])
        try:
            value = self._vault.open(row["sealed"], context).reveal().decode("utf-8")
        except SealBroken:
            return redact(error)
        basic = base64.b64encode(f"{row['username']}:{value}".encode()).decode("ascii")
        return redact(withhold(error, basic, value, " ".join(value.split())))
