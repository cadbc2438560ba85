"""An image: an entry in the image catalog."""

from dataclasses import dataclass

from webapp.images.user_data import Reference
from webapp.registry.outcomes import Pulls


@dataclass(frozen=True, slots=True)
class Image:
    """An image as its row shows it. Times are Unix milliseconds.

    `docker_image_url` is as it was typed, `reference` the same in canonical form, `host` its registry.
    `credential_id` is None for a public image, `user_data` for one without a template. Official images belong to every account
    and are read-only. `pin_digest` is whether the hand-over pins a digest, and `pinned_digest` which one, once a check has found it.
    """

    id: str
    name: str
    description: str
    docker_image_url: str
    reference: str
    host: str
    credential_id: str | None
    credential_name: str | None
    credential_host: str | None
    user_data: str | None
    official: bool
    withdrawn: bool
    version: int
    updated_at: int
    updated_by: str
    pin_digest: bool
    pinned_digest: str | None
    pulls: Pulls


@dataclass(frozen=True, slots=True)
class ImageFields:
    """What a member may set, parsed: a name with its key, a reference that is one, and a template that can be rendered, or none.

    `references` are what the template refers to: whether they exist, only the repository knows.
    """

    name: str
    name_key: str
    description: str
    docker_image_url: str
    reference: str
    host: str
    credential_id: str | None
    user_data: str | None = None
    references: tuple[Reference, ...] = ()
    pin_digest: bool = False
