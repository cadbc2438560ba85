"""The API of the secrets and of the variables, for programs of members: a secret's value goes in, and never comes back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from webapp.errors import Invalid, Stale
from webapp.secrets.forms import ValueForm, parse
from webapp.secrets.named_value import KINDS, Kind, NamedValue
from webapp.secrets.routes import of_kind, repository
from webapp.web.addresses import wanted_page
from webapp.web.forms import MOST_BODY, Form
from webapp.web.json_answers import listed
from webapp.web.json_body import form_of, number_of, read_json, text_of
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.routing import page
from webapp.web.times import for_programs

_TRIES = 3
"""How often a value is replaced without a version while others change the record at the same moment."""


async def list_values(request: Request, kind: Kind) -> Response:
    """A page of them, by name: of secrets the names, of variables the values, too."""
    wanted = wanted_page(request)
    found = await repository(request, kind).page(actor(request), wanted)
    return listed(request, kind.plural, wanted, found, lambda stored: _shown(kind, stored))


async def replace_value(request: Request, kind: Kind) -> Response:
    """Replace the value of one, byte for byte. With a `version`, 412 when it is another one."""
    body = await read_json(request)
    sent = form_of(body, texts=("value",), others=("version",), most_part=MOST_BODY)  # the rule for a value says what is too long
    text_of(body, "value")
    version = number_of(body, "version") if body.get("version") is not None else None
    for tries_left in reversed(range(_TRIES)):
        stored = await repository(request, kind).get(actor(request), request.path_params["id"])
        form = Form({"name": stored.name, "description": stored.description, "value": sent.text("value")}, {})
        # A page's form brings the stored text back with other line ends; here a text that differs in nothing else is a new one.
        before = replace(stored, value=None) if sent.text("value") else stored
        parsed, errors = parse(kind, form, ValueForm.read(kind, form, stored), before)
        if kind.sealed and not errors and (parsed is None or parsed.value is None):
            errors = {"value": "value: empty. Send the new value of this secret."}
        if parsed is None or errors:
            raise Invalid(errors)
        try:
            as_read = stored.version if version is None else version
            saved = await repository(request, kind).save(actor(request), stored.id, parsed.fields, parsed.value, as_read)
        except Stale:
            if version is not None or not tries_left:
                raise
        else:
            return JSONResponse(_shown(kind, saved))
    raise RuntimeError("the last try ends it")


def _shown(kind: Kind, stored: NamedValue) -> Mapping[str, Any]:
    return {
        "id": stored.id,
        "name": stored.name,
        "description": stored.description,
        **({} if kind.sealed else {"value": stored.value}),
        "images": stored.images,
        "version": stored.version,
        "updated_by": stored.updated_by,
        "replaced_at": for_programs(stored.replaced_at),
        "replaced_by": stored.replaced_by,
    }


def _routes(kind: Kind) -> list[BaseRoute]:
    path = f"/api/v1{kind.path}"
    return [
        page(path, of_kind(kind, list_values), needs=Permission.SEE, name=f"api-{kind.plural}"),
        page(f"{path}/{{id}}/value", of_kind(kind, replace_value), needs=Permission.EDIT, name=f"api-{kind.noun}-replace", methods=["PUT"]),
    ]


ROUTES = [route for kind in KINDS for route in _routes(kind)]
