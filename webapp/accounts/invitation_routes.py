"""Inviting a member: the form, the link that is shown once, and its end."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.forms import parse_invitation
from webapp.accounts.invitations import Invitations
from webapp.accounts.member_routes import CHOICES, LABELS, MEMBERS
from webapp.errors import Invalid
from webapp.nonce import new_nonce
from webapp.vault import Secret
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up


def _invitations(request: Request) -> Invitations:
    found: Invitations = request.app.state.invitations
    return found


async def new(request: Request) -> Response:
    """The form for an invitation."""
    return _form_page(request, {"email": "", "role": "viewer", "nonce": new_nonce()}, {})


async def create(request: Request) -> Response:
    """Invite somebody and show the link, once. Asks for the password again."""
    form = await read_form(request)
    values = {"email": form.text("email"), "role": form.text("role"), "nonce": form.text("form_nonce")}
    whom, errors = parse_invitation(form)
    errors |= await confirm(request, form)
    if whom is None or errors:
        return _form_page(request, values, errors, status=422)
    try:
        invitation, token = await _invitations(request).create(actor(request), *whom, values["nonce"])
    except Invalid as error:
        return _form_page(request, values, error.errors, status=422)
    # The one answer that holds the link: its token is never stored, so that it cannot be shown again.
    context = {"invitation": invitation, "link": "" if token is None else _link(request, token)}
    return render(request, "accounts/invited.html", context, fragment="accounts/_invited.html", headers={"HX-Trigger": "invited"})


def _link(request: Request, token: Secret) -> str:
    return f"{request.app.state.settings.public_url}/join?{urlencode({'token': token.reveal().decode('ascii')})}"


def _form_page(request: Request, values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
    context = {"form": values, "choices": CHOICES, "errors": errors, "labels": LABELS, "step_up": step_up(request)}
    return render(request, "accounts/invite.html", context, fragment="accounts/_invite.html", status=status)


async def ask_revoke(request: Request) -> Response:
    """The confirmation before an invitation is revoked."""
    return await _revoke_page(request, {})


async def revoke(request: Request) -> Response:
    """End an invitation at once. Asks for the password again."""
    errors = await confirm(request, await read_form(request))
    if errors:
        return await _revoke_page(request, errors, status=422)
    await _invitations(request).revoke(actor(request), request.path_params["id"])
    return done(request, MEMBERS, "invitation-revoked")


async def _revoke_page(request: Request, errors: dict[str, str], status: int = 200) -> Response:
    invitation = await _invitations(request).get(actor(request), request.path_params["id"])
    context = {"invitation": invitation, "errors": errors, "labels": LABELS, "step_up": step_up(request)}
    return render(request, "accounts/invitation_revoke.html", context, fragment="accounts/_invitation_revoke.html", status=status)


INVITATIONS = f"{MEMBERS}/invitations"

ROUTES = [
    page(f"{INVITATIONS}/new", new, needs=Permission.ADMINISTER, name="invitation-new"),
    page(INVITATIONS, create, needs=Permission.ADMINISTER, name="invitation-create", methods=["POST"]),
    page(f"{INVITATIONS}/{{id}}/revoke", ask_revoke, needs=Permission.ADMINISTER, name="invitation-ask-revoke"),
    page(f"{INVITATIONS}/{{id}}/revoke", revoke, needs=Permission.ADMINISTER, name="invitation-revoke", methods=["POST"]),
]
