"""The page on which a registry credential is deleted, and its images are moved to another one."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.repository import CredentialRepository
from webapp.errors import Conflict, Invalid
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up

_CHOOSE = "Choose the registry credential that its images use from now on."


def _repository(request: Request) -> CredentialRepository:
    found: CredentialRepository = request.app.state.credentials
    return found


async def ask_delete(request: Request) -> Response:
    """The confirmation before a registry credential is deleted; for one in use, the images and where they could move."""
    return await _delete_page(request, "", {})


async def delete(request: Request) -> Response:
    """Delete a registry credential, and move its images where the form says; 409 with the list of images while it does not say."""
    form, who = await read_form(request), actor(request)
    credential_id, replacement = request.path_params["id"], form.text("replacement")
    if form.has("replacement") and not replacement:
        return await _delete_page(
            request, "", {"replacement": "Choose the registry credential that its images use from now on."}, status=422
        )
    deletion = _repository(request).deletion
    if replacement and await deletion.decides_hand_overs(who, credential_id) and (errors := await confirm(request, form)):
        return await _delete_page(request, replacement, errors, status=422)
    try:
        moved = await deletion.delete(who, credential_id, replacement or None)
    except Invalid as error:
        return await _delete_page(request, replacement, error.errors, status=422)
    except Conflict:
        return await _delete_page(request, "", {}, status=409)
    return done(request, "/registry-credentials", "credential-moved" if moved else "credential-deleted")


async def _delete_page(request: Request, replacement: str, errors: dict[str, str], *, status: int = 200) -> Response:
    repository, who = _repository(request), actor(request)
    credential = await repository.get(who, request.path_params["id"])
    images = await repository.images_using(who, credential.id)
    context = {
        "credential": credential,
        "images": images,
        "others": await repository.deletion.replacements(who, credential.id, credential.host) if images else [],
        "replacement": replacement,
        "errors": errors,
        "refused": status == 409,
        "step_up": step_up(request, needed=bool(images) and await repository.deletion.decides_hand_overs(who, credential.id)),
    }
    return render(request, "credentials/delete.html", context, fragment="credentials/_delete.html", status=status)


ROUTES = [
    page("/registry-credentials/{id}/delete", ask_delete, needs=Permission.EDIT, name="registry-credential-ask-delete"),
    page("/registry-credentials/{id}/delete", delete, needs=Permission.EDIT, name="registry-credential-delete", methods=["POST"]),
]
