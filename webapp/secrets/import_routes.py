"""The import of a .env file into the secrets or the variables: the form, the preview, and the import itself."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from webapp.errors import Conflict
from webapp.secrets.env_file import MOST_BYTES
from webapp.secrets.imports import ImportRepository
from webapp.secrets.named_value import KINDS, Kind
from webapp.secrets.routes import of_kind, repository
from webapp.web.forms import pasted_or_uploaded, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render
from webapp.web.routing import page

MOST_BODY = 3 * MOST_BYTES
"""Bytes: a pasted text may be encoded on its way."""

_NOTHING = "Paste the lines of a .env file, or choose the file."


def _imports(request: Request) -> ImportRepository:
    found: ImportRepository = request.app.state.imports
    return found


async def ask(request: Request, kind: Kind) -> Response:
    """The form for a .env file."""
    return _form_page(request, kind, {})


async def preview(request: Request, kind: Kind) -> Response:
    """What the import would do; nothing is stored yet."""
    form = await read_form(request, most_part=MOST_BODY, most_body=MOST_BODY)
    try:
        content = pasted_or_uploaded(form, "env", "env_file")
        if content is None:
            raise ValueError(_NOTHING)
        found = await _imports(request).begin(actor(request), repository(request, kind), content)
    except ValueError as error:
        return _form_page(request, kind, {"env_file" if form.upload("env_file") is not None else "env": str(error)}, status=422)
    return render(
        request, "secrets/import_preview.html", {"kind": kind, "preview": found, "changed": ""}, fragment="secrets/_import_preview.html"
    )


async def run(request: Request, kind: Kind) -> Response:
    """Store all that the preview said; 409 and a new preview when something was changed meanwhile."""
    await read_form(request)
    import_id, values = request.path_params["id"], repository(request, kind)
    try:
        await _imports(request).commit(actor(request), values, import_id)
    except Conflict as error:
        found = await _imports(request).again(actor(request), values, import_id)
        if found is None:
            return done(request, kind.path, f"{kind.plural}-imported")
        context = {"kind": kind, "preview": found, "changed": str(error)}
        return render(request, "secrets/import_preview.html", context, fragment="secrets/_import_preview.html", status=409)
    return done(request, kind.path, f"{kind.plural}-imported")


def _form_page(request: Request, kind: Kind, errors: dict[str, str], status: int = 200) -> Response:
    context = {"kind": kind, "errors": errors, "preserve": status == 422}
    return render(request, "secrets/import.html", context, fragment="secrets/_import_form.html", status=status)


def _routes(kind: Kind) -> list[BaseRoute]:
    path, noun = f"{kind.path}/import", kind.noun
    return [
        page(path, of_kind(kind, ask), needs=Permission.EDIT, name=f"{noun}-ask-import"),
        page(path, of_kind(kind, preview), needs=Permission.EDIT, name=f"{noun}-import-preview", methods=["POST"], most_body=MOST_BODY),
        page(f"{path}/{{id}}", of_kind(kind, run), needs=Permission.EDIT, name=f"{noun}-import", methods=["POST"]),
    ]


ROUTES = [route for kind in KINDS for route in _routes(kind)]
