"""The pages of the bootstrap tokens: create (shown once) and revoke."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.agents.bootstrap_token import LIFETIMES
from webapp.agents.bootstrap_tokens import BootstrapTokenRepository
from webapp.errors import Invalid
from webapp.nonce import new_nonce
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up


def _repository(request: Request) -> BootstrapTokenRepository:
    found: BootstrapTokenRepository = request.app.state.bootstrap_tokens
    return found


async def new(request: Request) -> Response:
    """The form for a bootstrap token."""
    return _form_page(request, {"description": "", "lifetime": "10m", "allow_reenrolment": False, "nonce": new_nonce()}, {})


async def create(request: Request) -> Response:
    """Make a bootstrap token and show it, once. Asks for the password again: it can obtain credentials."""
    form = await read_form(request)
    values = {
        "description": form.text("description"),
        "lifetime": form.text("lifetime") or "10m",
        "allow_reenrolment": bool(form.text("allow_reenrolment")),
        "nonce": form.text("form_nonce"),
    }
    errors = _errors(form)
    errors |= await confirm(request, form)
    if errors:
        return _form_page(request, values, errors, status=422)
    try:
        token, text = await _repository(request).create(
            actor(request),
            description=form.text("description"),
            lifetime=LIFETIMES[str(values["lifetime"])][1],
            allow_reenrolment=bool(values["allow_reenrolment"]),
            nonce=form.text("form_nonce"),
        )
    except Invalid as error:
        return _form_page(request, values, error.errors, status=422)
    # The one answer that holds the token: it is never stored, so that it cannot be shown again.
    shown = "" if text is None else text.reveal().decode("ascii")
    context = {"token": token, "text": shown, "server": request.app.state.settings.public_url}
    return render(request, "agents/bootstrap_created.html", context, fragment="agents/_bootstrap_created.html")


def _errors(form: Form) -> dict[str, str]:
    if form.text("lifetime") in ("", *LIFETIMES):
        return {}
    return {"lifetime": "Choose a lifetime of the list: " + ", ".join(words for words, _ in LIFETIMES.values()) + "."}


def _form_page(request: Request, values: dict[str, object], errors: dict[str, str], status: int = 200) -> Response:
    context = {"form": values, "errors": errors, "lifetimes": LIFETIMES, "step_up": step_up(request)}
    return render(request, "agents/bootstrap_new.html", context, fragment="agents/_bootstrap_form.html", status=status)


async def ask_revoke(request: Request) -> Response:
    """The confirmation before a bootstrap token is revoked."""
    token = await _repository(request).get(actor(request), request.path_params["id"])
    return render(request, "agents/bootstrap_revoke.html", {"token": token}, fragment="agents/_bootstrap_revoke.html")


async def revoke(request: Request) -> Response:
    """End a bootstrap token at once; the agents that it enrolled stay."""
    await _repository(request).revoke(actor(request), request.path_params["id"])
    return done(request, "/agents", "bootstrap-token-revoked")


ROUTES = [
    page("/agents/bootstrap-tokens/new", new, needs=Permission.EDIT, name="bootstrap-token-new"),
    page("/agents/bootstrap-tokens", create, needs=Permission.EDIT, name="bootstrap-token-create", methods=["POST"]),
    page("/agents/bootstrap-tokens/{id}/revoke", ask_revoke, needs=Permission.EDIT, name="bootstrap-token-ask-revoke"),
    page("/agents/bootstrap-tokens/{id}/revoke", revoke, needs=Permission.EDIT, name="bootstrap-token-revoke", methods=["POST"]),
]
