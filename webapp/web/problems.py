"""Errors for programs: problem documents (RFC 9457)."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp.web.principal import request_id

API_PREFIX = "/api/"


def problem(
    request: Request,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem document. `code` is the last part of its `type`; `detail` a sentence without secrets; `more` are further members of it."""
    document = {
        "type": f"{request.app.state.settings.public_url}/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id(request),
        **(more or {}),
    }
    return Response(json.dumps(document), status_code=status, media_type="application/problem+json", headers=dict(headers or {}))


def is_api(request: Request) -> bool:
    """Whether a program asks, so that errors are problem documents."""
    return request.url.path.startswith(API_PREFIX)
