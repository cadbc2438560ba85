"""The cross-site rule: an unsafe request counts only when our own page sent it.

`Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/) is what browsers say of their own accord and
no page can forge. Where a browser sends none, `Origin` (RFC 6454) must be the public URL. Both absent:
refused. The agent API reads no cookie and is exempt.
"""

from starlette.requests import Request

from webapp.errors import Forbidden

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def refuse_cross_site(request: Request) -> None:
    """Raise Forbidden for an unsafe request that another site may have caused."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    allowed = site == "same-origin" if site is not None else request.headers.get("origin") == request.app.state.settings.public_url
    if not allowed:
        raise Forbidden(
            f"This request did not come from a page of {request.app.state.settings.public_url}, so it was refused."
            " Open that address and try again; if that is not where you reach this server, WEBAPP_PUBLIC_URL needs to say so."
        )
