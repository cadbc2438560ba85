"""What stands around every request: its id, the caller's address, the headers of every answer, the log line.

Outermost of our middleware, so that no answer, not even of an error nobody foresaw, leaves without them.
"""

import logging
import secrets
import time
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.settings import Settings
from webapp.web.error_pages import error_answer
from webapp.web.forms import MOST_BODY

_logger = logging.getLogger("webapp.request")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_TRANSPORT = "max-age=31536000; includeSubDomains"
_YEAR = "public, max-age=31536000, immutable"


class Answers:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, settings: Settings, most_body: Mapping[str, int]) -> None:
        self._app = app
        self._most_body = most_body  # by path, where it is not MOST_BODY
        self._settings = settings
        self._https = settings.public_url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["request_id"] = secrets.token_hex(8)
        state["address"] = client_address(scope, self._settings.trusted_proxies)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(scope, MutableHeaders(scope=message), state["request_id"], status)
            await send(message)

        try:
            length = Headers(scope=scope).get("content-length", "")
            most = self._most_body.get(scope["path"], MOST_BODY)
            if length.isdigit() and int(length) > most:
                detail = f"The request is larger than {most // 1024} KiB, so it was not read."
                await error_answer(_request(scope), 413, "too-large", "That is too large", detail, {"Connection": "close"})(
                    scope, receive, send_with_headers
                )
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception:
            _logger.exception("request %s failed", state["request_id"])
            if status:
                raise
            detail = (
                "This is a fault of the program and not of what you did. Nothing was saved."
                f" The log has it as request {state['request_id']}."
            )
            await error_answer(_request(scope), 500, "internal", "Something went wrong", detail)(scope, receive, send_with_headers)
        finally:
            took = (time.perf_counter() - started) * 1000
            _logger.info("%s %s %d %.1f ms %s", scope["method"], _loggable(scope["path"]), status, took, state["request_id"])

    def _complete(self, scope: Scope, headers: MutableHeaders, request_id: str, status: int) -> None:
        for name, value in _HEADERS.items():
            headers[name] = value
        if self._https:
            headers["Strict-Transport-Security"] = _TRANSPORT
        headers["X-Request-Id"] = request_id
        if scope["path"].startswith("/static/"):
            if status == 200:
                headers["Cache-Control"] = _YEAR if b"v=" in scope["query_string"] else "no-cache"
        else:
            headers["Cache-Control"] = "no-store"


def client_address(scope: Scope, trusted: tuple[IPv4Network | IPv6Network, ...]) -> str | None:
    """The caller's IP address: the peer's, or, behind trusted proxies, the last address that none of them is."""
    peer: str | None = scope["client"][0] if scope.get("client") else None
    if peer is None or not _is_in(peer, trusted):
        return peer
    # All lines of it: a proxy may add one of its own below the client's.
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    for candidate in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        try:
            address = str(ip_address(candidate))
        except ValueError:
            return peer
        if not _is_in(address, trusted):
            return address
    return peer


def _is_in(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _request(scope: Scope) -> Request:
    return Request(scope)


def _loggable(path: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in path[:200])
