"""Why there is nothing to hand over, in sentences that say what to do."""

from webapp.errors import Conflict
from webapp.provisioning.intended import Intended
from webapp.reference import same_registry


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
