"""Answers to programs: a page of a list, and what was just made."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp.records import Page, Wanted
from webapp.web.addresses import list_context

T = TypeVar("T")


def listed(
    request: Request,
    name: str,
    wanted: Wanted,
    page: Page[T],
    shown: Callable[[T], Mapping[str, Any]],
    filters: Mapping[str, str] | None = None,
) -> Response:
    """A page of a list under its `name`, with the address of the `next` one, null on the last."""
    following = list_context(request.url.path, wanted, page, filters)["next_url"]
    return JSONResponse({name: [shown(record) for record in page.records], "next": following or None})


def made(request: Request, shown: Mapping[str, Any], *, new: bool) -> Response:
    """What a POST to a list has made: 201 with its address, or 200 for what an earlier one with the same Idempotency-Key made."""
    return JSONResponse(dict(shown), status_code=201 if new else 200, headers={"Location": f"{request.url.path}/{shown['id']}"})
