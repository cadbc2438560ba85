"""The API's word on who calls it."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.accounts.api_token import ApiCaller
from webapp.web.permissions import Permission
from webapp.web.routing import page
from webapp.web.times import for_programs


async def me(request: Request) -> Response:
    """Whose token this is, what it may do now, and how long it is good."""
    caller: ApiCaller = request.state.api_caller
    return JSONResponse(
        {
            "account": {"id": caller.actor.account_id, "name": caller.account_name},
            "member": caller.token.owner,
            "role": caller.role,
            "token": {
                "name": caller.token.name,
                "accessor": caller.token.accessor,
                "role": caller.token.role,
                "expires_at": for_programs(caller.token.expires_at),
            },
        }
    )


ROUTES = [page("/api/v1/me", me, needs=Permission.SEE, name="api-me")]
