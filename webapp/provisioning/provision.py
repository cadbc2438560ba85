"""The hand-over: one agent is given its image and exactly the credential that the image needs.

This is the one use case in which an agent, an image and a credential meet. Data flows one way: the
agent's token, one read of what it is to have, the checks, the audit row on disk, and only then the secret.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.credentials.credential import seal_context
from webapp.database import Values
from webapp.errors import Conflict
from webapp.ids import new_id
from webapp.provisioning.repository import Intended, ProvisionRepository
from webapp.reference import same_registry
from webapp.vault import Secret, Vault

DOCKER_HUB = "docker.io"
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's config.json calls Docker Hub."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """What signs in at the registry. `expires_at` is Unix milliseconds, None for what does not expire."""

    registry: str
    username: str
    password: Secret
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Provision:
    """A recorded hand-over. `auth` is None for a public image."""

    id: str
    image_name: str
    reference: str
    host: str
    auth: RegistryAuth | None


async def provision(agent: Actor, provisions: ProvisionRepository, chain: AuditChain, vault: Vault, clock: Clock) -> Provision:
    """Hand over the agent's image and its credential, once the audit row is committed and synced.

    Raises Conflict when there is no image to install or its credential does not fit (never a guess, never
    anonymous), Unavailable when the audit row cannot be written, SealBroken when the value does not open.
    """
    intended = await provisions.intended(agent)
    refuse(intended)
    provision_id, now = new_id(), clock()
    await chain.append_and_commit(agent, _event(intended), _statements(agent, intended, provision_id, now))
    return Provision(provision_id, intended.image_name, intended.reference, intended.image_host, _open(agent, intended, vault))


def refuse(intended: Intended) -> None:
    """Raise Conflict, with a code and a sentence that says what to do, when there is nothing to hand over."""
    if intended.image_id is None:
        raise Conflict(
            "No image is chosen for this agent, and the account has no default image. Choose one on the agent's page.", "no-image"
        )
    if intended.image_withdrawn:
        raise Conflict(
            f"The official image {intended.image_name} is offered no longer. Choose another one on the agent's page.", "image-withdrawn"
        )
    if not intended.needs_credential:
        return
    if intended.credential_id is None:
        raise Conflict(
            f"The registry credential of the image {intended.image_name} is missing. Choose one on the image's page.", "no-credential"
        )
    if not same_registry(intended.credential_host, intended.image_host):
        raise Conflict(
            f"The image {intended.image_name} is at {intended.image_host}, and its registry credential is for {intended.credential_host}."
            " Choose a credential of the image's own host.",
            "host-mismatch",
        )


def _event(intended: Intended) -> Event:
    image = f"image {intended.image_name}, {intended.reference}"
    if intended.credential_id is None:
        return Event("image.hand_over", "image", str(intended.image_id), intended.image_name, detail=f"{intended.reference}, no credential")
    return Event(
        "registry_credential.release",
        "registry_credential",
        intended.credential_id,
        intended.credential_name,
        secret_version=intended.secret_version,
        detail=image[:500],
    )


def _statements(agent: Actor, intended: Intended, provision_id: str, now: int) -> list[tuple[str, Values]]:
    record = {
        "id": provision_id,
        "account_id": agent.account_id,
        "agent_id": agent.id,
        "image_id": intended.image_id,
        "reference": intended.reference,
        "credential_id": intended.credential_id,
        "secret_version": intended.secret_version if intended.credential_id is not None else None,
        "now": now,
    }
    sql = (
        "INSERT INTO provisions (id, account_id, agent_id, image_id, reference, registry_credential_id, secret_version, created_at)"
        " VALUES (:id, :account_id, :agent_id, :image_id, :reference, :credential_id, :secret_version, :now)"
    )
    return [(sql, record), *ProvisionRepository.seen(agent, now)]


def _open(agent: Actor, intended: Intended, vault: Vault) -> RegistryAuth | None:
    if intended.credential_id is None or intended.sealed is None:
        return None
    context = seal_context(
        agent.account_id, intended.credential_id, intended.secret_version, intended.credential_host, intended.credential_method
    )
    return RegistryAuth(intended.image_host, intended.credential_username, vault.open(intended.sealed, context))


def as_json(handed: Provision) -> dict[str, Any]:
    """The hand-over as the agent API answers it; the one place in which a secret becomes text."""
    auth = handed.auth
    return {
        "image": {"name": handed.image_name, "reference": handed.reference},
        "registry_auth": None
        if auth is None
        else {
            "registry": auth.registry,
            "username": auth.username,
            "password": auth.password.reveal().decode("utf-8"),
            "expires_at": auth.expires_at,
        },
        "user_data": None,
        "provision_id": handed.id,
    }


def as_docker_config(handed: Provision) -> dict[str, Any]:
    """The hand-over as a docker `config.json`: the reference's host is the key in `auths`.

    For Docker Hub the key is `https://index.docker.io/v1/`, as Docker itself writes it.
    """
    if handed.auth is None:
        return {"auths": {}}
    key = DOCKER_HUB_KEY if same_registry(handed.host, DOCKER_HUB) else handed.host
    pair = handed.auth.username.encode() + b":" + handed.auth.password.reveal()
    return {"auths": {key: {"auth": base64.b64encode(pair).decode("ascii")}}}


def encoded(document: dict[str, Any]) -> bytes:
    """The document as JSON in UTF-8 (RFC 8259)."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
