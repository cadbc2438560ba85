"""Bootstrap tokens in the database: a keyed hash of each, never the token."""

from dataclasses import replace

from webapp.actor import Actor
from webapp.agents.bootstrap_token import LONGEST, SHORTEST, BootstrapToken
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import Database, Row
from webapp.errors import Invalid, NotFound
from webapp.ids import new_id
from webapp.names import parse_description
from webapp.nonce import spend_nonce
from webapp.vault import Secret, Vault, mint

_COLUMNS = "id, accessor, description, allow_reenrolment, created_at, created_by, expires_at, revoked_at"

MOST_LISTED = 100
MOST_NAMES = 5
"""Of the agents that one token enrolled; the list of agents has the others."""

_NEWEST = (
    "FROM bootstrap_tokens WHERE account_id = :account_id"
    " ORDER BY CASE WHEN revoked_at IS NULL AND expires_at > :now THEN 0 ELSE 1 END, created_at DESC, id LIMIT :limit"
)
_ENROLLED = (
    "SELECT bootstrap_token_id, name, total FROM (SELECT n.bootstrap_token_id, n.name,"
    " ROW_NUMBER() OVER (PARTITION BY n.bootstrap_token_id ORDER BY n.name_key, n.name) AS place,"
    " COUNT(*) OVER (PARTITION BY n.bootstrap_token_id) AS total"
    " FROM (SELECT DISTINCT t.bootstrap_token_id, g.name, g.name_key FROM agent_tokens t JOIN agents g ON g.id = t.agent_id"
    f" WHERE t.account_id = :account_id AND t.bootstrap_token_id IN (SELECT id {_NEWEST})) n) m"
    " WHERE place <= :names ORDER BY bootstrap_token_id, place"
)


class BootstrapTokenRepository:
    """The account's bootstrap tokens."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def create(
        self, actor: Actor, *, description: str, lifetime: int, allow_reenrolment: bool, nonce: str = ""
    ) -> tuple[BootstrapToken, Secret | None]:
        """Make a bootstrap token that lives for `lifetime` milliseconds; the secret is to be shown once.

        A nonce that was spent leads to the token that it made, whose secret was shown then. Raises Invalid.
        """
        if not SHORTEST <= lifetime <= LONGEST:
            raise Invalid({"lifetime": "Choose a lifetime between 1 minute and 365 days."})
        try:
            description = parse_description(description)
        except ValueError as error:
            raise Invalid({"description": str(error)}) from None
        now = self._clock()
        token = mint("b")
        made = BootstrapToken(
            id=new_id(),
            accessor=token.accessor,
            description=description,
            allow_reenrolment=allow_reenrolment,
            created_at=now,
            created_by=actor.label,
            expires_at=now + lifetime,
            revoked_at=None,
        )
        mac = self._vault.token_mac(token, owner=made.id, account_id=actor.account_id, expires_at=made.expires_at)
        async with self._database.account(actor.account_id).transaction() as transaction:
            earlier = await spend_nonce(transaction, nonce, made.id, now)
            if earlier is not None:
                row = await transaction.fetch_one(
                    f"SELECT {_COLUMNS} FROM bootstrap_tokens WHERE account_id = :account_id AND id = :id", {"id": earlier}
                )
                if row is not None:
                    return _token(row), None
            await transaction.execute(
                "INSERT INTO bootstrap_tokens (account_id, mac, " + _COLUMNS + ") VALUES (:account_id, :mac, :id, :accessor, :description,"
                " :allow_reenrolment, :created_at, :created_by, :expires_at, NULL)",
                {
                    "mac": mac,
                    "id": made.id,
                    "accessor": made.accessor,
                    "description": made.description,
                    "allow_reenrolment": int(made.allow_reenrolment),
                    "created_at": made.created_at,
                    "created_by": made.created_by,
                    "expires_at": made.expires_at,
                },
            )
            detail = f"lifetime {lifetime // 60_000} min" + (", allows re-enrolment" if allow_reenrolment else "")
            await self._chain.append(
                transaction, actor, Event("bootstrap_token.create", "bootstrap_token", made.id, made.accessor, detail=detail)
            )
        return made, token.text

    async def newest(self, actor: Actor) -> list[BootstrapToken]:
        """The newest 100 of the account, the active ones first so that none is out of sight, with names of agents that each enrolled."""
        account = self._database.account(actor.account_id)
        now = self._clock()
        rows = await account.fetch_all(f"SELECT {_COLUMNS} {_NEWEST}", {"now": now, "limit": MOST_LISTED})
        names: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for row in await account.fetch_all(_ENROLLED, {"now": now, "limit": MOST_LISTED, "names": MOST_NAMES}):
            names.setdefault(row["bootstrap_token_id"], []).append(row["name"])
            counts[row["bootstrap_token_id"]] = row["total"]
        return [replace(_token(row), enrolled=tuple(names.get(row["id"], ())), enrolled_count=counts.get(row["id"], 0)) for row in rows]

    async def get(self, actor: Actor, token_id: str) -> BootstrapToken:
        """One bootstrap token. Raises NotFound."""
        row = await self._database.account(actor.account_id).fetch_one(
            f"SELECT {_COLUMNS} FROM bootstrap_tokens WHERE account_id = :account_id AND id = :id", {"id": token_id}
        )
        if row is None:
            raise NotFound("There is no such bootstrap token in this account.")
        return _token(row)

    async def revoke(self, actor: Actor, token_id: str) -> None:
        """End a bootstrap token at once; the agents that it enrolled stay. Raises NotFound."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "UPDATE bootstrap_tokens SET revoked_at = :now"
                " WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL RETURNING accessor",
                {"now": self._clock(), "id": token_id},
            )
            if row is not None:
                await self._chain.append(transaction, actor, Event("bootstrap_token.revoke", "bootstrap_token", token_id, row["accessor"]))
        if row is None:
            await self.get(actor, token_id)  # revoked already is what was asked for; unknown is an error


def _token(row: Row) -> BootstrapToken:
    return BootstrapToken(
        id=row["id"],
        accessor=row["accessor"],
        description=row["description"],
        allow_reenrolment=bool(row["allow_reenrolment"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
