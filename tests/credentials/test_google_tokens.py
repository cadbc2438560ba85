"""Access tokens of Google: what is asked of its token endpoint, and what is said when there is none."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.credentials.minting import google_fields
from tests.personas import START
from tests.real.google_token_endpoint import AUDIENCE, GoogleTokenEndpoint
from tests.real.process import free_port
from tests.real.service_account import service_account_key
from webapp.clock import SECOND
from webapp.credentials import google_tokens
from webapp.credentials.google_tokens import GOOGLE, SCOPES, GoogleTokens
from webapp.credentials.minting import NotMinted, Source, Token
from webapp.registry.dialer import Dialer
from webapp.registry.kinds import Kind
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

FIELDS = google_fields()
SOURCE = Source("account", "credential", 1, FIELDS.host, FIELDS.auth_method, FIELDS.parameters)


@pytest.fixture(scope="module")
def key() -> bytes:
    return service_account_key()


async def minted(origin: str, key: bytes) -> Token:
    return await GoogleTokens(Dialer.of(Settings.from_environ({})), lambda: START, origin).mint(SOURCE, Secret(key))


async def refusal(origin: str, key: bytes) -> NotMinted:
    with pytest.raises(NotMinted) as caught:
        await minted(origin, key)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert "PRIVATE KEY" not in caught.value.sentence
    return caught.value


async def test_the_assertion_is_signed_for_google_and_reads_only(google: GoogleTokenEndpoint, key: bytes) -> None:
    google.know(key)
    token = await minted(google.origin, key)
    assert token.value.reveal().decode() == google.tokens[0]
    assert token.expires_at == START + 3599 * SECOND, "by the clock that is handed in"
    claims = google.claims[0]
    assert (claims["iss"], claims["aud"], claims["scope"]) == (json.loads(key)["client_email"], AUDIENCE, " ".join(SCOPES))
    assert all(scope.endswith("only") for scope in SCOPES)
    assert google.asked == 1


async def test_a_key_that_google_does_not_know_is_wrong(google: GoogleTokenEndpoint, key: bytes) -> None:
    why = await refusal(google.origin, key)
    assert (why.kind, why.lasting) == (Kind.WRONG_CREDENTIALS, True)
    assert "Make a new key" in why.sentence


@pytest.mark.parametrize(
    ("status", "error", "kind", "lasting"),
    [
        (400, "invalid_grant", Kind.WRONG_CREDENTIALS, True),
        (401, "invalid_client", Kind.WRONG_CREDENTIALS, True),
        (401, "unauthorized_client", Kind.MAY_NOT_PULL, True),
        (403, "access_denied", Kind.MAY_NOT_PULL, True),
        (400, "<script>alert(1)</script>", Kind.UNREACHABLE, True),
        (302, "", Kind.UNREACHABLE, True),
        (429, "rate_limit_exceeded", Kind.UNREACHABLE, False),
        (500, "internal_failure", Kind.UNREACHABLE, False),
        (503, "temporarily_unavailable", Kind.UNREACHABLE, False),
    ],
)
async def test_what_google_refuses_is_told_apart_and_asked_once(
    google: GoogleTokenEndpoint, key: bytes, status: int, error: str, kind: Kind, lasting: bool
) -> None:
    google.refusal = status, error
    why = await refusal(google.origin, key)
    assert (why.kind, why.lasting, google.asked) == (kind, lasting, 1)
    assert "<" not in why.sentence


async def test_where_nobody_listens_it_is_to_be_tried_again(key: bytes) -> None:
    why = await refusal(f"http://127.0.0.1:{free_port()}", key)
    assert (why.kind, why.lasting) == (Kind.UNREACHABLE, False)


@pytest.mark.parametrize("lives", [0, -5, 1.5, 10**6, 10**15, 10**400, float("inf"), "soon", None, [1]])
async def test_an_answer_without_an_expiry_that_can_be_is_none(google: GoogleTokenEndpoint, key: bytes, lives: Any) -> None:
    google.know(key)
    google.lives = lives
    assert "does not answer as Google would" in (await refusal(google.origin, key)).sentence


@pytest.mark.parametrize("value", [b"", b"not json", b"[]", b'{"type": "service_account"}', b"\xff\xfe"])
async def test_what_is_no_key_file_is_wrong(google: GoogleTokenEndpoint, value: bytes) -> None:
    why = await refusal(google.origin, value)
    assert (why.kind, why.lasting, google.asked) == (Kind.WRONG_CREDENTIALS, True, 0)


def test_without_a_setting_it_is_google() -> None:
    assert GOOGLE + "/token" == AUDIENCE


async def test_at_debug_nothing_secret_is_logged(
    google: GoogleTokenEndpoint, key: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_SDK_PYTHON_LOGGING_SCOPE", "google")
    google.know(key)
    with caplog.at_level(logging.DEBUG):
        caplog.set_level(logging.WARNING, "google")  # as set_up_logging does
        await minted(google.origin, key)
    assert google.tokens[0] not in caplog.text
    assert json.loads(key)["private_key"][40:80] not in caplog.text


@pytest.mark.parametrize("closed", [False, True], ids=["stopped", "closed"])
def test_a_thread_outlives_no_event_loop(key: bytes, closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_tokens, "_PATIENCE", 0.05)
    loop = asyncio.new_event_loop()
    tokens = GoogleTokens(Dialer.of(Settings.from_environ({})), lambda: START, f"http://127.0.0.1:{free_port()}")
    if closed:
        loop.close()
    with ThreadPoolExecutor() as threads:  # which waits for its threads, as Python does when it ends
        asked = threads.submit(tokens._ask, Secret(key), loop)
        with pytest.raises(NotMinted, match="was stopped while it asked"):
            asked.result(5)
    if not closed:
        loop.run_until_complete(asyncio.sleep(0))  # what was left to it
        loop.close()
