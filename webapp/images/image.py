"""An image: an entry in the image catalog."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """An image as its row shows it. Times are Unix milliseconds.

    `docker_image_url` is as it was typed, `reference` the same in canonical form, `host` its registry.
    `credential_id` is None for a public image. Official images belong to every account and are read-only.
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
    official: bool
    withdrawn: bool
    version: int
    updated_at: int
    updated_by: str


@dataclass(frozen=True, slots=True)
class ImageFields:
    """What a member may set, parsed: a name with its key, and a reference that is one."""

    name: str
    name_key: str
    description: str
    docker_image_url: str
    reference: str
    host: str
    credential_id: str | None
