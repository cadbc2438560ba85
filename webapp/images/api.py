"""The API of the images, for programs of members."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp.images.image import Image
from webapp.images.repository import ImageRepository
from webapp.web.addresses import wanted_page
from webapp.web.json_answers import listed
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import page
from webapp.web.times import for_programs


async def list_images(request: Request) -> Response:
    """A page of the images, by name: all of them, or those of a `kind`, official or custom."""
    repository: ImageRepository = request.app.state.images
    kind, wanted = request.query_params.get("kind", ""), wanted_page(request)
    kind = kind if kind in ("official", "custom") else ""
    found = await repository.page(actor(request), wanted, kind=kind)
    return listed(request, "images", wanted, found, _shown, {"kind": kind})


def _shown(image: Image) -> Mapping[str, Any]:
    used = {"id": image.credential_id, "name": image.credential_name, "registry_url": image.credential_host}
    return {
        "id": image.id,
        "name": image.name,
        "description": image.description,
        "docker_image_url": image.docker_image_url,
        "reference": image.reference,
        "registry_credential": None if image.credential_id is None else used,
        "user_data": image.user_data is not None,
        "official": image.official,
        "pin_digest": image.pin_digest,
        "pinned_digest": image.pinned_digest,
        "version": image.version,
        "updated_at": for_programs(image.updated_at),
        "updated_by": image.updated_by,
        "last_pulled_at": for_programs(image.pulls.last_pulled_at),
        "last_failed_at": for_programs(image.pulls.last_failed_at),
        "last_failure": None if image.pulls.last_failed_at is None else image.pulls.failure,
    }


ROUTES = [page("/api/v1/images", list_images, needs=Permission.SEE, name="api-images")]
