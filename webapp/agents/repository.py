"""Agents in the database, and what members do to them."""

from dataclasses import dataclass, replace

from webapp.actor import Actor
from webapp.agents.agent import Agent
from webapp.chain import AuditChain, Event
from webapp.clock import HOUR, Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Invalid, NotFound, Stale
from webapp.records import FIRST_PAGE, Page, Wanted, page_of
from webapp.vault import Vault

MOST_CHOICES = 500
REENROLMENT = HOUR
"""How long a member's permission to enrol under a name again lasts."""

_SELECT = (
    "SELECT g.id, g.name, g.name_key, g.image_id, i.name AS image_name, i.reference AS image_reference, i.withdrawn_at, g.enrolled_at,"
    " b.accessor AS bootstrap_accessor, v.last_seen_at,"
    " v.last_outcome, v.last_outcome_at, v.last_error, v.last_failure_kind, g.reenrol_until, g.revoked_at, g.version"
    " FROM agents g JOIN accounts a ON a.id = g.account_id JOIN bootstrap_tokens b ON b.id = g.bootstrap_token_id"
    " JOIN agent_activity v ON v.agent_id = g.id"
    " LEFT JOIN images i ON i.id = COALESCE(g.image_id, a.default_image_id)"
    " AND (i.account_id = g.account_id OR i.account_id IS NULL)"
    " WHERE g.account_id = :account_id"
)

_BOOTSTRAP = "SELECT id FROM bootstrap_tokens WHERE account_id = :account_id AND accessor = :accessor"
_CHOICE = "SELECT id, name, reference, account_id FROM images WHERE withdrawn_at IS NULL AND"
_IMAGE = "SELECT id, name FROM images WHERE id = :image_id AND (account_id = :account_id OR account_id IS NULL) AND withdrawn_at IS NULL"


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """An image that can be chosen for an agent."""

    id: str
    name: str
    reference: str
    official: bool


