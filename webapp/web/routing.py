"""How a route comes to be: none is made without saying what it asks of its caller."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from webapp.chain import Event
from webapp.errors import Forbidden, Unauthorised
from webapp.web.bearer import require_api_token, require_bearer
from webapp.web.csrf import SAFE_METHODS, refuse_cross_site
from webapp.web.forms import MOST_BODY
from webapp.web.permissions import Permission, may, token_kind
from webapp.web.principal import actor
from webapp.web.problems import is_api
from webapp.web.sessions import load_principal

Endpoint = Callable[[Request], Awaitable[Response]]

_OF_MACHINES = (Permission.AGENT, Permission.BOOTSTRAP)
_ASKED_ONCE = (*_OF_MACHINES, Permission.PUBLIC, Permission.PROBE)


def page(
    path: str, endpoint: Endpoint, *, needs: Permission, name: str, methods: Sequence[str] = ("GET",), most_body: int | None = None
) -> Route:
    """A route whose permission is checked before its endpoint runs; `most_body` is its own limit in bytes, where it is not everybody's.

    The checks, in order: the token of an API route, or the cross-site rule, the session, the role; and once more when a member's body
    has been read, which they may let take a minute: somebody may have ended their session, or changed their role, meanwhile.
    Raises Unauthorised, Forbidden or TooMany to the error pages.
    """

    async def guarded(request: Request) -> Response:
        await permit(request, needs)
        if needs not in _ASKED_ONCE:
            request.state.permit_again = partial(permit, request, needs)
        return await endpoint(request)

    limit = None if SAFE_METHODS.issuperset(methods) else most_body or MOST_BODY
    route = Route(path, guarded, methods=list(methods), name=name, max_body_size=limit)
    if needs in _OF_MACHINES and route.methods is not None:
        route.methods.discard("HEAD")  # Starlette adds it to GET; a hand-over that nobody reads is none
    route.needs = needs  # type: ignore[attr-defined]  # read by the test that goes through every route
    route.most_body = most_body  # type: ignore[attr-defined]  # read by what stands around every request
    return route


def bare(path: str, app: ASGIApp, *, needs: Permission, name: str) -> Route:
    """A route to an ASGI application that asks of its caller itself what `needs` says: for the one that is asked most.

    `Answers` serves it by its path, past the router; the route is there for its name, its permission and every other method.
    """

    async def endpoint(request: Request) -> Response:
        raise HTTPException(405)

    route = Route(path, endpoint, methods=["GET"], name=name)
    route.needs = needs  # type: ignore[attr-defined]  # read by the test that goes through every route
    route.bare = app  # type: ignore[attr-defined]  # read by what stands around every request
    return route


async def permit(request: Request, needs: Permission) -> None:
    """Let the request pass, or raise why it may not."""
    if needs is Permission.PROBE:
        return
    kind = token_kind(needs, api=is_api(request))
    if kind == "p":
        await _require(request, needs, await require_api_token(request), "This token may do what a {role} may")
        return
    if kind is not None:
        await require_bearer(request, kind)
        return
    refuse_cross_site(request)
    member = await load_principal(request)
    if needs is Permission.PUBLIC:
        return
    if member is None:
        raise Unauthorised("Sign in to go on.")
    await _require(request, needs, member.role, "Your role is {role}")


async def _require(request: Request, needs: Permission, role: str, who: str) -> None:
    """Refuse a caller whose role is not enough, and write it down. Raises Forbidden."""
    if may(role, needs):
        return
    detail = f"a {role} may not {needs.value}"
    event = Event("request.refuse", "route", request.url.path, request.method, decision="denied", detail=detail)
    await request.app.state.denials.known(actor(request), event)
    enough = "an admin" if needs is Permission.ADMINISTER else "an editor or an admin"
    raise Forbidden(f"{who.format(role=role)}; this needs {enough}.")
