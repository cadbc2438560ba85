"""What an agent is to be handed, as it stands in the database, and why it may be handed nothing."""

from dataclasses import dataclass

from webapp.errors import Conflict
from webapp.reference import same_registry


@dataclass(slots=True)
class Intended:
    """What an agent is to be handed. The value is still sealed.

    `image_id` is None when no image is chosen; `credential_id` is None when the image needs none, or when the one that it needs
    (`needed_id`) is not there. Times are Unix milliseconds. `pin_digest` is 1 where only `pinned_digest` is
    handed over: `reference` then has it in the place of the tag, once there is one.
    """

    account_id: str
    agent_id: str
    agent_name: str
    used_at: int | None
    image_id: str | None
    image_name: str
    reference: str
    withdrawn_at: int | None
    user_data: str | None
    needed_id: str | None
    credential_id: str | None
    credential_name: str
    host: str
    auth_method: str
    username: str
    parameters: str
    sealed: bytes
    secret_version: int
    expires_at: int | None
    pin_digest: int
    pinned_digest: str | None

    @property
    def image_host(self) -> str:
        """The image's host: of the reference that is handed over, and not of a column beside it. A canonical one begins with it."""
        return self.reference.partition("/")[0]


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
