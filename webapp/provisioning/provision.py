"""The hand-over: one agent is given its image and exactly the credential that the image needs.

This is the one use case in which an agent, an image and a credential meet. Data flows one way: the
agent's token, one read of what it is to have, the checks, the audit row on disk, and only then the secret.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import Batch
from webapp.errors import Conflict
from webapp.images.user_data import Store
from webapp.provisioning.activity import Activity
from webapp.provisioning.intended import Intended
from webapp.provisioning.kept_rows import NOWHERE, Known
from webapp.provisioning.provision_id import provision_id_of
from webapp.provisioning.repository import ProvisionRepository
from webapp.provisioning.user_data import FoundUserData, find_user_data, render_user_data
from webapp.reference import same_registry
from webapp.secrets.repository import NamedValueRepository
from webapp.vault import SealBroken, Secret, Token, Vault

DOCKER_HUB = "docker.io"
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's config.json calls Docker Hub."""


@dataclass(slots=True)
class RegistryAuth:
    """What signs in at the registry. `expires_at` is Unix milliseconds, None for what does not expire."""

    registry: str
    username: str
    password: Secret
    expires_at: int | None = None


@dataclass(slots=True)
class Provision:
    """A recorded hand-over. `auth` is None for a public image."""

    id: str
    image_name: str
    reference: str
    host: str
    auth: RegistryAuth | None
    user_data: Secret | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a hand-over is made with."""

    provisions: ProvisionRepository
    values: Mapping[Store, NamedValueRepository]
    activity: Activity
    chain: AuditChain
    vault: Vault
    clock: Clock


class NotHandedOver(Exception):
    """The agent is known, and is handed nothing: who it is, and the Conflict that says why."""

    def __init__(self, agent: Actor, why: Conflict) -> None:
        super().__init__(str(why))
        self.agent, self.why = agent, why


class HandOver:
    """One hand-over on its way: `decide` takes part in the batch, and `release` comes after its commit."""

    __slots__ = ("_address", "_known", "_now", "_number", "_parts", "_refused", "_request_id", "_token", "_user_data", "_with_user_data")
    _known: Known

    def __init__(self, token: Token, address: str | None, request_id: str | None, parts: Parts, *, with_user_data: bool = True) -> None:
        self._token, self._address, self._request_id = token, address, request_id
        self._parts, self._with_user_data = parts, with_user_data
        self._now = self._number = 0
        self._user_data: FoundUserData | None = None
        self._refused: NotHandedOver | None = None

    def decide(self, batch: Batch) -> None:
        """Read what the agent is to have, check it, and say what to write.

        Nobody else writes meanwhile, so that nothing is served that was changed or revoked before.
        Raises UnknownToken, RefusedToken. What else is wrong is raised by `release`, when it is written down that the agent was here.
        """
        parts = self._parts
        self._now = parts.clock()
        self._known = parts.provisions.known(batch, self._token)
        intended = self._known.intended
        try:
            event = self._known.event
            if event is None:
                if self._known.place == NOWHERE:
                    raise SealBroken("it is filed where nothing of ours can be")
                refuse(intended)
                event = self._known.event = _event(intended)
            template = intended.user_data if self._with_user_data else None
            user_data = self._user_data = find_user_data(batch, intended.account_id, template, parts.values)
            if user_data is not None and user_data.may_be_too_long:
                # Tried before the row is written: a row that says "allowed" is about something that left.
                render_user_data(intended.account_id, user_data, parts.values)
        except (Conflict, SealBroken) as error:
            self._refused = self._not_handed_over(intended, error)
            return
        if user_data is not None:
            # What is read is named in full, however much it is: 64 names at the most.
            event = replace(event, detail=f"{event.detail}; {user_data.reads}")
        self._number = parts.chain.add(batch, self._agent(intended), event, self._now)

    def release(self) -> Provision:
        """What leaves, now that its row is committed and synced: only here is anything opened. Raises NotHandedOver."""
        intended = self._known.intended
        if self._refused is not None:
            self._parts.activity.seen(intended, self._now)
            raise self._refused
        self._parts.activity.handed_over(self._known, self._now)
        try:
            auth = _open(self._known, self._parts.vault)
            rendered = render_user_data(intended.account_id, self._user_data, self._parts.values)
        except (Conflict, SealBroken) as error:
            problem = self._not_handed_over(intended, error)
        else:
            provision_id = provision_id_of(self._now, self._number)
            return Provision(provision_id, intended.image_name, intended.reference, intended.image_host, auth, rendered)
        raise problem

    def _agent(self, intended: Intended) -> Actor:
        return Actor(
            intended.account_id, "agent", intended.agent_id, intended.agent_name, self._token.accessor, self._address, self._request_id
        )

    def _not_handed_over(self, intended: Intended, error: Conflict | SealBroken) -> NotHandedOver:
        why = error if isinstance(error, Conflict) else _does_not_open(intended, error)
        return NotHandedOver(self._agent(intended), why)


async def provision(token: Token, address: str | None, request_id: str | None, parts: Parts, *, with_user_data: bool = True) -> Provision:
    """Hand over an agent's image, its credential and its user data, once the audit row is committed and synced.

    Raises UnknownToken, RefusedToken; NotHandedOver when there is no image to install, or when its credential or its user data
    does not fit (never a guess, never anonymous); Unavailable when the row cannot be written.
    """
    hand_over = HandOver(token, address, request_id, parts, with_user_data=with_user_data)
    await parts.provisions.submit(token, hand_over.decide)
    return hand_over.release()


def refuse(intended: Intended) -> None:
    """Raise Conflict, with a code and a sentence that says what to do, when there is nothing to hand over."""
    refuse_image(intended)
    if intended.pin_digest and intended.pinned_digest is None:
        raise Conflict(
            f"The image {intended.image_name} is to be pinned to the digest that a check has found, and none has found one yet."
            " Press Check now on the image's page.",
            "not-checked",
        )


def refuse_image(intended: Intended) -> None:
    """As `refuse`, for a check, which may find the digest that is to be pinned."""
    if intended.image_id is None:
        raise Conflict(
            "No image is chosen for this agent, and the account has no default image. Choose one on the agent's page.", "no-image"
        )
    if intended.withdrawn_at is not None:
        raise Conflict(
            f"The official image {intended.image_name} is offered no longer. Choose another one on the agent's page.", "image-withdrawn"
        )
    if intended.needed_id is None:
        return
    if intended.credential_id is None:
        raise Conflict(
            f"The registry credential of the image {intended.image_name} is missing. Choose one on the image's page.", "no-credential"
        )
    if not same_registry(intended.host, intended.image_host):
        raise Conflict(
            f"The image {intended.image_name} is at {intended.image_host}, and its registry credential is for {intended.host}."
            " Choose a credential of the image's own host.",
            "host-mismatch",
        )


def _does_not_open(intended: Intended, error: SealBroken) -> Conflict:
    return Conflict(f"A stored value of the image {intended.image_name} does not open ({error}). Enter it again.", "does-not-open")


def _event(intended: Intended) -> Event:
    if intended.credential_id is None:
        detail = f"{intended.reference}, no credential"
        return Event("image.hand_over", "image", str(intended.image_id), intended.image_name, detail=detail)
    return Event(
        "registry_credential.release",
        "registry_credential",
        intended.credential_id,
        intended.credential_name,
        secret_version=intended.secret_version,
        detail=f"image {intended.image_name}, {intended.reference}",
    )


def _open(known: Known, vault: Vault) -> RegistryAuth | None:
    if known.place is None:
        return None
    intended = known.intended
    return RegistryAuth(intended.image_host, intended.username, vault.open_at(intended.sealed, known.place))


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
        "user_data": None if handed.user_data is None else handed.user_data.reveal().decode("utf-8"),
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
    return orjson.dumps(document)
