"""Settings → API tokens: create (shown once), list and revoke; a member's own, for an admin everybody's."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.api_token import LIFETIMES, USUAL
from webapp.accounts.api_tokens import ApiTokenRepository
from webapp.errors import Invalid
from webapp.names import Name, parse_name
from webapp.nonce import new_nonce
from webapp.roles import MEANINGS, ROLES, Role, is_at_most, role_of
from webapp.web.addresses import list_context, wanted_page
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up

_LIST = "/settings/api-tokens"

LABELS = {"name": "Name", "role": "Role", "lifetime": "Expires after", "current_password": "Your password"}
"""The fields in the page's words, for the error summary."""


@dataclass(frozen=True, slots=True)
class ApiTokenForm:
    """What was typed, to be shown again."""

    name: str = ""
    role: str = "viewer"
    lifetime: str = USUAL

    @classmethod
    def read(cls, form: Form) -> "ApiTokenForm":
        """What was typed, as it was typed; what was left out is as the form begins."""
        return cls(form.text("name"), form.text("role") or "viewer", form.text("lifetime") or USUAL)

    def parse(self) -> tuple[tuple[Name, Role] | None, dict[str, str]]:
        """The name and the role, or None and what is wrong by field. What the member may, only the repository knows."""
        errors: dict[str, str] = {}
        name, role = Name("", ""), role_of(self.role)
        try:
            name = parse_name(self.name)
        except ValueError as error:
            errors["name"] = str(error)
        if role is None:
            errors["role"] = f"Choose a role of the list: {', '.join(ROLES)}."
        if self.lifetime not in LIFETIMES:
            errors["lifetime"] = "Choose a lifetime of the list: " + ", ".join(words for words, _ in LIFETIMES.values()) + "."
        return (None, errors) if errors or role is None else ((name, role), {})


def _repository(request: Request) -> ApiTokenRepository:
    found: ApiTokenRepository = request.app.state.api_tokens
    return found


def _whose(request: Request) -> str | None:
    """Whose tokens the member sees and revokes: their own, for an admin everybody's (None)."""
    member = principal(request)
    return None if member.may(Permission.ADMINISTER) else member.member_id


async def list_tokens(request: Request) -> Response:
    """The active tokens, or those that have ended."""
    ended, wanted = request.query_params.get("show") == "ended", wanted_page(request)
    found = await _repository(request).page(actor(request), wanted, member_id=_whose(request), ended=ended)
    context = list_context(_LIST, wanted, found, {"show": "ended" if ended else ""}) | {
        "ended": ended,
        "everybody": _whose(request) is None,
    }
    return render(request, "accounts/api_tokens.html", context, fragment="accounts/_api_tokens.html")


async def new(request: Request) -> Response:
    """The form for a token."""
    return _form_page(request, ApiTokenForm(), {}, new_nonce())


async def create(request: Request) -> Response:
    """Make a token and show it, once. Asks again who somebody is: it acts as they do for months."""
    form = await read_form(request)
    typed, nonce = ApiTokenForm.read(form), form.text("form_nonce")
    parsed, errors = typed.parse()
    errors |= await confirm(request, form)
    if parsed is None or errors:
        return _form_page(request, typed, errors, nonce, status=422)
    name, role = parsed
    try:
        token, text = await _repository(request).create(actor(request), name=name, role=role, lifetime=typed.lifetime, nonce=nonce)
    except Invalid as error:
        return _form_page(request, typed, error.errors, nonce, status=422)
    # The one answer that holds the token: it is never stored, so that it cannot be shown again.
    shown = "" if text is None else text.reveal().decode("ascii")
    context = {"token": token, "text": shown, "server": request.app.state.settings.public_url}
    headers = {"HX-Trigger": "api-token-created"}
    return render(request, "accounts/api_token_created.html", context, fragment="accounts/_api_token_created.html", headers=headers)


async def ask_revoke(request: Request) -> Response:
    """The confirmation before a token is revoked."""
    token = await _repository(request).get(actor(request), request.path_params["id"], member_id=_whose(request))
    return render(request, "accounts/api_token_revoke.html", {"token": token}, fragment="accounts/_api_token_revoke.html")


async def revoke(request: Request) -> Response:
    """End a token at once."""
    await _repository(request).revoke(actor(request), request.path_params["id"], member_id=_whose(request))
    return done(request, _LIST, "api-token-revoked")


def _form_page(request: Request, typed: ApiTokenForm, errors: dict[str, str], nonce: str, status: int = 200) -> Response:
    role = role_of(principal(request).role)
    roles = [(each, f"{each}: {MEANINGS[each]}") for each in ROLES if role is not None and is_at_most(each, role)]
    context = {
        "form": typed,
        "errors": errors,
        "labels": LABELS,
        "roles": roles,
        "lifetimes": [(code, words) for code, (words, _) in LIFETIMES.items()],
        "nonce": nonce,
        "step_up": step_up(request),
    }
    return render(request, "accounts/api_token_new.html", context, fragment="accounts/_api_token_form.html", status=status)


ROUTES = [
    page(_LIST, list_tokens, needs=Permission.SEE, name="api-tokens"),
    page(_LIST, create, needs=Permission.SEE, name="api-token-create", methods=["POST"]),
    page(f"{_LIST}/new", new, needs=Permission.SEE, name="api-token-new"),
    page(f"{_LIST}/{{id}}/revoke", ask_revoke, needs=Permission.SEE, name="api-token-ask-revoke"),
    page(f"{_LIST}/{{id}}/revoke", revoke, needs=Permission.SEE, name="api-token-revoke", methods=["POST"]),
]
