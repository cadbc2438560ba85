"""Is the process alive, and is it ready to serve."""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from webapp.database.space import LEAST_FREE, free_bytes
from webapp.errors import Unavailable
from webapp.web.permissions import Permission
from webapp.web.routing import page


async def livez(request: Request) -> Response:
    """200 while the process answers at all."""
    return PlainTextResponse("alive\n")


async def readyz(request: Request) -> Response:
    """200 when the store can be read, and there is room to write the audit log; 503 otherwise."""
    try:
        await request.app.state.database.fetch_one("SELECT id FROM installation")
        free = await asyncio.to_thread(free_bytes, request.app.state.settings.database_url)
    except (Unavailable, OSError):
        return PlainTextResponse("the store cannot be read\n", status_code=503)
    if free is not None and free < LEAST_FREE:
        return PlainTextResponse(f"the disk is nearly full: {free:,} bytes are free, and {LEAST_FREE:,} are needed\n", status_code=503)
    return PlainTextResponse("ready\n")


ROUTES = [
    page("/livez", livez, needs=Permission.PROBE, name="livez"),
    page("/readyz", readyz, needs=Permission.PROBE, name="readyz"),
]
