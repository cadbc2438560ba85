"""Access tokens of Google: minted at Google's token endpoint for a service account key, by the JWT grant (RFC 7523).

A key file says in `token_uri` where its tokens come from. That is never asked: whoever may store a credential could have this server ask
whatever they like. google-auth makes the question, and it goes out by our own dialer, which knows no proxy and follows nobody.
"""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import google.auth.exceptions
from google.auth import transport
from google.auth.crypt import RSASigner
from google.oauth2 import service_account

from webapp.clock import DAY, SECOND, Clock
from webapp.credentials.minting import NotMinted, Source, Token
from webapp.registry.dialer import SECONDS, Dialer, NotReached
from webapp.registry.kinds import Kind
from webapp.vault import Secret

GOOGLE = "https://oauth2.googleapis.com"
PATH = "/token"

SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only", "https://www.googleapis.com/auth/cloud-platform.read-only")
"""What a token is for. The first is what Google's registries ask of a token for a pull
(https://cloud.google.com/container-registry/docs/advanced-authentication, "Using an access token"), the second what it is with all of
Google's APIs. Both only read: a machine that pulls could otherwise do with the token all that the account may."""

_LONGEST = 16 * 1024
_LONGEST_LIFE = DAY // SECOND
_AT_ONCE = 4

_PATIENCE = 2 * SECONDS
"""Seconds that a thread waits for the event loop, which answers in half of them, but for one that has stopped: Python ends no earlier than
its threads."""

# RFC 6749, section 5.2, and what Google says besides.
_WRONG = frozenset({"invalid_grant", "invalid_client"})
_REFUSED = frozenset({"unauthorized_client", "access_denied", "invalid_scope", "org_internal", "admin_policy_enforced", "disabled_client"})


@dataclass(frozen=True, slots=True)
class GoogleTokens:
    """How this installation asks Google. `origin` is the operator's, or Google's own."""

    dialer: Dialer
    clock: Clock
    origin: str = GOOGLE

    async def mint(self, source: Source, value: Secret) -> Token:
        """A token for the service account whose key this is. Raises NotMinted."""
        del source  # whatever it is for, it is Google that is asked
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_threads(), partial(self._ask, value, loop))

    def _ask(self, value: Secret, loop: asyncio.AbstractEventLoop) -> Token:
        """What runs in a thread: google-auth knows no event loop."""
        credentials = _credentials(value, self.origin + PATH)
        asked_at, ask = self.clock(), _Request(self.dialer, loop)
        try:
            credentials.refresh(ask)  # type: ignore[no-untyped-call]
        except (google.auth.exceptions.GoogleAuthError, LookupError, TypeError, ValueError, OverflowError, RecursionError):
            problem = NotMinted(Kind.UNREACHABLE, f"{self.origin} does not answer as Google would. Try again.", lasting=False)
        else:
            return self._token(credentials.token, ask.seconds, asked_at)
        # Raised out here: the library's exceptions quote what came back.
        raise problem

    def _token(self, token: object, seconds: int, asked_at: int) -> Token:
        # By our own clock, and from when it was asked for: google-auth has the machine's, and counts from the answer.
        lives = 0 < seconds <= _LONGEST_LIFE
        if not lives or not isinstance(token, str) or not 0 < len(token) <= _LONGEST or not (token.isascii() and token.isprintable()):
            raise NotMinted(Kind.UNREACHABLE, f"{self.origin} does not answer as Google would. Try again.", lasting=False)
        return Token(Secret(token.encode("ascii")), asked_at + seconds * SECOND)


class _Request(transport.Request):
    """google-auth's one question, by the dialer. Raises NotMinted for every answer but 200, so that google-auth asks no second time."""

    def __init__(self, dialer: Dialer, loop: asyncio.AbstractEventLoop) -> None:
        self._dialer, self._loop = dialer, loop
        self.seconds = 0
        """How long the token is good for, as the answer says."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> transport.Response:
        question = self._dialer.ask(method, url, headers=headers, body=body or b"", trusted=True)
        try:
            asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        except RuntimeError:  # the loop is closed
            question.close()
            raise _stopped() from None
        try:
            answer = asked.result(_PATIENCE)
        except NotReached as error:
            problem = NotMinted(error.kind, error.sentence, lasting=False)
        except (TimeoutError, CancelledError):
            asked.cancel()
            problem = _stopped()
        else:
            if answer.status == 200:
                self.seconds = _seconds(answer.body)
                return _Response(answer.body)
            problem = _refusal(answer.status, answer.body)
        raise problem


class _Response(transport.Response):
    """An answer of 200."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @property
    def status(self) -> int:
        return 200

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def data(self) -> bytes:
        return self._body


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="google")


def _credentials(value: Secret, endpoint: str) -> service_account.Credentials:
    """google-auth's, made of the three fields that are needed: whatever else a key file says has no effect."""
    try:
        key = json.loads(value.reveal())
        signer = RSASigner.from_string(key["private_key"], key["private_key_id"])  # type: ignore[no-untyped-call]
        return service_account.Credentials(signer, str(key["client_email"]), endpoint, scopes=SCOPES)  # type: ignore[no-untyped-call]
    except (LookupError, TypeError, ValueError, RecursionError, google.auth.exceptions.GoogleAuthError):
        sentence = "What is stored is no service account key that can be used. Enter the whole key file, as Google made it."
    raise NotMinted(Kind.WRONG_CREDENTIALS, sentence, lasting=True)


def _document(body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _stopped() -> NotMinted:
    return NotMinted(Kind.UNREACHABLE, "This server was stopped while it asked Google. Try again.", lasting=False)


def _seconds(body: bytes) -> int:
    try:
        return int(str(_document(body)["expires_in"]))
    except (LookupError, ValueError):
        return 0


def _refusal(status: int, body: bytes) -> NotMinted:
    error = _document(body).get("error")
    code = error if isinstance(error, str) and error in _WRONG | _REFUSED else ""
    if code in _WRONG or (status == 401 and not code):
        sentence = "Google does not take this key: it or its service account was deleted or switched off, or this server's clock is wrong."
        return NotMinted(Kind.WRONG_CREDENTIALS, f"{sentence} Make a new key and enter it.", lasting=True)
    if code in _REFUSED or (status == 403 and not code):
        sentence = f"Google gives this service account no token ({code or status}): a policy forbids it. Ask who runs its project."
        return NotMinted(Kind.MAY_NOT_PULL, sentence, lasting=True)
    if status in {408, 429} or status >= 500:
        return NotMinted(Kind.UNREACHABLE, f"Google cannot mint a token now (status {status}). Try again.", lasting=False)
    return NotMinted(Kind.UNREACHABLE, f"Google's token endpoint answers with status {status}. Look who answers there.", lasting=True)
