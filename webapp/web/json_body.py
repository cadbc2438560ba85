"""Reading what a program sends: one JSON object (RFC 8259)."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import Request

from webapp.errors import Invalid, TooLarge
from webapp.web.forms import MOST_BODY


async def read_json(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Raises TooLarge beyond the route's limit, and Invalid, which never quotes the body."""
    try:
        read = await request.body()
    except HTTPException as error:
        if error.status_code != 413:
            raise
        limit = request.scope.get(MAX_BODY_SIZE_SCOPE_KEY, MOST_BODY) // 1024
        raise TooLarge(f"The request is beyond the limit of {limit} KiB, so it was not read.") from None
    try:
        body = json.loads(read)
    except (ValueError, RecursionError):
        raise Invalid({"": "The body is not JSON. Send one JSON object in UTF-8."}) from None
    if not isinstance(body, dict):
        raise Invalid({"": "The body is JSON but no object. Send one JSON object."})
    return body


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A member of the object that has to be a string. Raises Invalid."""
    value = body.get(name)
    if not isinstance(value, str):
        raise Invalid({name: f"{name}: {'missing' if value is None else 'not a string'}. Send a string."})
    return value
