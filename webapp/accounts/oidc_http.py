"""What goes to an OpenID Connect issuer, and what comes back: by Authlib over httpx2, within limits.

Imported when first needed, since that takes long.
No redirects, no proxy, nothing from the environment, nothing compressed, so that what is counted is what is read.
"""

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from webapp.oidc_settings import OidcSettings

# What these say of each step, headers included, is for who mends them.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

SECONDS = 10.0
"""For one question: the connection and the whole answer."""

MOST_BODY = 1024 * 1024
"""Bytes."""

_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)

SCOPE = "openid email"


class NotAnswered(Exception):
    """No answer came, or none that can be used; `why` is for the log, and holds nothing that the other side said."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class CodeRefused(Exception):
    """The token endpoint does not take the code; `code` is its error (RFC 6749, section 5.2), "" for one that is none."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _TooMuch(httpx2.TransportError):
    """The answer is longer than any would be."""


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for piece in self._stream:
            length += len(piece)
            if length > MOST_BODY:
                raise _TooMuch("the answer is too long")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Limited(httpx2.AsyncBaseTransport):
    def __init__(self, trust: ssl.SSLContext) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=trust, trust_env=False, http2=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", "identity") != "identity" or not isinstance(answer.stream, httpx2.AsyncByteStream):
            await answer.aclose()
            raise _TooMuch("the answer is compressed")
        answer.stream = _Counted(answer.stream)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


def authorization_url(oidc: OidcSettings, endpoint: str, **parameters: str) -> str:
    """Where a browser is sent to; `parameters` are `state`, `code_verifier`, which is not itself in it, and what else is asked for."""
    # Made by the client without a connection: it opens none.
    client = AsyncOAuth2Client(client_id=oidc.client_id, scope=SCOPE, code_challenge_method="S256", transport=httpx2.MockTransport(_nobody))
    url, _ = client.create_authorization_url(endpoint, **parameters)
    return str(url)


def _nobody(_: httpx2.Request) -> httpx2.Response:
    raise RuntimeError("nothing is asked to make an address")


async def fetch_document(trust: ssl.SSLContext, url: str, *, bearer: str = "") -> Mapping[str, Any]:
    """The JSON object at this address; `bearer` is an access token (RFC 6750, section 2.1). Raises NotAnswered."""
    headers = {"Accept": "application/json"}
    if bearer:
        if not _TOKEN.fullmatch(bearer):
            raise NotAnswered("its access token is none")
        headers["Authorization"] = f"Bearer {bearer}"
    async with httpx2.AsyncClient(transport=_Limited(trust), **_options()) as client:
        try:
            async with asyncio.timeout(SECONDS):
                answer = await client.get(url, headers=headers)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, OSError) as error:
            raise NotAnswered(_why(error)) from None
    if answer.status_code != 200:
        raise NotAnswered(f"it answers with status {answer.status_code}")
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotAnswered("its answer is no JSON object")
    return document


async def exchange_code(
    oidc: OidcSettings, trust: ssl.SSLContext, endpoint: str, auth_method: str, *, code: str, verifier: str, redirect_uri: str
) -> Mapping[str, Any]:
    """What the token endpoint gives for the code. Raises NotAnswered, CodeRefused."""
    async with AsyncOAuth2Client(
        client_id=oidc.client_id,
        client_secret=oidc.client_secret or None,
        token_endpoint_auth_method=auth_method,
        transport=_Limited(trust),
        **_options(),
    ) as client:
        client.register_client_auth_method(("client_secret_basic", _basic))
        try:
            async with asyncio.timeout(SECONDS):
                answer = await client.fetch_token(
                    endpoint, grant_type="authorization_code", code=code, code_verifier=verifier, redirect_uri=redirect_uri
                )
        except OAuthError as error:
            raise CodeRefused(error_code(error.error)) from None
        except httpx2.HTTPStatusError as error:
            raise NotAnswered(f"it answers with status {error.response.status_code}") from None
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, OSError) as error:
            raise NotAnswered(_why(error)) from None
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):  # Authlib's own, for what is no token
            raise NotAnswered("its answer is no token") from None
    return dict(answer)


def error_code(unverified: object) -> str:
    """An error of OAuth as it may be logged: its code, or "" for what is none."""
    known = isinstance(unverified, str) and len(unverified) <= 60 and unverified.replace("_", "").isalnum() and unverified.isascii()
    return str(unverified) if known else ""


def _options() -> dict[str, Any]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "registry-credentials"}
    return {"timeout": SECONDS, "follow_redirects": False, "trust_env": False, "headers": headers}


def _basic(client: Any, _method: str, uri: str, headers: Any, body: str) -> tuple[str, Any, str]:
    """As RFC 6749, section 2.3.1, has it: both parts are form-encoded first. Authlib's own leaves that out."""
    text = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(text.encode('ascii')).decode('ascii')}"
    return uri, headers, body


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return f"it did not answer within {SECONDS:g} s"
    if isinstance(error, _TooMuch):
        return f"its answer is compressed, or longer than {MOST_BODY // 1024} KiB"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not one to trust ({cause.verify_message}); WEBAPP_OIDC_CA_FILE names those that are"
        cause = cause.__cause__ or cause.__context__
    return f"it cannot be reached ({type(error).__name__})"
