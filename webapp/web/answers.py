"""What stands around every request: its id, the caller's address, the headers of every answer, the log line.

Outermost of our middleware, so that no answer, not even of an error nobody foresaw, leaves without them.
"""

import os
import random
import re
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.actor import Actor
from webapp.errors import AppError
from webapp.log import get_logger, log_request
from webapp.settings import Settings
from webapp.web.error_pages import error_answer, on_app_error
from webapp.web.forms import MOST_BODY

_logger = get_logger(__name__)

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
_YEAR = b"public, max-age=31536000, immutable"

_MOST_PROXIES = 32
"""Addresses of X-Forwarded-For that are looked at."""

Header = tuple[bytes, bytes]
Networks = tuple[IPv4Network | IPv6Network, ...]

_GOOD_ID = re.compile(rb"(?!.*rc_)[A-Za-z0-9._-]{8,64}").fullmatch
"""What may be an id that comes from outside; but nothing that could be one of our tokens, which the log would withhold."""


_chance = random.Random()  # noqa: S311  seeded by the system; an id of a request is no secret, and the system is slow to ask
os.register_at_fork(after_in_child=_chance.seed)  # or processes that were one would go on with the same numbers


def new_request_id() -> str:
    """What tells this request from all others: 16 hexadecimal digits."""
    return f"{_chance.getrandbits(64):016x}"


def request_id_of(scope: Scope, trusted: Networks) -> str:
    """The request's id: a new one, or the one that a trusted proxy says, so that its log and ours can be laid side by side."""
    if trusted:
        said = [value for name, value in scope["headers"] if name == b"x-request-id"]
        if len(said) == 1 and _GOOD_ID(said[0]) and _is_in(_address(scope["client"][0] if scope.get("client") else ""), trusted):
            return str(said[0].decode("ascii"))
    return new_request_id()


def always(settings: Settings) -> list[Header]:
    """The headers of every answer, as ASGI sends them, so that nothing is encoded or looked for each time."""
    https = settings.public_url.startswith("https://")
    headers = _HEADERS | ({"Strict-Transport-Security": _TRANSPORT} if https else {})
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class Answers:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, settings: Settings, most_body: Mapping[str, int], bare: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._bare = bare  # by path: applications that GET is answered by, past the router
        self._most_body = most_body  # by path, where it is not MOST_BODY
        self._trusted = settings.trusted_proxies
        self._always = always(settings)
        self._ours = frozenset(name for name, _ in self._always) | {b"x-request-id", b"cache-control"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = state.get("request_id") or request_id_of(scope, self._trusted)
        state["address"] = client_address(scope, self._trusted)
        _without_escapes(scope["headers"])
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._complete(scope, message.get("headers", ()), request_id, status)
            await send(message)

        try:
            if scope["method"] == "GET" and (app := self._bare.get(scope["path"])) is not None:
                await _serve_bare(app, scope, receive, send_with_headers)
                return
            most = self._most_body.get(scope["path"], MOST_BODY)
            if _declared_length(scope) > most:
                detail = f"The request is larger than {most // 1024} KiB, so it was not read."
                await error_answer(Request(scope), 413, "too-large", "That is too large", detail, {"Connection": "close"})(
                    scope, receive, send_with_headers
                )
            else:
                await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            _logger.info("a request was given up by its client before all of it was here", request_id=request_id)
        except Exception:
            _logger.exception("a request failed", request_id=request_id)
            if status:
                raise
            detail = "This is a fault of the program and not of what you did. Nothing was saved. The log has more about this request."
            await error_answer(Request(scope), 500, "internal", "Something went wrong", detail)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            log_request(scope["method"], scope["path"], status, seconds, request_id, state["address"], *_who(state))

    def _complete(self, scope: Scope, headers: Iterable[Header], request_id: str, status: int) -> list[Header]:
        kept = [header for header in headers if header[0] not in self._ours]
        if not scope["path"].startswith("/static/"):
            caching = b"no-store"
        elif status == 200 and b"v=" in scope["query_string"]:
            caching = _YEAR
        else:
            caching = b"no-cache"
        return [*kept, *self._always, (b"x-request-id", request_id.encode()), (b"cache-control", caching)]


def _who(state: Mapping[str, Any]) -> tuple[str, str]:
    """The kind and the accessor of who asked, as far as the routes have found it out."""
    if (member := state.get("principal")) is not None:
        return "member", member.session_accessor
    bearer: Actor | None = state.get("bearer")
    return ("", "") if bearer is None else (bearer.kind, bearer.accessor or "")


async def _serve_bare(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await app(scope, receive, send)
    except AppError as error:
        response = await on_app_error(Request(scope), error)
        await response(scope, receive, send)


def _without_escapes(headers: list[Header]) -> None:
    """Take the backslashes out of cookies. None of ours has any, and Python's reader of them takes the square of their number.

    CVE-2024-7592: 0.8 s for 20 kB, before anybody has signed in.
    """
    for number, (name, value) in enumerate(headers):
        if name == b"cookie" and b"\\" in value:
            headers[number] = name, value.replace(b"\\", b"")


def _declared_length(scope: Scope) -> int:
    """The body's length as the request declares it; 0 for none."""
    if scope["method"] == "GET":
        return 0
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else 0


def client_address(scope: Scope, trusted: Networks) -> str | None:
    """The caller's IP address: the peer's, or, behind trusted proxies, the last address that none of them is.

    What is no address, or comes after more proxies than anybody has, is nobody's word: then it is the peer's.
    """
    peer: str | None = scope["client"][0] if scope.get("client") else None
    if peer is None or not trusted or not _is_in(_address(peer), trusted):
        return peer
    # All lines of it: a proxy may add one of its own below the client's.
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    named = [part for part in forwarded.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:] if not part.isspace() and part]
    for candidate in reversed(named):
        address = _address(candidate)
        if address is None:
            return peer
        if not _is_in(address, trusted):
            return str(address)
    return peer


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in one part of X-Forwarded-For: some proxies add a port, some write an IPv4 address as an IPv6 one.

    An IPv6 zone (`%eth0`) means nothing on another machine, and Python takes any text for one: with it, it is no address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address):
        return parsed
    return None if parsed.scope_id else parsed.ipv4_mapped or parsed


def _is_in(address: IPv4Address | IPv6Address | None, networks: Networks) -> bool:
    return address is not None and any(address in network for network in networks)
