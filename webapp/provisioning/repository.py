"""Hand-overs in the database: what an agent is to have, and what became of it."""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.credentials.credential import seal_context
from webapp.credentials.minted_tokens import MintedTokens
from webapp.credentials.minting import Source
from webapp.credentials.parameters import mints
from webapp.credentials.sign_ins import token_username
from webapp.database import MOST_IN_A_BATCH, AccountTransaction, Batch, Database, Done, Row, Values, Write
from webapp.errors import Conflict, NotFound
from webapp.images.pinning import pinned_reference
from webapp.log import redact
from webapp.provisioning.intended import Intended
from webapp.provisioning.kept_rows import NOWHERE, KeptRows, Known
from webapp.provisioning.provision_id import HandedAt, place_of
from webapp.provisioning.pulls import failure_kind, note_pull, reference_of
from webapp.provisioning.result import Result, shortened
from webapp.secrets import named_value
from webapp.vault import SealBroken, SealContext, Token, Vault
from webapp.withheld import withhold

# All that a hand-over asks, in one join: the token, its agent, the image that was chosen for it, and the image's credential.
# The columns are in the order of Intended's, behind those that only the check of the token reads.
_INTENDED = (
    "SELECT t.accessor, t.mac, COALESCE(t.revoked_at, g.revoked_at), t.account_id, t.agent_id, g.name, t.used_at, i.id, i.name,"
    " i.reference, i.withdrawn_at, i.user_data, i.registry_credential_id, c.id, c.name, c.host, c.auth_method, c.username, c.parameters,"
    " c.sealed, c.secret_version, c.expires_at, i.pin_digest, i.pinned_digest"
    " FROM agent_tokens t JOIN agents g ON g.id = t.agent_id AND g.account_id = t.account_id"
    " LEFT JOIN images i ON i.id = COALESCE(g.image_id, (SELECT a.default_image_id FROM accounts a WHERE a.id = t.account_id))"
    " AND (i.account_id = t.account_id OR i.account_id IS NULL)"
    " LEFT JOIN registry_credentials c ON c.id = i.registry_credential_id AND c.account_id = t.account_id"
    " WHERE t.accessor IN "
)

_TOGETHER = (1, 4, 16, 64, MOST_IN_A_BATCH)
"""How many are read with one statement: there are so many statements and no more, each prepared once."""

_USED = (
    "UPDATE agent_tokens SET used_at = :now WHERE account_id = :account_id AND agent_id = :id AND accessor = :accessor AND used_at IS NULL"
)


_HANDED = (
    "SELECT chain, action, object_kind, object_id, object_name, detail, secret_version FROM audit_log"
    " WHERE account_id = :account_id AND at = :at AND seq = :number AND actor_id = :agent_id AND decision = 'allowed'"
    " AND action IN ('registry_credential.release', 'image.hand_over')"
)
"""The row of a hand-over, by what its id holds; a writer of another process may have one with the same time and number."""

_VALUES = (
    "SELECT host, auth_method, username, parameters, sealed FROM registry_credentials"
    " WHERE account_id = :account_id AND id = :id AND secret_version = :version"
    " UNION ALL SELECT host, auth_method, username, parameters, sealed FROM registry_credential_versions"
    " WHERE account_id = :account_id AND registry_credential_id = :id AND secret_version = :version"
)
"""A credential's value of this version: the current one, or one that has been replaced since and is kept."""

_READ = re.compile(r"secrets\.(\w+) \(version (\d{1,9})\)", re.ASCII)
"""What a row says was read. An image may have a name that says such a thing, with a number that no column holds."""
_LARGEST = 2**63 - 1


async def _handed(transaction: AccountTransaction, agent: Actor, place: HandedAt, chain: str) -> Row | None:
    """The hand-over's row: the one in this chain, or, when the chains were named anew by a restore since, the only one that fits."""
    if place.number > _LARGEST:
        return None
    rows = await transaction.fetch_all(_HANDED, {"at": place.at, "number": place.number, "agent_id": agent.id})
    return next((row for row in rows if row["chain"] == chain), rows[0] if len(rows) == 1 else None)


class UnknownToken(Exception):
    """Nobody has this token."""


class RefusedToken(Exception):
    """Somebody had this token, and it is not valid: whose it was, and why."""

    def __init__(self, account_id: str, agent_id: str, agent_name: str, reason: str) -> None:
        super().__init__(reason)
        self.account_id, self.agent_id, self.agent_name, self.reason = account_id, agent_id, agent_name, reason


