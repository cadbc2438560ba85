"""Signing in with a passkey, and showing again with one who somebody is. The script of the pages speaks JSON here.

What it is answered besides is as htmx is: a fragment with the sentence, and `HX-Redirect` to go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.authenticator import REFUSED, request_options, signed
from webapp.accounts.ceremony import LIFETIME_SECONDS, Ceremony, Kind, begin_ceremony, ceremony_of, ceremony_text
from webapp.accounts.member import Member
from webapp.accounts.passkey import why_none
from webapp.accounts.passkeys import PasskeyRepository, ShownPasskey, WentBack
from webapp.accounts.session import SignedIn
from webapp.accounts.sign_in_routes import browser_of, signing_in, with_cookies
from webapp.accounts.signing_in import Within
from webapp.errors import Conflict, Invalid
from webapp.web.json_body import read_json, text_of
from webapp.web.permissions import Permission
from webapp.web.principal import actor, address, nobody, principal_or_none
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import HOME, cookie_name, local_path, set_cookie

BEGIN_AGAIN = "That was begun too long ago, in another tab, or before you signed in. Begin again."

_COOKIE = "ceremony-passkey"

_Done = TypeVar("_Done")


def passkeys(request: Request) -> PasskeyRepository:
    """Where the passkeys are."""
    found: PasskeyRepository = request.app.state.passkeys
    return found


def refuse_where_none(request: Request) -> None:
    """Raise Conflict where there can be no passkeys, with the reason."""
    reason = why_none(request.app.state.settings)
    if reason:
        raise Conflict(reason, "no-passkeys")


def begun(request: Request, kind: Kind, facts: Mapping[str, str] | None = None) -> Ceremony:
    """A ceremony of this kind, begun in the session of who asks, if there is one."""
    return begin_ceremony(kind, request.app.state.clock(), accessor=_accessor(request, kind), facts=facts)


def asked(request: Request, ceremony: Ceremony, options: str) -> Response:
    """The answer with what the browser is to ask the authenticator, and the cookie that knows of it."""
    response = Response(options, media_type="application/json")
    text = ceremony_text(request.app.state.vault, ceremony).reveal().decode("ascii")
    set_cookie(response, request.app.state.settings, _COOKIE, text, max_age=LIFETIME_SECONDS)
    return response


def ended(request: Request, kind: Kind) -> Ceremony:
    """The ceremony of this kind that this browser, and this session, began. Raises Invalid when there is none."""
    state = request.app.state
    text = request.cookies.get(cookie_name(state.settings, _COOKIE), "")
    found = ceremony_of(state.vault, text, kind, state.clock(), accessor=_accessor(request, kind))
    if found is None:
        raise Invalid({"": BEGIN_AGAIN})
    return found


async def login_options(request: Request) -> Response:
    """What the browser is to sign, of whichever passkey the person chooses. Nothing is stored for it."""
    refuse_where_none(request)
    ceremony = begun(request, "passkey-sign-in")
    return asked(request, ceremony, await asyncio.to_thread(request_options, request.app.state.settings, ceremony.challenge))


async def login(request: Request) -> Response:
    """Sign a member in with a passkey, and lead on to the page that asked for it."""
    refuse_where_none(request)
    body = await read_json(request)

    async def begin(shown: ShownPasskey, within: Within) -> SignedIn:
        detail = f"with the passkey {shown.name}"
        return await signing_in(request).begin(nobody(request), shown.member, browser_of(request), "passkey", detail, within=within)

    signed_in = await _with_passkey(request, "passkey-sign-in", body, begin)
    there = body.get("next")
    return with_cookies(request, done(request, (local_path(there) if isinstance(there, str) else None) or HOME), signed_in)


async def confirm_options(request: Request) -> Response:
    """What the browser is to sign to show again who this is, with one of the member's own passkeys."""
    refuse_where_none(request)
    ceremony = begun(request, "passkey-confirm")
    own = await passkeys(request).of_member(actor(request))
    if not own:
        raise Conflict("You have no passkey. Confirm in another way.", "no-passkeys")
    return asked(request, ceremony, await asyncio.to_thread(request_options, request.app.state.settings, ceremony.challenge, own))


async def confirm(request: Request) -> Response:
    """Remember that the member has shown again who they are; the page then shows the fragment instead of the question."""
    refuse_where_none(request)
    body = await read_json(request)

    async def confirmed(shown: ShownPasskey, within: Within) -> None:
        await signing_in(request).confirmed(actor(request), f"with the passkey {shown.name}", within=within)

    await _with_passkey(request, "passkey-confirm", body, confirmed)
    return render(request, "accounts/_confirmed.html")


async def _with_passkey(
    request: Request, kind: Kind, body: Mapping[str, object], act: Callable[[ShownPasskey, Within], Awaitable[_Done]]
) -> _Done:
    """Do what the passkey was shown for, if it holds.

    Raises Invalid, and TooMany for an address from which too much is shown that does not hold: no account is slowed down by it.
    """
    state = request.app.state
    ceremony = ended(request, kind)
    shown = await passkeys(request).shown(text_of(body, "id"))
    who, action = (actor(request), "member.confirm") if kind == "passkey-confirm" else (nobody(request), "member.sign_in")
    if shown is None or (kind == "passkey-confirm" and shown.member.id != who.id):
        state.denials.unknown(address(request))
        if kind == "passkey-confirm":  # somebody is signed in as this member, and has another one's, or none
            me = Member(who.id, who.account_id, who.label, "viewer")
            await passkeys(request).record_refusal(who, action, me, "the passkey that was shown is none of theirs")
        raise Invalid({"": REFUSED})
    try:
        assertion = await asyncio.to_thread(
            signed, state.settings, ceremony.challenge, body, public_key=shown.public_key, member_id=shown.member.id
        )
    except Invalid:
        state.denials.unknown(address(request))
        await passkeys(request).record_refusal(who, action, shown.member, "what its passkey answered does not hold")
        raise
    try:
        return await act(shown, passkeys(request).spending(shown, assertion, ceremony.challenge))
    except WentBack:
        detail = f"the count of the passkey {shown.name} went back: there may be a copy"
        await passkeys(request).record_refusal(who, action, shown.member, detail)
        raise


def _accessor(request: Request, kind: Kind) -> str:
    """The session that a ceremony is bound to. Signing in is to none: what the browser is signed in with ends anyway."""
    member = principal_or_none(request)
    return "" if kind == "passkey-sign-in" or member is None else member.session_accessor


ROUTES = [
    page("/login/passkey/options", login_options, needs=Permission.PUBLIC, name="passkey-login-begin", methods=["POST"]),
    page("/login/passkey", login, needs=Permission.PUBLIC, name="passkey-login", methods=["POST"]),
    page("/settings/sign-in/confirm/options", confirm_options, needs=Permission.SEE, name="passkey-confirm-begin", methods=["POST"]),
    page("/settings/sign-in/confirm", confirm, needs=Permission.SEE, name="passkey-confirm", methods=["POST"]),
]
