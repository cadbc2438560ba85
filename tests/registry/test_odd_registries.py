"""What registries do that no real part of these tests does: the known ones' ways to refuse, and what none should answer."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.real.canary import CANARY
from tests.registry.odd_server import OddServer, answer, odd_server
from webapp.reference import Reference
from webapp.registry.check import check_registry
from webapp.registry.kinds import Kind, SignIn, Verdict
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

BASIC = 'WWW-Authenticate: Basic realm="said-by-them"'
TOKEN = json.dumps({"token": "a-token"})
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
async def registry() -> AsyncIterator[OddServer]:
    async with odd_server() as running:
        yield running


async def checked(registry: OddServer, image: str = "", *, anonymous: bool = False) -> Verdict:
    sign_in = None if anonymous else SignIn("acme-bot", Secret(CANARY.encode()))
    reference = Reference.parse(f"{registry.host}/{image}") if image else None
    verdict = await check_registry(registry.dialer, registry.host, sign_in, reference)
    assert "said-by-them" not in verdict.sentence
    assert CANARY not in verdict.sentence
    assert verdict.sentence.isprintable()
    return verdict


def refusing(*codes: str) -> str:
    """An error document."""
    return json.dumps({"errors": [{"code": code, "message": "said-by-them"} for code in codes]})


def asks_for_basic(registry: OddServer, then: int = 200) -> None:
    """Answers 401 to nobody, and `then` to somebody."""
    registry.answers["GET /v2/ "] = lambda head: answer(then if "authorization: basic" in head.lower() else 401, BASIC)


def asks_for_bearer(registry: OddServer) -> None:
    """Sends its clients to itself for a token, and takes every one."""
    bearer = f'WWW-Authenticate: Bearer realm="http://{registry.host}/token",service="odd & so on"'
    registry.answers["GET /v2/ "] = lambda head: answer(200 if "authorization: bearer a-token" in head.lower() else 401, bearer)
    registry.answer("GET /token", 200, body=TOKEN)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "a redirect (301), which is not followed"),
        (429, "no more requests for now (429)"),
        (503, "cannot answer now (503)"),
        (403, "before any sign-in (403)"),
        (404, "does not answer as a registry does (404)"),
        (418, "does not answer as a registry does (418)"),
    ],
)
async def test_a_status_that_is_no_answer_is_named(registry: OddServer, status: int, words: str) -> None:
    registry.answer("GET /v2/ ", status, "Location: https://said-by-them.example.com/", body="said-by-them")
    verdict = await checked(registry)
    assert verdict.kind is Kind.UNREACHABLE
    assert words in verdict.sentence


async def test_a_sign_in_of_another_kind_is_told(registry: OddServer) -> None:
    registry.answer("GET /v2/ ", 401, "WWW-Authenticate: Negotiate")
    assert "neither Basic nor Bearer" in (await checked(registry)).sentence


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_basic_that_is_not_taken_is_a_wrong_password(registry: OddServer, status: int) -> None:
    asks_for_basic(registry, status)  # 400 is Amazon ECR's
    assert (await checked(registry)).kind is Kind.WRONG_CREDENTIALS
    assert len(registry.requests) == 2


async def test_an_open_registry_that_knows_a_wrong_password_says_so(registry: OddServer) -> None:
    registry.answers["GET /v2/ "] = lambda head: answer(401 if "authorization: basic" in head.lower() else 200)
    assert (await checked(registry)).kind is Kind.WRONG_CREDENTIALS


async def test_the_realm_is_asked_for_this_repository_and_nothing_else(registry: OddServer) -> None:
    asks_for_bearer(registry)
    registry.answer("HEAD /v2/acme/x/manifests/1", 200, f"Docker-Content-Digest: {DIGEST}")
    assert await checked(registry, "acme/x:1") == Verdict(Kind.WORKS, f"This credential may pull {registry.host}/acme/x:1.", DIGEST)
    asked = [request.partition(" HTTP/")[0] for request in registry.requests]
    assert asked == [
        "GET /v2/",
        "GET /token?service=odd+%26+so+on&account=acme-bot",
        "GET /v2/",
        "GET /token?service=odd+%26+so+on&scope=repository%3Aacme%2Fx%3Apull&account=acme-bot",
        "HEAD /v2/acme/x/manifests/1",
    ]
    assert "accept: application/vnd.oci.image.index.v1+json, " in registry.requests[-1].lower()


async def test_ghcrs_way_to_refuse(registry: OddServer) -> None:
    asks_for_bearer(registry)
    registry.answers["GET /token"] = lambda head: answer(403 if "scope=" in head else 200, body=TOKEN)
    assert (await checked(registry)).works
    assert (await checked(registry, "acme/x:1")).kind is Kind.MISSING_OR_NO_ACCESS


async def test_harbors_way_to_refuse(registry: OddServer) -> None:
    asks_for_bearer(registry)
    for method in ("HEAD", "GET"):
        registry.answer(f"{method} /v2/acme/", 404, body=refusing("NOT_FOUND"))
        registry.answer(f"{method} /v2/acme/x/manifests/1", 401, body=refusing("UNAUTHORIZED"))
    assert (await checked(registry, "acme/x:1")).kind is Kind.MAY_NOT_PULL
    assert (await checked(registry, "acme/y:1")).kind is Kind.NO_SUCH_IMAGE


async def test_ecrs_way_to_refuse(registry: OddServer) -> None:
    asks_for_basic(registry)
    for method in ("HEAD", "GET"):
        registry.answer(f"{method} /v2/", 404, body=refusing("NAME_UNKNOWN"))
        registry.answer(f"{method} /v2/x/manifests/1", 403, body=refusing("DENIED"))
    registry.answers["GET /v2/ "] = lambda head: answer(200 if "authorization: basic" in head.lower() else 401, BASIC)
    assert (await checked(registry, "x:1")).kind is Kind.MAY_NOT_PULL
    assert (await checked(registry, "y:1")).kind is Kind.NO_SUCH_IMAGE


async def test_a_404_without_a_reason_is_compared_with_another(registry: OddServer) -> None:
    asks_for_basic(registry)
    assert (await checked(registry, "acme/x:1")).kind is Kind.MISSING_OR_NO_ACCESS
    registry.answer("HEAD /v2/acme/no-such-", 403)
    assert (await checked(registry, "acme/x:1")).kind is Kind.NO_SUCH_IMAGE


async def test_a_404_that_says_denied_is_a_refusal(registry: OddServer) -> None:
    asks_for_basic(registry)
    registry.answer("GET /v2/acme/x/manifests/1", 404, body=refusing("DENIED"))
    registry.answer("GET /v2/acme/no-such-", 404, body=refusing("NAME_UNKNOWN"))
    assert (await checked(registry, "acme/x:1")).kind is Kind.MAY_NOT_PULL


async def test_a_comparison_that_fails_proves_nothing(registry: OddServer) -> None:
    asks_for_basic(registry)
    registry.answer("HEAD /v2/acme/x/manifests/1", 403)
    registry.answer("HEAD /v2/acme/no-such-", 429)
    assert (await checked(registry, "acme/x:1")).kind is Kind.MISSING_OR_NO_ACCESS


async def test_an_open_door_with_a_token_behind_it(registry: OddServer) -> None:
    registry.answer("GET /v2/ ", 200)
    bearer = f'WWW-Authenticate: Bearer realm="http://{registry.host}/token"'
    registry.answers["HEAD /v2/acme/x/"] = lambda head: answer(200 if "bearer a-token" in head.lower() else 401, bearer)
    registry.answer("GET /token", 200, body=TOKEN)
    for anonymous in (True, False):
        assert (await checked(registry, "acme/x:1", anonymous=anonymous)).works
    registry.answers["GET /token"] = lambda head: answer(401 if "authorization" in head.lower() else 200, body=TOKEN)
    assert (await checked(registry, "acme/x:1")).kind is Kind.WRONG_CREDENTIALS


@pytest.mark.parametrize("digest", ["said-by-them", "sha256:" + "G" * 64, "sha256:ab", "md5:" + "ab" * 16])
async def test_a_digest_that_is_none_is_not_taken(registry: OddServer, digest: str) -> None:
    asks_for_basic(registry)
    registry.answer("HEAD /v2/acme/x/manifests/1", 200, f"Docker-Content-Digest: {digest}")
    verdict = await checked(registry, "acme/x:1")
    assert (verdict.kind, verdict.digest) == (Kind.WORKS, None)
    assert "names no digest of it, so that it cannot be pinned" in verdict.sentence, "or nobody knew why nothing is handed over"


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"token": 1}', '{"token": "a\\r\\nX-Other: b"}', '{"token": "é"}', "[" * 9999])
async def test_a_token_that_is_none_is_not_sent(registry: OddServer, body: str) -> None:
    asks_for_bearer(registry)
    registry.answer("GET /token", 200, body=body)
    verdict = await checked(registry)
    assert verdict.kind is Kind.UNREACHABLE
    assert "with no token" in verdict.sentence
    assert not any("x-other" in request.lower() for request in registry.requests)


async def test_a_token_may_have_its_other_name(registry: OddServer) -> None:
    asks_for_bearer(registry)
    registry.answer("GET /token", 200, body=json.dumps({"access_token": "a-token"}))
    assert (await checked(registry)).works


async def test_a_web_page_in_every_place_is_no_image(registry: OddServer) -> None:
    page = "Content-Type: Text/HTML; charset=utf-8"
    registry.answers[""] = lambda head: answer(200, page, body="" if head.startswith("HEAD") else "said-by-them")
    verdict = await checked(registry, "acme/x:1")
    assert verdict.kind is Kind.UNREACHABLE
    assert "answers with a web page. Check the host and its port." in verdict.sentence
    assert "says little about the password" in (await checked(registry)).sentence


async def test_a_realm_that_cannot_answer_is_told(registry: OddServer) -> None:
    asks_for_bearer(registry)
    registry.answer("GET /token", 500)
    assert (await checked(registry)).kind is Kind.UNREACHABLE
