"""Settings → Sessions: where a member is signed in, and how that ends."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.sessions import Sessions
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import clear_session_cookie

_LIST = "/settings/sessions"


def _sessions(request: Request) -> Sessions:
    found: Sessions = request.app.state.sessions
    return found


async def list_sessions(request: Request) -> Response:
    """The member's own sessions that have not ended, the one that asks first."""
    mine = principal(request).session_accessor
    live = sorted(await _sessions(request).live(actor(request)), key=lambda session: session.accessor != mine)
    context = {"sessions": live, "mine": mine}
    return render(request, "accounts/sessions.html", context)


async def ask_end(request: Request) -> Response:
    """The confirmation before one of them is ended."""
    session = await _sessions(request).get_live(actor(request), request.path_params["accessor"])
    context = {"session": session, "mine": principal(request).session_accessor}
    return render(request, "accounts/session_end.html", context, fragment="accounts/_session_end.html")


async def end(request: Request) -> Response:
    """End one at once; one's own is signed out of."""
    accessor = request.path_params["accessor"]
    if accessor == principal(request).session_accessor:
        await _sessions(request).end(actor(request))
        response = done(request, "/login", "signed-out")
        clear_session_cookie(response, request.app.state.settings)
        return response
    await _sessions(request).end_one(actor(request), accessor)
    return done(request, _LIST, "session-ended")


async def ask_end_others(request: Request) -> Response:
    """The confirmation before all others are ended."""
    others = len(await _sessions(request).live(actor(request))) - 1
    return render(request, "accounts/sessions_end.html", {"others": others}, fragment="accounts/_sessions_end.html")


async def end_others(request: Request) -> Response:
    """End all sessions of the member's at once, but the one that asks."""
    await _sessions(request).end_others(actor(request))
    return done(request, _LIST, "other-sessions-ended")


ROUTES = [
    page(_LIST, list_sessions, needs=Permission.SEE, name="sessions"),
    page(f"{_LIST}/end-others", ask_end_others, needs=Permission.SEE, name="sessions-ask-end-others"),
    page(f"{_LIST}/end-others", end_others, needs=Permission.SEE, name="sessions-end-others", methods=["POST"]),
    page(f"{_LIST}/{{accessor}}/end", ask_end, needs=Permission.SEE, name="session-ask-end"),
    page(f"{_LIST}/{{accessor}}/end", end, needs=Permission.SEE, name="session-end", methods=["POST"]),
]
