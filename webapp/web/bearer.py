"""The API's tokens: `Authorization: Bearer …` (RFC 6750), and never a cookie."""

from dataclasses import replace
from typing import NoReturn

from starlette.requests import Request
from starlette.types import Scope

from webapp.actor import Actor
from webapp.chain import Event
from webapp.errors import Unauthorised
from webapp.vault import Token, parse
from webapp.web.denials import Denials
from webapp.web.principal import address, request_id

_REFUSED = "The token is not valid here. Enrol the agent again, or ask for a new bootstrap token."
_REFUSED_OF_MEMBER = "The token is not valid here. Make a new one in Settings, API tokens, and send it as Authorization: Bearer."


_Found = tuple[Actor, str | None] | None
"""An actor for a token that is known, with the reason when it is refused all the same."""


async def require_bearer(request: Request, kind: str) -> None:
    """Find whose token this is and keep it on the request as its actor.

    Raises Unauthorised, which says nothing about what is wrong with the token, or TooMany.
    """
    denials: Denials = request.app.state.denials
    token = unverified_token(request.scope, kind)
    if token is None:
        refuse_unknown(denials, address(request))
    # The enrolment looks: an actor for a token that is known, with the reason when it is refused all the same.
    found: _Found = await request.app.state.enrolment.find_bearer(token)
    if found is None:
        refuse_unknown(denials, address(request))
    bearer, refusal = found
    bearer = replace(bearer, address=address(request), request_id=request_id(request))
    if refusal is not None:
        await refuse_known(denials, bearer, refusal)
    request.state.bearer = bearer


async def require_api_token(request: Request) -> str:
    """The same for the API token of a member, which is kept as `api_caller`, too; returns the role that it acts with.

    Raises as `require_bearer`.
    """
    denials: Denials = request.app.state.denials
    token = unverified_token(request.scope, "p")
    found = None if token is None else await request.app.state.api_tokens.find_bearer(token)
    if found is None:
        refuse_unknown(denials, address(request), _REFUSED_OF_MEMBER)
    caller, refusal = found
    bearer: Actor = replace(caller.actor, address=address(request), request_id=request_id(request))
    if refusal is not None:
        await refuse_known(denials, bearer, refusal, _REFUSED_OF_MEMBER)
    request.state.bearer, request.state.api_caller = bearer, caller
    role: str = caller.role
    return role


def unverified_token(scope: Scope, kind: str) -> Token | None:
    """The token in the request's `Authorization`, which nobody has looked up yet; None when there is none of this kind."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, text = value.decode("latin-1").partition(" ")
            return parse(text.strip(), kind) if scheme.lower() == "bearer" else None
    return None


def refuse_unknown(denials: Denials, caller: str | None, sentence: str = _REFUSED) -> NoReturn:
    """Refuse a token that nobody has. Raises Unauthorised, or TooMany."""
    denials.unknown(caller)
    raise Unauthorised(sentence)


async def refuse_known(denials: Denials, bearer: Actor, reason: str, sentence: str = _REFUSED) -> NoReturn:
    """Refuse a token that is known, and write down why. Raises Unauthorised, which does not say it."""
    await denials.known(bearer, Event("token.refuse", bearer.kind, bearer.id, bearer.label, decision="denied", detail=reason))
    raise Unauthorised(sentence)
