"""The session's cookie, and who it stands for."""

from starlette.requests import Request
from starlette.responses import Response

from webapp.settings import Settings
from webapp.web.principal import Principal

ABSOLUTE_SECONDS = 12 * 3600

HOME = "/registry-credentials"
"""The list that people come for."""


def is_https(settings: Settings) -> bool:
    """Whether people reach this server over TLS; the public URL says so, never the request."""
    return settings.public_url.startswith("https://")


def cookie_name(settings: Settings, name: str) -> str:
    """The cookie's name: with `__Host-` over TLS (RFC 6265bis, section 4.1.3.2), plain on loopback."""
    return f"__Host-{name}" if is_https(settings) else name


def set_cookie(response: Response, settings: Settings, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set a cookie that no script reads and no other site sends with an unsafe request."""
    response.set_cookie(
        cookie_name(settings, name), value, max_age=max_age, path="/", secure=is_https(settings), httponly=True, samesite="lax"
    )


def clear_cookie(response: Response, settings: Settings, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(cookie_name(settings, name), path="/", secure=is_https(settings), httponly=True, samesite="lax")


def set_session_cookie(response: Response, settings: Settings, text: str) -> None:
    """Give the browser its session; it ends with the browser, or after 12 hours in the database."""
    set_cookie(response, settings, "session", text, max_age=ABSOLUTE_SECONDS)


def clear_session_cookie(response: Response, settings: Settings) -> None:
    """Take the session back from the browser."""
    clear_cookie(response, settings, "session")


def session_cookie(request: Request) -> str:
    """The session cookie's text, unverified; empty when there is none."""
    return request.cookies.get(cookie_name(request.app.state.settings, "session"), "")


async def load_principal(request: Request) -> Principal | None:
    """Find the member whose session this is, and keep it on the request. Polling is no activity."""
    text = session_cookie(request)
    request.state.principal = None
    if text:
        facts = await request.app.state.sessions.find(text, touch="x-polling" not in request.headers)
        if facts is not None:
            request.state.principal = Principal(
                member_id=facts.member_id,
                email=facts.email,
                role=facts.role,
                account_id=facts.account_id,
                account_name=facts.account_name,
                session_accessor=facts.accessor,
                password_at=facts.password_at,
                has_password=facts.has_password,
                has_passkey=facts.has_passkey,
                has_identity=facts.has_identity,
            )
    found: Principal | None = request.state.principal
    return found


def local_path(text: str) -> str | None:
    """A path of ours to go on to after sign-in, or None for anything else (another site, a scheme, a trick)."""
    is_path = text.startswith("/") and not text.startswith("//")  # so there is neither scheme nor host in it (RFC 3986, section 4.2)
    return text if is_path and "\\" not in text and not any(ord(c) <= 32 or ord(c) == 127 for c in text) else None
