"""Asking again who somebody is before an act that decides who gets keys: members, tokens, passkeys, and what agents are handed."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from webapp.clock import MINUTE
from webapp.web.forms import Form, permit_again
from webapp.web.principal import Principal, actor, principal
from webapp.web.sessions import HOME, local_path

FRESH = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class StepUp:
    """Whether a form has to ask again, and the ways in which this member can answer.

    `provider` is the name of the issuer that the member signs in with; empty for none. `back` is the page to come back to from there.
    """

    needed: bool
    password: bool
    passkey: bool
    provider: str = ""
    back: str = ""


def is_fresh(member: Principal, now: int) -> bool:
    """Whether the member has shown who they are in the last five minutes; `now` in Unix milliseconds."""
    return now - member.password_at <= FRESH


def step_up(request: Request, *, needed: bool = True) -> StepUp:
    """How the form of this request asks again; not at all for an act that is not `needed` to be asked for."""
    member = principal(request)
    asks = needed and not is_fresh(member, request.app.state.clock())
    settings = request.app.state.settings
    provider = settings.oidc.name if settings.oidc is not None and member.has_identity else ""
    passkey = member.has_passkey and settings.passkey_domain is not None
    return StepUp(asks, member.has_password, passkey, provider, _back(request) if asks and provider else "")


def _back(request: Request) -> str:
    """The page with the form: the address itself, or, where a form was just sent to it, the one that it was sent from."""
    if request.method == "GET":
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    try:
        sent_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return HOME
    return local_path(sent_from.path + (f"?{sent_from.query}" if sent_from.query else "")) or HOME


async def confirm(request: Request, form: Form) -> dict[str, str]:
    """What is wrong with the confirmation, by field; empty when it is fresh or the right password was given.

    The field `confirmation` stands for the ways without a password, which are gone before the form is sent. Raises TooMany when the
    password was guessed too often.
    """
    ways = step_up(request)
    if not ways.needed:
        return {}
    password = form.secret("current_password") if ways.password else None
    if password is None:
        field, sentence = _asked(ways)
        return {field: f"{sentence}: this decides who gets keys, and you last showed that it is you more than 5 minutes ago."}
    if await request.app.state.signing_in.confirm_password(actor(request), password):
        await permit_again(request)  # verifying takes its time, too
        return {}
    return {"current_password": "That is not your password. Enter the one you sign in with."}


def _asked(ways: StepUp) -> tuple[str, str]:
    """Which field the member is to look at, and what is asked of them there."""
    others = [*(["with a passkey"] if ways.passkey else []), *([f"with {ways.provider}"] if ways.provider else [])]
    if ways.password:
        return "current_password", f"Enter your password{', or confirm ' if others else ''}{' or '.join(others)}"
    if others:
        return "confirmation", f"Confirm {' or '.join(others)}"
    return "confirmation", "Sign out and in again, then come back"
