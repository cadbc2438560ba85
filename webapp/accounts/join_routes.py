"""The page behind an invitation's link: whoever holds it chooses a password, and is a member."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.forms import parse_new_password
from webapp.accounts.invitation import Invitation, NoInvitation
from webapp.accounts.invitations import Invitations
from webapp.accounts.password import SHORTEST
from webapp.accounts.sign_in_routes import browser_of, signing_in, with_cookies
from webapp.errors import Invalid
from webapp.roles import MEANINGS
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import nobody, principal_or_none
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import HOME


def _invitations(request: Request) -> Invitations:
    found: Invitations = request.app.state.invitations
    return found


async def show(request: Request) -> Response:
    """What the invitation is to, and the form to accept it. Looking at it spends nothing: programs that preview links do so."""
    token = request.query_params.get("token", "")
    try:
        invitation, account = await _invitations(request).find(token)
    except NoInvitation as over:
        return _over(request, over)
    return _join_page(request, token, invitation, account, {})


async def join(request: Request) -> Response:
    """Make the holder of the link a member, and sign them in; the link is spent together with that, or not at all."""
    form = await read_form(request)
    token = form.text("token") or request.query_params.get("token", "")  # a program may post to the link itself
    try:
        invitation, account = await _invitations(request).find(token)
        if principal_or_none(request) is not None:
            return _join_page(request, token, invitation, account, {}, status=409)
        password, errors = parse_new_password(form)
        if password is None:
            return _join_page(request, token, invitation, account, errors, status=422)
        member, within = await _invitations(request).acceptance(nobody(request), invitation, password)
        detail = f"by the invitation {invitation.accessor}"
        signed_in = await signing_in(request).begin(nobody(request), member, browser_of(request), "invitation", detail, within=within)
    except NoInvitation as over:
        return _over(request, over)
    except Invalid as error:
        return _join_page(request, token, invitation, account, error.errors, status=422)
    return with_cookies(request, done(request, HOME, "joined"), signed_in)


def _join_page(request: Request, token: str, invitation: Invitation, account: str, errors: dict[str, str], status: int = 200) -> Response:
    context = {
        "token": token,
        "invitation": invitation,
        "account": account,
        "meaning": MEANINGS[invitation.role],
        "errors": errors,
        "labels": {"password": "Password", "password_again": "Password again"},
        "shortest": SHORTEST,
        "preserve": status == 422,
    }
    return render(request, "accounts/join.html", context, fragment="accounts/_join.html", status=status)


def _over(request: Request, over: NoInvitation) -> Response:
    status = 410 if over.known else 404
    return render(request, "accounts/join_over.html", {"detail": str(over)}, fragment="_error.html", status=status)


ROUTES = [
    page("/join", show, needs=Permission.PUBLIC, name="join"),
    page("/join", join, needs=Permission.PUBLIC, name="join-save", methods=["POST"]),
]
