"""The pages of the secrets and of the variables: the same ones, for each kind."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from webapp.errors import Conflict, Invalid, Stale
from webapp.nonce import new_nonce
from webapp.records import FIRST_PAGE, Wanted
from webapp.secrets.forms import LABELS, ValueForm, parse
from webapp.secrets.named_value import KINDS, Kind, NamedValue
from webapp.secrets.repository import NamedValueRepository
from webapp.web.addresses import address, list_context, wanted_page
from webapp.web.forms import MOST_BODY, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render, swapped, wants_fragment
from webapp.web.routing import page


def repository(request: Request, kind: Kind) -> NamedValueRepository:
    """The store of this kind."""
    found: NamedValueRepository = getattr(request.app.state, kind.plural)
    return found


async def list_values(request: Request, kind: Kind) -> Response:
    """All of the account, by name."""
    context = await _list_context(request, kind, wanted_page(request))
    return render(request, "secrets/list.html", context, fragment="secrets/_rows.html")


async def new(request: Request, kind: Kind) -> Response:
    """The form for a new one."""
    return _new_page(request, kind, ValueForm(), {}, new_nonce())


async def create(request: Request, kind: Kind) -> Response:
    """Store a new one."""
    form = await read_form(request, most_part=MOST_BODY)  # the rule for a value says what is too long
    typed = ValueForm.read(kind, form)
    parsed, errors = parse(kind, form, typed)
    if parsed is not None and parsed.value is not None:
        try:
            stored, is_new = await repository(request, kind).add(actor(request), parsed.fields, parsed.value, form.text("form_nonce"))
        except Invalid as error:
            errors = error.errors
        else:
            if not is_new:  # what the form made the first time need not be what it says now
                return done(request, address(kind.path, {"q": stored.name}), "form-repeated")
            notice = f"{kind.noun}-created"
            if not wants_fragment(request):
                return done(request, kind.path, notice)
            context = await _list_context(request, kind, FIRST_PAGE) | {"created": stored}
            return swapped(request, "secrets/_rows.html", context, target="#secrets-rows", events={"closeDialog": True}, notice=notice)
    return _new_page(request, kind, typed, errors, form.text("form_nonce"), status=422)


async def show(request: Request, kind: Kind) -> Response:
    """One of them: its form, or what it is for those who may not change it."""
    stored = await repository(request, kind).get(actor(request), request.path_params["id"])
    return await _edit_page(request, kind, stored, ValueForm.of(stored), {})


async def save(request: Request, kind: Kind) -> Response:
    """Change one; a secret's value stays when none is entered."""
    form = await read_form(request, most_part=MOST_BODY)
    stored = await repository(request, kind).get(actor(request), request.path_params["id"])
    typed, version = ValueForm.read(kind, form, stored), form.number("version")
    parsed, errors = parse(kind, form, typed, stored)
    if parsed is None:
        return await _edit_page(request, kind, stored, typed, errors, version=version, status=422)
    try:
        await repository(request, kind).save(actor(request), stored.id, parsed.fields, parsed.value, version)
    except Invalid as error:
        return await _edit_page(request, kind, stored, typed, error.errors, version=version, status=422)
    except Stale:
        stored = await repository(request, kind).get(actor(request), stored.id)
        return await _edit_page(request, kind, stored, typed, {}, stale=True, status=412)
    return done(request, kind.path, f"{kind.noun}-saved" if parsed.value is None or not kind.sealed else "secret-replaced")


async def ask_delete(request: Request, kind: Kind) -> Response:
    """The confirmation before one is deleted, or the images that use it."""
    return await _delete_page(request, kind)


async def delete(request: Request, kind: Kind) -> Response:
    """Delete one; 409 with the list of images while it is in use."""
    try:
        await repository(request, kind).delete(actor(request), request.path_params["id"])
    except Conflict:
        return await _delete_page(request, kind, status=409)
    return done(request, kind.path, f"{kind.noun}-deleted")


async def _list_context(request: Request, kind: Kind, wanted: Wanted) -> dict[str, object]:
    found = await repository(request, kind).page(actor(request), wanted)
    return list_context(kind.path, wanted, found) | {"kind": kind, "created": None}


def _new_page(request: Request, kind: Kind, typed: ValueForm, errors: dict[str, str], nonce: str, status: int = 200) -> Response:
    context = _form_context(kind, typed, errors, status) | {"nonce": nonce, "stored": None, "changes": []}
    return render(request, "secrets/new.html", context, fragment="secrets/_form.html", status=status)


async def _edit_page(
    request: Request,
    kind: Kind,
    stored: NamedValue,
    typed: ValueForm,
    errors: dict[str, str],
    *,
    version: int | None = None,
    stale: bool = False,
    status: int = 200,
) -> Response:
    context = _form_context(kind, typed, errors, status) | {
        "nonce": "",
        "stored": stored,
        "version": stored.version if version is None else version,
        "changes": _differences(stored, typed) if stale else [],
        "images": await repository(request, kind).images_using(actor(request), stored.id),
    }
    fragment = "secrets/_form.html" if principal(request).may(Permission.EDIT) else None
    return render(request, "secrets/edit.html", context, fragment=fragment, status=status)


def _form_context(kind: Kind, typed: ValueForm, errors: dict[str, str], status: int) -> dict[str, object]:
    return {"kind": kind, "form": typed, "errors": errors, "labels": LABELS, "preserve": status == 422}


async def _delete_page(request: Request, kind: Kind, status: int = 200) -> Response:
    stored = await repository(request, kind).get(actor(request), request.path_params["id"])
    context = {"kind": kind, "stored": stored, "images": await repository(request, kind).images_using(actor(request), stored.id)}
    return render(request, "secrets/delete.html", context, fragment="secrets/_delete.html", status=status)


def _differences(stored: NamedValue, typed: ValueForm) -> list[tuple[str, str]]:
    before = ValueForm.of(stored)
    changed = [(LABELS[name], getattr(before, name)) for name in ValueForm.__slots__ if getattr(before, name) != getattr(typed, name)]
    return changed or [("Saved by", stored.updated_by)]


def of_kind(kind: Kind, endpoint: Callable[[Request, Kind], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for one kind."""

    async def for_kind(request: Request) -> Response:
        return await endpoint(request, kind)

    return for_kind


def _routes(kind: Kind) -> list[BaseRoute]:
    path, noun = kind.path, kind.noun
    return [
        page(path, of_kind(kind, list_values), needs=Permission.SEE, name=kind.plural),
        page(path, of_kind(kind, create), needs=Permission.EDIT, name=f"{noun}-create", methods=["POST"]),
        page(f"{path}/new", of_kind(kind, new), needs=Permission.EDIT, name=f"{noun}-new"),
        page(f"{path}/{{id}}", of_kind(kind, show), needs=Permission.SEE, name=noun),
        page(f"{path}/{{id}}", of_kind(kind, save), needs=Permission.EDIT, name=f"{noun}-save", methods=["POST"]),
        page(f"{path}/{{id}}/delete", of_kind(kind, ask_delete), needs=Permission.EDIT, name=f"{noun}-ask-delete"),
        page(f"{path}/{{id}}/delete", of_kind(kind, delete), needs=Permission.EDIT, name=f"{noun}-delete", methods=["POST"]),
    ]


ROUTES = [route for kind in KINDS for route in _routes(kind)]
