"""Deleting a registry credential: one that no image uses, or one whose images are moved to another credential in the same step."""

from dataclasses import dataclass

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Conflict, Invalid, NotFound
from webapp.reference import DOCKER_HUB_HOSTS, same_registry

MOST_CHOICES = 500

_ONE = "SELECT id, name, host, secret_version FROM registry_credentials WHERE account_id = :account_id AND id = :id"
_USING = "SELECT id, name FROM images WHERE account_id = :account_id AND registry_credential_id = :id ORDER BY name_key"
_MOVED = (
    "UPDATE images SET registry_credential_id = :replacement, version = version + 1, updated_at = :now, updated_by = :who"
    " WHERE account_id = :account_id AND registry_credential_id = :id"
)
_GONE = "DELETE FROM registry_credentials WHERE account_id = :account_id AND id = :id"
_OTHERS = (
    "SELECT id, name, username, expires_at FROM registry_credentials"
    " WHERE account_id = :account_id AND host IN (:first, :second, :third) AND id <> :id ORDER BY name_key LIMIT :most"
)
_HANDED_OUT = (
    "SELECT i.id FROM images i WHERE i.account_id = :account_id AND i.registry_credential_id = :id AND ("
    "EXISTS (SELECT 1 FROM agents g WHERE g.account_id = :account_id AND g.image_id = i.id AND g.revoked_at IS NULL)"
    " OR EXISTS (SELECT 1 FROM accounts a WHERE a.id = :account_id AND a.default_image_id = i.id)) LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A credential that the images could move to: one for the same registry. `expires_at` is Unix milliseconds, None for never."""

    id: str
    name: str
    username: str
    expires_at: int | None


class CredentialDeletion:
    """The end of the account's registry credentials."""

    def __init__(self, database: Database, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._chain = chain
        self._clock = clock

    async def replacements(self, actor: Actor, credential_id: str, host: str) -> list[Replacement]:
        """The account's other credentials for this host, by name; at most 500."""
        # Three binds for what are three hosts only for Docker Hub.
        first, second, third = sorted(DOCKER_HUB_HOSTS) if host in DOCKER_HUB_HOSTS else (host,) * 3
        rows = await self._database.account(actor.account_id).fetch_all(
            _OTHERS, {"id": credential_id, "first": first, "second": second, "third": third, "most": MOST_CHOICES}
        )
        return [Replacement(**row) for row in rows]

    async def decides_hand_overs(self, actor: Actor, credential_id: str) -> bool:
        """Whether moving its images changes what agents are handed: one of them is chosen for an agent, or is the account's default."""
        return await self._database.account(actor.account_id).fetch_one(_HANDED_OUT, {"id": credential_id}) is not None

    async def delete(self, actor: Actor, credential_id: str, replacement_id: str | None = None) -> int:
        """Delete a credential, and have its images use another one from then on, in one transaction; returns how many they were.

        Raises NotFound; Conflict while images use it and no replacement is named; Invalid for one that is not there, or is for another
        host. Then nothing has changed.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            stored = await transaction.fetch_one(_ONE, {"id": credential_id})
            if stored is None:
                raise NotFound("There is no such registry credential in this account.")
            images = await transaction.fetch_all(_USING, {"id": credential_id})
            if images:
                await self._move(transaction, actor, stored, images, replacement_id)
            await transaction.execute(_GONE, {"id": credential_id})
            event = Event(
                "registry_credential.delete", "registry_credential", credential_id, stored["name"],
                secret_version=stored["secret_version"], detail=f"host {stored['host']}",
            )  # fmt: skip
            await self._chain.append(transaction, actor, event)
        return len(images)

    async def _move(
        self, transaction: AccountTransaction, actor: Actor, stored: Row, images: list[Row], replacement_id: str | None
    ) -> None:
        if replacement_id is None:
            raise Conflict(f"The registry credential {stored['name']} is in use, so it cannot be deleted.", "registry-credential-in-use")
        other = None if replacement_id == stored["id"] else await transaction.fetch_one(_ONE, {"id": replacement_id})
        if other is None:
            raise Invalid({"replacement": "There is no such registry credential any more. Choose one of the list."})
        if not same_registry(other["host"], stored["host"]):
            sentence = f"The registry credential {other['name']} is for {other['host']}, and the images are at {stored['host']}."
            raise Invalid({"replacement": f"{sentence} Choose a credential for {stored['host']}."})
        moved = {"id": stored["id"], "replacement": other["id"], "now": self._clock(), "who": actor.label}
        await transaction.execute(_MOVED, moved)
        detail = f"changed: Docker Registry Auth, from {stored['name']}, which is deleted, to {other['name']}"
        for image in images:
            await self._chain.append(transaction, actor, Event("image.update", "image", image["id"], image["name"], detail=detail))
