"""The physical limit of the stack: a Starlette route that answers the same document, and does nothing else."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.furnish import VALUE

DOCUMENT = {
    "image": {"name": "image-0000001", "reference": "r1.example.com/acme/ubuntu-1:24.04"},
    "registry_auth": {"registry": "r1.example.com", "username": "acme-bot", "password": VALUE, "expires_at": None},
    "user_data": None,
    "provision_id": "0" * 32,
}


async def answer(request: Request) -> JSONResponse:
    """The same document, always."""
    return JSONResponse(DOCUMENT)


app = Starlette(routes=[Route("/api/v1/provision", answer)])
