"""Rolling back to a value that a registry credential had before, and destroying one ahead of its time."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.page_forms import repository
from webapp.errors import NotFound
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render
from webapp.web.routing import page


async def roll_back(request: Request) -> Response:
    """Make a value that is kept the current one again."""
    form, credential_id = await read_form(request), request.path_params["id"]
    await repository(request).roll_back(actor(request), credential_id, _number(request), form.number("version"))
    return done(request, f"/registry-credentials/{credential_id}", "credential-rolled-back")


async def ask_destroy(request: Request) -> Response:
    """The confirmation before a value that is kept is destroyed."""
    credential = await repository(request).get(actor(request), request.path_params["id"])
    number = _number(request)
    if number not in [version.secret_version for version in await repository(request).versions.kept(actor(request), credential.id)]:
        raise NotFound(f"Version {number} of this registry credential's value is not kept any more.")
    context = {"credential": credential, "number": number}
    return render(request, "credentials/destroy.html", context, fragment="credentials/_destroy.html")


async def destroy(request: Request) -> Response:
    """Destroy a value that is kept, before its time."""
    credential = await repository(request).get(actor(request), request.path_params["id"])
    await repository(request).versions.destroy(actor(request), credential, _number(request))
    return done(request, f"/registry-credentials/{credential.id}", "version-destroyed")


def _number(request: Request) -> int:
    """The version that the address names. Raises NotFound."""
    text = request.path_params["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound("There is no such version.")
    return int(text)


_ONE = "/registry-credentials/{id}/versions/{number}"

ROUTES = [
    page(f"{_ONE}/roll-back", roll_back, needs=Permission.EDIT, name="registry-credential-roll-back", methods=["POST"]),
    page(f"{_ONE}/destroy", ask_destroy, needs=Permission.EDIT, name="registry-credential-ask-version-destroy"),
    page(f"{_ONE}/destroy", destroy, needs=Permission.EDIT, name="registry-credential-version-destroy", methods=["POST"]),
]
