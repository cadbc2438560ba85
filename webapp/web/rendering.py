"""One URL, page or fragment: what htmx gets is the very template that the page includes."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from webapp.web import times
from webapp.web.assets import asset
from webapp.web.notices import NOTICES
from webapp.web.permissions import Permission
from webapp.web.places import place
from webapp.web.principal import principal_or_none, request_id
from webapp.web.sessions import clear_cookie, cookie_name, set_cookie

VARY = "HX-Request, HX-Boosted, HX-History-Restore-Request"

_SAFE = ":/%#?=@[]!$&'()*+,;"
"""What stays as it is in an address; a header holds nothing beyond Latin-1. The same as in Starlette's redirects."""


def _globals(request: Request) -> dict[str, Any]:
    member = principal_or_none(request)
    return {
        "principal": member,
        "can": lambda permission: member is not None and member.may(Permission[permission]),
        "notice": NOTICES.get(request.cookies.get(cookie_name(request.app.state.settings, "notice"), "")),
        "path": request.url.path,
        "request_id": request_id(request),
        "settings_public_url": request.app.state.settings.public_url,
        "now": request.app.state.clock(),
    }


def _templates() -> Jinja2Templates:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(place("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["static"] = asset
    environment.globals["htmx_url"] = asset("htmx-2.min.js")
    environment.filters["when"] = times.when
    environment.filters["ago"] = times.ago
    environment.filters["expires"] = times.expires
    environment.filters["left"] = times.left
    environment.filters["left_kind"] = times.left_kind
    return Jinja2Templates(env=environment, context_processors=[_globals])


_TEMPLATES = _templates()


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of a page, and not for a whole one."""
    headers = request.headers
    return "hx-request" in headers and "hx-boosted" not in headers and "hx-history-restore-request" not in headers


def render(
    request: Request,
    page: str,
    context: Mapping[str, Any] | None = None,
    *,
    fragment: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The page, or its fragment when htmx asks for one. A page shows, and ends, the notice."""
    whole = fragment is None or not wants_fragment(request)
    template = page if fragment is None or whole else fragment
    response = _TEMPLATES.TemplateResponse(
        request, template, dict(context or {}), status_code=status, headers={"Vary": VARY, **(headers or {})}
    )
    if whole and cookie_name(request.app.state.settings, "notice") in request.cookies:
        clear_cookie(response, request.app.state.settings, "notice")
    return response


def swapped(
    request: Request,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    target: str,
    swap: str = "outerHTML",
    events: Mapping[str, Any] | None = None,
    notice: str | None = None,
    status: int = 200,
) -> Response:
    """A fragment for another place of the page than the one that asked: `target` is a CSS selector.

    The target stands on the page at the request's own address. Whoever asks from elsewhere, such as the form's page
    without a dialog, is led there, where `notice` is shown. `events` are triggered in the page (`HX-Trigger`), such as
    `{"closeDialog": true}`.
    """
    if not _is_asked_from(request, request.url.path):
        return done(request, request.url.path, notice)
    headers = {"Vary": VARY, "HX-Retarget": target, "HX-Reswap": swap}
    if events:
        headers["HX-Trigger"] = json.dumps(events)
    return _TEMPLATES.TemplateResponse(request, template, dict(context or {}), status_code=status, headers=headers)


def _is_asked_from(request: Request, path: str) -> bool:
    """Whether the page that asks is the one at this path; htmx says which page it is on."""
    try:
        return urlsplit(request.headers.get("hx-current-url", path)).path == path
    except ValueError:
        return False


def done(request: Request, url: str, notice: str | None = None) -> Response:
    """After a POST that succeeded: see other (303), or `HX-Redirect` for htmx, with a notice by its code."""
    if "hx-request" in request.headers:
        response = Response(status_code=200, headers={"HX-Redirect": quote(url, safe=_SAFE), "Vary": VARY})
    else:
        response = RedirectResponse(url, status_code=303, headers={"Vary": VARY})
    if notice is not None:
        if notice not in NOTICES:
            raise RuntimeError(f"{notice} is no notice")
        set_cookie(response, request.app.state.settings, "notice", notice, max_age=60)
    return response