class AgentRepository:
    """The account's agents."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE, *, revoked: bool = False) -> Page[Agent]:
        """A page of the agents, by name; the revoked ones only when asked for.

        The query is a part of a name, or the accessor of the bootstrap token that they enrolled with.
        """
        account, values = self._database.account(actor.account_id), {}
        select = _SELECT + (" AND g.revoked_at IS NOT NULL" if revoked else " AND g.revoked_at IS NULL")
        row = await account.fetch_one(_BOOTSTRAP, {"accessor": wanted.query}) if wanted.query else None
        if row is not None:
            select, values, wanted = f"{select} AND g.bootstrap_token_id = :bootstrap", {"bootstrap": row["id"]}, replace(wanted, query="")
        return await page_of(account, [select], _agent, table="agents", alias="g", wanted=wanted, values=values)

    async def get(self, actor: Actor, agent_id: str) -> Agent:
        """One agent, revoked or not. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(_SELECT + " AND g.id = :id", {"id": agent_id})
        if row is None:
            raise NotFound("There is no such agent in this account.")
        return _agent(row)

    async def image_choices(self, actor: Actor, chosen: str | None = None) -> list[ImageChoice]:
        """The images that can be chosen: the account's own by name, at most 500 and the chosen one, then the official ones."""
        account = self._database.account(actor.account_id)
        own = await account.fetch_all(f"{_CHOICE} account_id = :account_id ORDER BY name_key LIMIT :limit", {"limit": MOST_CHOICES})
        official = await account.fetch_all(f"{_CHOICE} account_id IS NULL AND :account_id <> '' ORDER BY name_key, id")
        if chosen is not None and all(row["id"] != chosen for row in (*own, *official)):
            own += await account.fetch_all(f"{_CHOICE} account_id = :account_id AND id = :chosen", {"chosen": chosen})
        return [ImageChoice(row["id"], row["name"], row["reference"], row["account_id"] is None) for row in (*own, *official)]

    async def default_image_name(self, actor: Actor) -> str | None:
        """The name of the account's default image, if it has one."""
        row = await self._database.account(actor.account_id).fetch_one(
            "SELECT i.name FROM accounts a JOIN images i ON i.id = a.default_image_id WHERE a.id = :account_id"
        )
        return None if row is None else str(row["name"])

    async def assign_image(self, actor: Actor, agent_id: str, *, image_id: str | None, version: int | None) -> None:
        """Choose the agent's image; None is the account's default image.

        Raises NotFound, Invalid for an image that is not there to choose, Conflict for a revoked agent,
        Stale when somebody else saved the agent since `version`.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            agent = await self._standing(transaction, agent_id)
            if version is not None and agent.version != version:
                raise Stale(f"Somebody else saved this agent meanwhile. Its image is now {agent.image_name or 'not chosen'}.")
            if agent.image_id == image_id:
                return
            chosen = "the account's default image"
            if image_id is not None:
                image = await transaction.fetch_one(_IMAGE, {"image_id": image_id})
                if image is None:
                    raise Invalid({"image_id": "There is no such image any more. Choose one of the list."})
                chosen = image["name"]
            await transaction.execute(
                "UPDATE agents SET image_id = :image_id, version = version + 1 WHERE account_id = :account_id AND id = :id",
                {"image_id": image_id, "id": agent_id},
            )
            await self._chain.append(
                transaction, actor, Event("agent.assign_image", "agent", agent.id, agent.name, detail=f"image: {chosen}")
            )

    async def revoke(self, actor: Actor, agent_id: str) -> None:
        """End the agent and its token at once. Raises NotFound; an agent that is revoked stays as it is."""
        now = self._clock()
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "UPDATE agents SET revoked_at = :now, reenrol_until = NULL, version = version + 1"
                " WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL RETURNING name",
                {"now": now, "id": agent_id},
            )
            if row is not None:
                await transaction.execute(
                    "UPDATE agent_tokens SET revoked_at = :now WHERE account_id = :account_id AND agent_id = :id AND revoked_at IS NULL",
                    {"now": now, "id": agent_id},
                )
                await self._chain.append(transaction, actor, Event("agent.revoke", "agent", agent_id, row["name"]))
        if row is None:
            await self.get(actor, agent_id)

    async def allow_reenrolment(self, actor: Actor, agent_id: str) -> None:
        """Let a machine enrol under this name again, once, within the hour. Raises NotFound, Conflict."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            agent = await self._standing(transaction, agent_id)
            await transaction.execute(
                "UPDATE agents SET reenrol_until = :until, version = version + 1 WHERE account_id = :account_id AND id = :id",
                {"until": self._clock() + REENROLMENT, "id": agent_id},
            )
            await self._chain.append(
                transaction, actor, Event("agent.allow_reenrolment", "agent", agent.id, agent.name, detail="once, for 1 hour")
            )

    async def _standing(self, transaction: AccountTransaction, agent_id: str) -> Agent:
        row = await transaction.fetch_one(_SELECT + " AND g.id = :id", {"id": agent_id})
        if row is None:
            raise NotFound("There is no such agent in this account.")
        agent = _agent(row)
        if agent.revoked_at is not None:
            raise Conflict(f"The agent {agent.name} is revoked. Enrol the machine again with a bootstrap token.", "agent-revoked")
        return agent


def _agent(row: Row) -> Agent:
    return Agent(
        id=row["id"],
        name=row["name"],
        image_id=row["image_id"],
        image_name=row["image_name"],
        image_reference=row["image_reference"],
        image_withdrawn=row["withdrawn_at"] is not None,
        enrolled_at=row["enrolled_at"],
        bootstrap_accessor=row["bootstrap_accessor"],
        last_seen_at=row["last_seen_at"],
        last_outcome=row["last_outcome"],
        last_outcome_at=row["last_outcome_at"],
        last_error=row["last_error"],
        last_failure_kind=row["last_failure_kind"],
        reenrol_until=row["reenrol_until"],
        revoked_at=row["revoked_at"],
        version=row["version"],
    )
