"""The agent API's tokens: `Authorization: Bearer …` (RFC 6750), and never a cookie."""

from dataclasses import replace

from starlette.requests import Request

from webapp.actor import Actor
from webapp.chain import Event
from webapp.errors import Unauthorised
from webapp.vault import Token, parse
from webapp.web.principal import address, request_id

_REFUSED = "The token is not valid here. Enrol the agent again, or ask for a new bootstrap token."


async def require_bearer(request: Request, kind: str) -> None:
    """Find whose token this is and keep it on the request as its actor.

    Raises Unauthorised, which says nothing about what is wrong with the token, or TooMany.
    """
    token = _unverified_token(request, kind)
    if token is None:
        request.app.state.denials.unknown(address(request))
        raise Unauthorised(_REFUSED)
    # The enrolment looks: an actor for a token that is known, with the reason when it is refused all the same.
    found: tuple[Actor, str | None] | None = await request.app.state.enrolment.find_bearer(token)
    if found is None:
        request.app.state.denials.unknown(address(request))
        raise Unauthorised(_REFUSED)
    bearer, refusal = found
    bearer = replace(bearer, address=address(request), request_id=request_id(request))
    if refusal is not None:
        await request.app.state.denials.known(
            bearer, Event("token.refuse", bearer.kind, bearer.id, bearer.label, decision="denied", detail=refusal)
        )
        raise Unauthorised(_REFUSED)
    request.state.bearer = bearer


def _unverified_token(request: Request, kind: str) -> Token | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return parse(text.strip(), kind) if scheme.lower() == "bearer" else None
