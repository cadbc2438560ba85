"""The form for a new registry credential, from nothing or from one of the presets."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.forms import CredentialForm
from webapp.credentials.page_forms import new_page
from webapp.credentials.presets import Preset, preset_of
from webapp.nonce import new_nonce
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.routing import page


async def new(request: Request) -> Response:
    """The form for a registry credential; `?preset=ghcr` has filled it in."""
    chosen = preset_of(request.query_params.get("preset", ""))
    typed = CredentialForm() if chosen is None else _applied(CredentialForm(), chosen, None)
    return new_page(request, typed, {}, new_nonce(), fragment="credentials/_new.html")


async def use_preset(request: Request) -> Response:
    """The form with what was typed so far and a preset, for the choice that htmx asks from.

    It comes as a POST, and without the secret: a Registry URL that was typed may hold a password, which must be in no address.
    """
    form = await read_form(request)
    typed, chosen, before = CredentialForm.read(form), preset_of(form.text("preset")), preset_of(form.text("chosen_preset"))
    applied = replace(typed, preset="") if chosen is None else _applied(typed, chosen, before)
    return new_page(request, applied, {}, new_nonce(), preserve=applied.auth_method == typed.auth_method)


def _applied(typed: CredentialForm, chosen: Preset, before: Preset | None) -> CredentialForm:
    """What was typed, with the preset where nothing was, or where still stands what the preset before it filled in."""
    untouched = {"", "" if before is None else before.host}
    host = chosen.host if typed.registry_url.strip() in untouched else typed.registry_url
    return replace(typed, preset=chosen.key, auth_method=chosen.method.value, registry_url=host)


ROUTES = [
    page("/registry-credentials/new", new, needs=Permission.EDIT, name="registry-credential-new"),
    page("/registry-credentials/preset", use_preset, needs=Permission.EDIT, name="registry-credential-preset", methods=["POST"]),
]
