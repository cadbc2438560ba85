"""What a check found at an image, and the digest that its hand-overs are pinned to."""

from collections.abc import Awaitable, Callable, Mapping

from webapp.chain import Event
from webapp.database import Row
from webapp.images.image import Image, ImageFields
from webapp.registry.kinds import Kind
from webapp.registry.outcomes import Checked

FetchOne = Callable[[str, Mapping[str, object]], Awaitable[Row | None]]

_CHECK = (
    "SELECT checked_at, checked_reference, check_kind, check_sentence, check_digest FROM image_activity"
    " WHERE account_id = :account_id AND image_id = :id AND checked_at IS NOT NULL"
)


async def last_check(fetch_one: FetchOne, image_id: str) -> Checked | None:
    """What the account's last check of this image found; None before there was one."""
    row = await fetch_one(_CHECK, {"id": image_id})
    if row is None or row["check_kind"] not in list(Kind) or not isinstance(row["checked_at"], int):  # SQLite keeps anything in any column
        return None
    return Checked(row["checked_at"], row["checked_reference"], Kind(row["check_kind"]), row["check_sentence"], row["check_digest"])


def pinned_digest(image: Image, fields: ImageFields, checked: Checked | None) -> str | None:
    """The digest that is pinned once the image is saved so: the one that is, or what the last check of this reference found."""
    if not fields.pin_digest or image.reference != fields.reference:
        return None
    if image.pin_digest:
        return image.pinned_digest
    return checked.digest if checked is not None and checked.works and checked.reference == fields.reference else None


def pin_event(image_id: str, name: str, reference: str, digest: str) -> Event:
    """What the audit log says of a pin that is set or moved: of which reference, and to which digest."""
    return Event("image.pin", "image", image_id, name, detail=f"{reference} to {digest}"[:500])


def pinned_reference(reference: str, digest: str) -> str:
    """The canonical reference with this digest in the place of its tag: `ghcr.io/acme/ubuntu@sha256:…`.

    Without the tag, since skopeo, and what else is made of containers/image, takes none beside a digest
    (https://github.com/containers/image/issues/1736); docker, podman and containerd take this form, too.
    """
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"
