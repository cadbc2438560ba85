"""Reading what a program sends: one JSON object (RFC 8259)."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from webapp.errors import Invalid


async def read_json(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Raises Invalid, which never quotes the body."""
    try:
        body = json.loads(await request.body())
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
