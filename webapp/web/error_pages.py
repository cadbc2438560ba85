"""What was raised, as an answer: a page for people, a fragment for htmx, a problem document for programs."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Stale, TooLarge, TooMany, Unauthorised, Unavailable
from webapp.web.principal import principal_or_none
from webapp.web.problems import is_api, problem
from webapp.web.rendering import VARY, render
from webapp.web.sessions import load_principal

_STATUS: dict[type[AppError], tuple[int, str, str]] = {
    NotFound: (404, "not-found", "There is nothing here"),
    Forbidden: (403, "forbidden", "You may not do this"),
    Unauthorised: (401, "unauthorized", "Not signed in"),
    Conflict: (409, "conflict", "This is not possible as things are"),
    Stale: (412, "stale", "Somebody else changed this"),
    Invalid: (422, "invalid", "Something in the request is not right"),
    TooLarge: (413, "too-large", "That is too large"),
    TooMany: (429, "too-many-requests", "Too many tries"),
    Unavailable: (503, "unavailable", "Not possible just now"),
}

_BY_STATUS = {
    400: ("bad-request", "The request could not be understood"),
    404: ("not-found", "There is nothing here"),
    405: ("method-not-allowed", "That is not possible here"),
}


async def on_app_error(request: Request, error: Exception) -> Response:
    """Answer an error of `webapp.errors`."""
    if not isinstance(error, AppError):
        raise error
    status, code, title = next(
        (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), (500, "internal", "Something went wrong")
    )
    headers: dict[str, str] = {}
    if isinstance(error, (TooMany, Unavailable)):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, (Conflict, Unavailable)):
        code = error.code
    if isinstance(error, Unauthorised):
        if not is_api(request):
            return _to_login(request)
        headers["WWW-Authenticate"] = 'Bearer realm="registry-credentials"'
    if isinstance(error, Invalid) and is_api(request):
        return problem(request, status, code, title, str(error), more={"errors": error.errors})
    return error_answer(request, status, code, title, str(error), headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what Starlette raises: no such route, or a method that a route does not have."""
    if not isinstance(error, HTTPException):
        raise error
    if not is_api(request) and principal_or_none(request) is None:
        await load_principal(request)  # no route has: the page is still one of the member's own
    code, title = _BY_STATUS.get(error.status_code, ("failed", "That did not work"))
    detail = "There is no such address." if error.status_code == 404 else f"{title}: {error.detail}."
    return error_answer(request, error.status_code, code, title, detail, error.headers)


def error_answer(request: Request, status: int, code: str, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer in the form that the caller reads."""
    if is_api(request):
        return problem(request, status, code, title, detail, headers=headers)
    context = {"status": status, "title": title, "detail": detail}
    return render(request, "error.html", context, fragment="_error.html", status=status, headers=headers)


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        try:
            here = urlsplit(request.headers.get("hx-current-url", ""))
            back = here.path + (f"?{here.query}" if here.query else "")
        except ValueError:
            back = ""
        return Response(status_code=401, headers={"HX-Redirect": f"/login?next={quote(back or '/', safe='/')}", "Vary": VARY})
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = "/login" if request.method not in {"GET", "HEAD"} or back == "/" else f"/login?next={quote(back, safe='/')}"
    return RedirectResponse(target, status_code=303, headers={"Vary": VARY})
