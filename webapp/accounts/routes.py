"""The start page, and the Settings of the account."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp.accounts.account import Account
from webapp.accounts.forms import LABELS, SettingsForm
from webapp.accounts.repository import AccountRepository
from webapp.errors import Invalid, Stale
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import HOME
from webapp.web.stepup import confirm, step_up


def _repository(request: Request) -> AccountRepository:
    found: AccountRepository = request.app.state.accounts
    return found


async def home(request: Request) -> Response:
    """The start page is the list that people come for."""
    return RedirectResponse(HOME, status_code=303)


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
        "step_up": step_up(request),
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


ROUTES = [
    page("/", home, needs=Permission.SEE, name="home"),
    page("/settings", show_settings, needs=Permission.SEE, name="settings"),
    page("/settings", save_settings, needs=Permission.ADMINISTER, name="settings-save", methods=["POST"]),
]