class ProvisionRepository:
    """The account's hand-overs."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, tokens: MintedTokens) -> None:
        self._database = database
        self._tokens = tokens
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self.kept = KeptRows()
        self._asked: dict[str, None] = {}  # the accessors of those who wait for the next batch

    async def submit(self, token: Token, write: Write) -> None:
        """Group commit for who has this token; see `Database.submit`."""
        self._asked[token.accessor] = None
        try:
            await self._database.submit(write)
        finally:
            self._asked.pop(token.accessor, None)

    def queue(self, token: Token, write: Write, done: Done) -> None:
        """Group commit for who has this token and does not wait; see `Database.queue`."""
        accessor = token.accessor
        self._asked[accessor] = None

        def ended(error: Exception | None) -> None:
            self._asked.pop(accessor, None)  # who failed before its turn came would be read with every batch from now on
            done(error)

        self._database.queue(write, ended)

    def known(self, batch: Batch, token: Token) -> Known:
        """What the agent with this token is to be handed now, read while nobody else writes.

        Raises UnknownToken, or RefusedToken for one that is known and not valid.
        """
        self._asked.pop(token.accessor, None)
        known = self.kept.get(token.accessor, batch.generation)
        if known is None:
            row = self._read(batch, token.accessor)
            if row is None:
                raise UnknownToken
            known = self._made_ready(token, row)
        intended = known.intended
        owner, account_id = intended.agent_id, intended.account_id
        if not self._vault.claim_holds(token, known.mac, known.claim):
            raise RefusedToken(account_id, owner, intended.agent_name, "the token's accessor is known, the token is not")
        if known.revoked:
            raise RefusedToken(account_id, owner, intended.agent_name, "the token is revoked")
        if intended.used_at is None:
            batch.note(_USED, {"now": self._clock(), "account_id": account_id, "id": owner, "accessor": token.accessor})
        else:
            self.kept.keep(token.accessor, known, batch.generation(account_id))
        return known

    def _read(self, batch: Batch, accessor: str) -> tuple[Any, ...] | None:
        """The row of this token. Those of all who wait are read with it: one after the other, each would cost half as much again."""
        rows: dict[str, tuple[Any, ...] | None] | None = batch.memo.get("intended")
        if rows is None or accessor not in rows:
            asked: list[str] = batch.memo.get("asked", [])
            if accessor not in asked:
                asked = [accessor, *(other for other in self._asked if not self.kept.has(other) and other != accessor)][:MOST_IN_A_BATCH]
                batch.memo["asked"] = asked  # the same, when this is asked again since it was not read yet
            # One that is not there is remembered, too, so that nobody's guesses have the others read again.
            rows = batch.memo["intended"] = dict.fromkeys(asked) | {row[0]: row for row in batch.tuples(*_of(asked))}
        return rows.get(accessor)

    def _made_ready(self, token: Token, row: tuple[Any, ...]) -> Known:
        _, mac, revoked_at, *columns = row
        intended = Intended(*columns)
        if intended.pin_digest and intended.pinned_digest is not None:
            intended.reference = pinned_reference(intended.reference, intended.pinned_digest)
        claim = self._vault.claim(token, owner=intended.agent_id, account_id=intended.account_id, expires_at=None)
        place = source = None
        if intended.credential_id is not None:
            sealed_to = intended.secret_version, intended.host, intended.auth_method, intended.parameters
            if mints(intended.auth_method, intended.parameters):
                source = Source(intended.account_id, intended.credential_id, *sealed_to)
            context = seal_context(intended.account_id, intended.credential_id, *sealed_to)
            try:
                place = self._vault.place(context)
            except SealBroken:
                place = NOWHERE
            stored: object = intended.sealed  # SQLite keeps anything in any column
            if not isinstance(stored, bytes):
                place, intended.sealed = NOWHERE, b""
        return Known(mac, intended, revoked_at is not None, claim, place, source)

    async def report(self, agent: Actor, result: Result) -> bool:
        """Record what became of a hand-over; False when the very same was reported before.

        The agent's row shows it unless a later hand-over's result is there already. Raises NotFound for a hand-over that is not
        this agent's, Conflict for a second, different result.
        """
        now = self._clock()
        place = place_of(result.provision_id)
        handed_at = place.at
        async with self._database.account(agent.account_id).transaction() as transaction:
            handed = await _handed(transaction, agent, place, self._chain.of_writer(place.writer))
            if handed is None:
                raise NotFound("This agent has had no provision with that provision_id.")
            result = replace(result, error=await self._without_secret(transaction, handed, result.error))
            earlier = await transaction.fetch_one(
                "SELECT outcome, digest, error FROM provision_results WHERE account_id = :account_id AND id = :id",
                {"id": result.provision_id},
            )
            if earlier is not None:
                if (earlier["outcome"], earlier["digest"], earlier["error"]) == (result.outcome, result.digest, result.error):
                    return False
                raise Conflict(
                    f"This provision was reported before, as {earlier['outcome']}. A result stands once it is given.", "result-stands"
                )
            kind = failure_kind(result)
            told = {"outcome": result.outcome, "digest": result.digest, "error": result.error, "kind": kind}
            made = {"id": result.provision_id, "agent_id": agent.id, "handed_at": handed_at, "reported_at": now}
            await transaction.insert("provision_results", {**made, **told})
            await transaction.execute(
                "UPDATE agent_activity SET last_seen_at = :now, last_outcome = :outcome, last_outcome_at = :now, last_error = :error,"
                " last_failure_kind = :kind"
                " WHERE account_id = :account_id AND agent_id = :agent_id AND NOT EXISTS (SELECT 1 FROM provision_results"
                " WHERE account_id = :account_id AND agent_id = :agent_id AND handed_at > :handed_at)",
                {
                    "now": now, "outcome": result.outcome, "error": result.error, "kind": kind, "agent_id": agent.id,
                    "handed_at": handed_at,
                },
            )  # fmt: skip
            await note_pull(transaction, agent, handed, result, handed_at)
            detail = f"{result.outcome}: {reference_of(handed)}" + (f" {result.digest}" if result.digest else "")
            await self._chain.append(transaction, agent, Event("agent.report", "agent", agent.id, agent.label, detail=detail[:500]))
        return True

    async def _without_secret(self, transaction: AccountTransaction, handed: Row, error: str | None) -> str | None:
        """What the agent saw, without the values that it was handed: a program may quote them, and this text is shown on a page."""
        if error is None:
            return None
        values = [*await self._credential_of(transaction, handed), *await self._secrets_of(transaction, handed)]
        return shortened(redact(withhold(error, *values, *(" ".join(value.split()) for value in values))))

    async def _credential_of(self, transaction: AccountTransaction, handed: Row) -> list[str]:
        if handed["object_kind"] != "registry_credential":
            return []
        account_id, credential_id, version = transaction.account_id, str(handed["object_id"]), handed["secret_version"]
        pairs: list[tuple[str, str]] = []
        for row in await transaction.fetch_all(_VALUES, {"id": credential_id, "version": version}):
            place = seal_context(account_id, credential_id, version, row["host"], row["auth_method"], row["parameters"])
            pairs += [(row["username"], value) for value in await self._opened(row["sealed"], place)]
        for minted in await self._tokens.lately(account_id, credential_id):
            pairs.append((token_username(minted.source.auth_method), self._tokens.open(minted).reveal().decode("utf-8")))
        return [form for username, value in pairs for form in (_basic(username, value), value)]

    async def _secrets_of(self, transaction: AccountTransaction, handed: Row) -> list[str]:
        """The secrets that the user data read, as far as they are still the ones of then."""
        values: list[str] = []
        for name, version in _READ.findall(str(handed["detail"]).rpartition("; user data")[2]):
            row = await transaction.fetch_one(
                "SELECT id, sealed FROM secrets WHERE account_id = :account_id AND name = :name AND secret_version = :version",
                {"name": name, "version": int(version)},
            )
            if row is not None:
                values += await self._opened(row["sealed"], named_value.seal_context(transaction.account_id, row["id"], int(version)))
        return values

    async def _opened(self, sealed: bytes, context: SealContext) -> list[str]:
        try:
            return [(await self._vault.opened(sealed, context)).reveal().decode("utf-8")]
        except SealBroken:
            return []


@cache
def _statement(count: int) -> str:
    return f"{_INTENDED}({', '.join(f':a{number}' for number in range(count))})"


def _of(accessors: Sequence[str]) -> tuple[str, Values]:
    count = next(count for count in _TOGETHER if count >= len(accessors))
    return _statement(count), {f"a{number}": accessor for number, accessor in zip_longest(range(count), accessors)}


def _basic(username: str, value: str) -> str:
    return base64.b64encode(f"{username}:{value}".encode()).decode("ascii")
