"""Set-up, sign-in and sign-out."""

import hmac
from dataclasses import replace

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.device import LIFETIME_SECONDS
from webapp.accounts.forms import LABELS, WRONG, SetUpForm, SignInForm, missing, parse_set_up
from webapp.accounts.members import MemberRepository
from webapp.accounts.password import SHORTEST
from webapp.accounts.session import Browser, Refused, SignedIn
from webapp.accounts.signing_in import SigningIn
from webapp.errors import Invalid, NotFound, TooMany
from webapp.vault import Secret
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, nobody, principal_or_none
from webapp.web.rendering import done, render, wants_fragment
from webapp.web.routing import page
from webapp.web.sessions import HOME, clear_session_cookie, cookie_name, local_path, session_cookie, set_cookie, set_session_cookie

_DEVICE = "device"


def _members(request: Request) -> MemberRepository:
    found: MemberRepository = request.app.state.members
    return found


def signing_in(request: Request) -> SigningIn:
    """What begins sessions."""
    found: SigningIn = request.app.state.signing_in
    return found


async def show_set_up(request: Request) -> Response:
    """The page behind the one-time link; 404 without its token, and once there is a member."""
    token = request.query_params.get("token", "")
    await _refuse_set_up(request, token)
    return _set_up_page(request, token, SetUpForm(), {})


async def set_up(request: Request) -> Response:
    """Make the account and its first admin, and sign that one in."""
    form = await read_form(request)
    token = form.text("token") or request.query_params.get("token", "")  # a program may post to the link itself
    await _refuse_set_up(request, token)
    typed = SetUpForm.read(form)
    fields, errors = parse_set_up(form, typed)
    if fields is None:
        return _set_up_page(request, token, typed, errors, status=422)
    who = replace(nobody(request), label="set-up link")
    try:
        member = await _members(request).set_up(who, fields.account_name, fields.email, fields.password)
    except Invalid as error:
        return _set_up_page(request, token, typed, error.errors, status=422)
    signed_in = await signing_in(request).begin(nobody(request), member, browser_of(request), "set_up", "by the set-up link")
    return with_cookies(request, done(request, HOME, "set-up"), signed_in)


async def show_login(request: Request) -> Response:
    """The sign-in page; whoever is signed in already goes on."""
    unverified_next = request.query_params.get("next", "")
    if principal_or_none(request) is not None:
        return done(request, local_path(unverified_next) or HOME)
    return await _login_page(request, SignInForm(next=unverified_next), {})


async def login(request: Request) -> Response:
    """Sign a member in, and lead on to the page that asked for it."""
    form = await read_form(request)
    typed = SignInForm(form.text("email"), form.text("next"))
    password, errors = form.secret("password"), missing(form)
    if errors or password is None:
        return await _login_page(request, typed, errors, status=422)
    try:
        outcome = await signing_in(request).by_password(nobody(request), typed.email, password, browser_of(request))
    except TooMany as error:
        if wants_fragment(request):
            raise  # the script shows the sentence above the form, which stays as it is
        return await _login_page(request, typed, {"": str(error)}, status=429, headers={"Retry-After": str(error.retry_after)})
    if isinstance(outcome, Refused):
        response = await _login_page(request, typed, {"": WRONG}, status=422)
        response.background = BackgroundTask(signing_in(request).record_refusal, nobody(request), outcome)
        return response
    return with_cookies(request, done(request, local_path(typed.next) or HOME), outcome)


async def logout(request: Request) -> Response:
    """End the session, if there is one, and take its cookie back."""
    if principal_or_none(request) is not None:
        await request.app.state.sessions.end(actor(request))
    response = done(request, "/login", "signed-out")
    clear_session_cookie(response, request.app.state.settings)
    return response


async def _refuse_set_up(request: Request, unverified_token: str) -> None:
    expected: Secret = request.app.state.vault.setup_token()
    right = hmac.compare_digest(unverified_token.encode("utf-8", "surrogatepass"), expected.reveal())
    if not right or await _members(request).has_members():
        raise NotFound("There is no such address.")


def _set_up_page(request: Request, token: str, typed: SetUpForm, errors: dict[str, str], status: int = 200) -> Response:
    context = {"form": typed, "token": token, "errors": errors, "labels": LABELS, "preserve": status == 422, "shortest": SHORTEST}
    return render(request, "accounts/setup.html", context, fragment="accounts/_setup.html", status=status)


async def _login_page(
    request: Request, typed: SignInForm, errors: dict[str, str], *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    context = {
        "form": typed,
        "next": local_path(typed.next) or "",
        "errors": errors,
        "labels": LABELS,
        "provider": provider.name if (provider := request.app.state.provider) is not None else "",
        "is_set_up": await _members(request).has_members(),
        "passkeys_script": request.app.state.settings.passkey_domain is not None,
    }
    return render(request, "accounts/login.html", context, fragment="accounts/_login.html", status=status, headers=headers)


def browser_of(request: Request) -> Browser:
    """What the browser brings along to sign in, unverified."""
    device = request.cookies.get(cookie_name(request.app.state.settings, _DEVICE), "")
    return Browser(request.headers.get("user-agent", ""), session_cookie(request), device)


def with_cookies(request: Request, response: Response, signed_in: SignedIn) -> Response:
    """The answer to who has just signed in: it carries the cookies of the session and of the device."""
    set_session_cookie(response, request.app.state.settings, signed_in.session.reveal().decode("ascii"))
    return with_device(request, response, signed_in.device)


def with_device(request: Request, response: Response, device: Secret) -> Response:
    """The answer with the cookie of the device."""
    set_cookie(response, request.app.state.settings, _DEVICE, device.reveal().decode("ascii"), max_age=LIFETIME_SECONDS)
    return response


ROUTES = [
    page("/setup", show_set_up, needs=Permission.PUBLIC, name="set-up"),
    page("/setup", set_up, needs=Permission.PUBLIC, name="set-up-save", methods=["POST"]),
    page("/login", show_login, needs=Permission.PUBLIC, name="login"),
    page("/login", login, needs=Permission.PUBLIC, name="login-save", methods=["POST"]),
    page("/logout", logout, needs=Permission.PUBLIC, name="logout", methods=["POST"]),
]
