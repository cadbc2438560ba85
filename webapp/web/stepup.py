"""Asking for the password again before an act that hands out keys."""

from starlette.requests import Request

from webapp.clock import MINUTE
from webapp.web.forms import Form
from webapp.web.principal import actor, principal

FRESH = 5 * MINUTE


def is_fresh(request: Request) -> bool:
    """Whether the password was entered in the last five minutes, so that it need not be asked for."""
    age: int = request.app.state.clock() - principal(request).password_at
    return age <= FRESH


async def confirm(request: Request, form: Form) -> dict[str, str]:
    """What is wrong with the confirmation, by field; empty when it is fresh or the right password was given.

    Raises TooMany when it was guessed too often.
    """
    if is_fresh(request):
        return {}
    password = form.secret("current_password")
    if password is None:
        return {"current_password": "Enter your password: this hands out keys, and you entered it more than 5 minutes ago."}
    if await request.app.state.accounts.confirm_password(actor(request), password):
        return {}
    return {"current_password": "That is not your password. Enter the one you sign in with."}
