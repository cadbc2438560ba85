"""A member's own ways to sign in, and the passkeys among them: adding, renaming and removing one."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.authenticator import NOT_MADE, creation_options, made
from webapp.accounts.oidc_routes import identity_context
from webapp.accounts.passkey import MOST, Passkey, why_none
from webapp.accounts.passkey_sign_in_routes import ROUTES as SIGN_IN
from webapp.accounts.passkey_sign_in_routes import asked, begun, ended, passkeys, refuse_where_none
from webapp.accounts.passkeys import refuse_too_many
from webapp.errors import Conflict, Invalid
from webapp.names import parse_name
from webapp.web.forms import read_form
from webapp.web.json_body import read_json
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render, wants_fragment
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up

HERE = "/settings/sign-in"

LABELS = {"name": "Name", "current_password": "Your password"}


async def show(request: Request) -> Response:
    """The ways in which the member signs in."""
    context = {
        "passkeys": await passkeys(request).of_member(actor(request)),
        "most": MOST,
        "why_none": why_none(request.app.state.settings),
        **await identity_context(request),
    }
    return render(request, "accounts/sign_in.html", context)


async def new(request: Request) -> Response:
    """The form for a passkey, which the browser makes."""
    refuse_where_none(request)
    refuse_too_many(len(await passkeys(request).of_member(actor(request))))
    return _form_page(request, "", {})


async def begin(request: Request) -> Response:
    """What the browser is to make, once the form is right; it asks again who this is."""
    refuse_where_none(request)
    form = await read_form(request)
    typed, name = form.text("name"), ""
    errors: dict[str, str] = {}
    try:
        name = parse_name(typed).text
    except ValueError as error:
        errors["name"] = str(error)
    errors |= await confirm(request, form)
    if not wants_fragment(request):  # sent by the browser itself: no script is there to go on with the answer
        errors[""] = "Adding a passkey takes JavaScript. Turn it on and reload the page."
    if errors:
        return _form_page(request, typed, errors, status=422)
    existing = await passkeys(request).of_member(actor(request))
    refuse_too_many(len(existing))
    ceremony = begun(request, "passkey-create", facts={"name": name})
    member = principal(request)
    settings = request.app.state.settings
    options = await asyncio.to_thread(creation_options, settings, member.member_id, member.email, ceremony.challenge, existing)
    return asked(request, ceremony, options)


async def create(request: Request) -> Response:
    """Store what the browser has made."""
    body = await read_json(request)
    ceremony = ended(request, "passkey-create")
    new_one = await asyncio.to_thread(made, request.app.state.settings, ceremony.challenge, body)
    try:
        name = parse_name(ceremony.facts.get("name", ""))
    except ValueError:  # the rule for names is another one since
        raise Invalid({"": NOT_MADE}) from None
    await passkeys(request).add(actor(request), name, new_one, ceremony.challenge)
    return done(request, HERE, "passkey-added")


async def ask_rename(request: Request) -> Response:
    """The form for a passkey's name."""
    passkey = await passkeys(request).get(actor(request), request.path_params["id"])
    return _rename_page(request, passkey, passkey.name, {})


async def rename(request: Request) -> Response:
    """Give a passkey another name; a name opens nothing, so nothing is asked again."""
    form = await read_form(request)
    passkey = await passkeys(request).get(actor(request), request.path_params["id"])
    try:
        name = parse_name(form.text("name"))
    except ValueError as error:
        return _rename_page(request, passkey, form.text("name"), {"name": str(error)}, status=422)
    await passkeys(request).rename(actor(request), passkey.id, name)
    return done(request, HERE, "passkey-renamed")


async def ask_remove(request: Request) -> Response:
    """The confirmation before a passkey is removed."""
    return await _remove_page(request, {})


async def remove(request: Request) -> Response:
    """Remove a passkey; asks again who this is."""
    form = await read_form(request)
    errors = await confirm(request, form)
    if errors:
        return await _remove_page(request, errors, status=422)
    try:
        await passkeys(request).remove(actor(request), request.path_params["id"])
    except Conflict as error:
        return await _remove_page(request, {"": str(error)}, status=409)
    return done(request, HERE, "passkey-removed")


def _form_page(request: Request, name: str, errors: dict[str, str], status: int = 200) -> Response:
    context = {"name": name, "errors": errors, "labels": LABELS, "step_up": step_up(request)}
    return render(request, "accounts/passkey_new.html", context, fragment="accounts/_passkey_form.html", status=status)


def _rename_page(request: Request, passkey: Passkey, name: str, errors: dict[str, str], status: int = 200) -> Response:
    context = {"passkey": passkey, "name": name, "errors": errors, "labels": LABELS}
    return render(request, "accounts/passkey_rename.html", context, fragment="accounts/_passkey_rename.html", status=status)


async def _remove_page(request: Request, errors: dict[str, str], status: int = 200) -> Response:
    passkey = await passkeys(request).get(actor(request), request.path_params["id"])
    context = {"passkey": passkey, "errors": errors, "labels": LABELS, "step_up": step_up(request)}
    return render(request, "accounts/passkey_remove.html", context, fragment="accounts/_passkey_remove.html", status=status)


ROUTES = [
    page(HERE, show, needs=Permission.SEE, name="sign-in"),
    page(f"{HERE}/passkeys/new", new, needs=Permission.SEE, name="passkey-new"),
    page(f"{HERE}/passkeys/options", begin, needs=Permission.SEE, name="passkey-begin", methods=["POST"]),
    page(f"{HERE}/passkeys", create, needs=Permission.SEE, name="passkey-create", methods=["POST"]),
    page(f"{HERE}/passkeys/{{id}}/rename", ask_rename, needs=Permission.SEE, name="passkey-ask-rename"),
    page(f"{HERE}/passkeys/{{id}}/rename", rename, needs=Permission.SEE, name="passkey-rename", methods=["POST"]),
    page(f"{HERE}/passkeys/{{id}}/remove", ask_remove, needs=Permission.SEE, name="passkey-ask-remove"),
    page(f"{HERE}/passkeys/{{id}}/remove", remove, needs=Permission.SEE, name="passkey-remove", methods=["POST"]),
    *SIGN_IN,
]
