"""Set-up, sign-in, sign-out, and the Settings of the account."""

import hmac
from dataclasses import replace

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp.accounts.account import Account
from webapp.accounts.device import LIFETIME_SECONDS
from webapp.accounts.forms import LABELS, WRONG, SettingsForm, SetUpForm, SignInForm, missing, parse_set_up
from webapp.accounts.password import SHORTEST
from webapp.accounts.repository import AccountRepository
from webapp.accounts.session import Browser, Refused, SignedIn
from webapp.errors import Invalid, NotFound, Stale, TooMany
from webapp.vault import Secret
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, nobody, principal, principal_or_none
from webapp.web.rendering import done, render, wants_fragment
from webapp.web.routing import page
from webapp.web.sessions import clear_session_cookie, cookie_name, local_path, session_cookie, set_cookie, set_session_cookie
from webapp.web.stepup import confirm, is_fresh

HOME = "/registry-credentials"
_DEVICE = "device"


def _repository(request: Request) -> AccountRepository:
    found: AccountRepository = request.app.state.accounts
    return found


async def home(request: Request) -> Response:
    """The start page is the list that people come for."""
    return RedirectResponse(HOME, status_code=303)


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
        member = await _repository(request).set_up(who, fields.account_name, fields.email, fields.password)
    except Invalid as error:
        return _set_up_page(request, token, typed, error.errors, status=422)
    signed_in = await _repository(request).sign_in_first(nobody(request), member, _browser(request))
    return _with_cookies(request, done(request, HOME, "set-up"), signed_in)


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
        outcome = await _repository(request).sign_in(nobody(request), typed.email, password, _browser(request))
    except TooMany as error:
        if wants_fragment(request):
            raise  # the script shows the sentence above the form, which stays as it is
        return await _login_page(request, typed, {"": str(error)}, status=429, headers={"Retry-After": str(error.retry_after)})
    if isinstance(outcome, Refused):
        response = await _login_page(request, typed, {"": WRONG}, status=422)
        response.background = BackgroundTask(_repository(request).record_refusal, nobody(request), outcome)
        return response
    return _with_cookies(request, done(request, local_path(typed.next) or HOME), outcome)


async def logout(request: Request) -> Response:
    """End the session, if there is one, and take its cookie back."""
    if principal_or_none(request) is not None:
        await _repository(request).end_session(actor(request))
    response = done(request, "/login", "signed-out")
    clear_session_cookie(response, request.app.state.settings)
    return response


async def show_settings(request: Request) -> Response:
    """The account's settings; only an admin may change them."""
    account = await _repository(request).account(actor(request))
    return await _settings_page(request, account, SettingsForm.of(account), {})


async def save_settings(request: Request) -> Response:
    """Change the account's name and its default image, which decides what agents are handed: that asks for the password."""
    form = await read_form(request)
    account = await _repository(request).account(actor(request))
    typed = SettingsForm.read(form, account)
    # Without a version it is the one of just now, so that what is asked for the password and what is saved are the same change.
    version = account.version if (sent := form.number("version")) is None else sent
    name, errors = typed.parse()
    if typed.default_image_id != (account.default_image_id or ""):
        errors |= await confirm(request, form)
    if name is None or errors:
        return await _settings_page(request, account, typed, errors, version=version, status=422)
    try:
        await _repository(request).update_account(actor(request), name, typed.default_image_id or None, version)
    except Invalid as error:
        return await _settings_page(request, account, typed, error.errors, version=version, status=422)
    except Stale:
        stored = await _repository(request).account(actor(request))
        return await _settings_page(request, stored, typed, {}, stale=True, status=412)
    return done(request, "/settings", "settings-saved")


async def _refuse_set_up(request: Request, unverified_token: str) -> None:
    expected: Secret = request.app.state.vault.setup_token()
    right = hmac.compare_digest(unverified_token.encode("utf-8", "surrogatepass"), expected.reveal())
    if not right or await _repository(request).has_members():
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
        "is_set_up": await _repository(request).has_members(),
    }
    return render(request, "accounts/login.html", context, fragment="accounts/_login.html", status=status, headers=headers)


async def _settings_page(
    request: Request,
    account: Account,
    typed: SettingsForm,
    errors: dict[str, str],
    *,
    version: int | None = None,
    stale: bool = False,
    status: int = 200,
) -> Response:
    context = {
        "form": typed,
        "account": account,
        "version": account.version if version is None else version,
        "choices": await _repository(request).image_choices(actor(request)),
        "errors": errors,
        "labels": LABELS,
        "changes": _differences(account, typed) if stale else [],
        "fresh": is_fresh(request),
        "member": principal(request),
    }
    return render(request, "accounts/settings.html", context, fragment="accounts/_settings.html", status=status)


def _differences(account: Account, typed: SettingsForm) -> list[tuple[str, str]]:
    changes = []
    if account.name != typed.account_name:
        changes.append((LABELS["account_name"], account.name))
    if (account.default_image_id or "") != typed.default_image_id:
        changes.append((LABELS["default_image_id"], account.default_image_name or "none"))
    return changes or [(LABELS["account_name"], account.name)]


def _browser(request: Request) -> Browser:
    device = request.cookies.get(cookie_name(request.app.state.settings, _DEVICE), "")
    return Browser(request.headers.get("user-agent", ""), session_cookie(request), device)


def _with_cookies(request: Request, response: Response, signed_in: SignedIn) -> Response:
    settings = request.app.state.settings
    set_session_cookie(response, settings, signed_in.session.reveal().decode("ascii"))
    set_cookie(response, settings, _DEVICE, signed_in.device.reveal().decode("ascii"), max_age=LIFETIME_SECONDS)
    return response


ROUTES = [
    page("/", home, needs=Permission.SEE, name="home"),
    page("/setup", show_set_up, needs=Permission.PUBLIC, name="set-up"),
    page("/setup", set_up, needs=Permission.PUBLIC, name="set-up-save", methods=["POST"]),
    page("/login", show_login, needs=Permission.PUBLIC, name="login"),
    page("/login", login, needs=Permission.PUBLIC, name="login-save", methods=["POST"]),
    page("/logout", logout, needs=Permission.PUBLIC, name="logout", methods=["POST"]),
    page("/settings", show_settings, needs=Permission.SEE, name="settings"),
    page("/settings", save_settings, needs=Permission.ADMINISTER, name="settings-save", methods=["POST"]),
]
