"""Is the process alive, and is it ready to serve."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from webapp.errors import Unavailable
from webapp.web.permissions import Permission
from webapp.web.routing import page


async def livez(request: Request) -> Response:
    """200 while the process answers at all."""
    return PlainTextResponse("alive\n")


async def readyz(request: Request) -> Response:
    """200 when the store can be read; 503 otherwise."""
    try:
        await request.app.state.database.fetch_one("SELECT id FROM installation")
    except Unavailable:
        return PlainTextResponse("the store cannot be read\n", status_code=503)
    return PlainTextResponse("ready\n")


ROUTES = [
    page("/livez", livez, needs=Permission.PROBE, name="livez"),
    page("/readyz", readyz, needs=Permission.PROBE, name="readyz"),
]
