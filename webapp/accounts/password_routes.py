"""Settings → Your sign-in → Password: a member changes their own, or sets a first one."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.forms import parse_new_password
from webapp.accounts.password import SHORTEST
from webapp.accounts.passwords import Passwords
from webapp.accounts.sign_in_routes import signing_in, with_device
from webapp.errors import Invalid
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up

PASSWORD = "/settings/password"  # noqa: S105  an address

SIGN_IN = "/settings/sign-in"

LABELS = {"current_password": "Your password", "password": "New password", "password_again": "New password again"}


async def show(request: Request) -> Response:
    """The form for a new password."""
    return _page(request, {})


async def save(request: Request) -> Response:
    """Change the password, which ends the member's other sessions. The one before is asked for, however fresh the session is."""
    form = await read_form(request)
    has_one = principal(request).has_password
    password, errors = parse_new_password(form)
    errors = (await _confirm_current(request, form) if has_one else await confirm(request, form)) | errors
    if errors or password is None:
        return _page(request, errors, status=422)
    passwords: Passwords = request.app.state.passwords
    try:
        device = await passwords.change(actor(request), password)
    except Invalid as error:
        return _page(request, error.errors, status=422)
    return with_device(request, done(request, SIGN_IN, "password-changed" if has_one else "password-set"), device)


async def _confirm_current(request: Request, form: Form) -> dict[str, str]:
    """What is wrong with the password of now. Raises TooMany when it was guessed too often."""
    current = form.secret("current_password")
    if current is None:
        return {"current_password": "Enter the password that you sign in with now."}
    if await signing_in(request).confirm_password(actor(request), current):
        return {}
    return {"current_password": "That is not your password. Enter the one that you sign in with now."}


def _page(request: Request, errors: dict[str, str], status: int = 200) -> Response:
    context = {
        "errors": errors,
        "labels": LABELS,
        "shortest": SHORTEST,
        "preserve": status == 422,
        "has_password": principal(request).has_password,
        "step_up": step_up(request),
    }
    return render(request, "accounts/password.html", context, fragment="accounts/_password.html", status=status)


ROUTES = [
    page(PASSWORD, show, needs=Permission.SEE, name="password"),
    page(PASSWORD, save, needs=Permission.SEE, name="password-save", methods=["POST"]),
]
