"""What every answer carries, and what no answer ever lacks."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx2
import pytest

from tests.personas import House
from webapp.web.answers import client_address
from webapp.web.forms import MOST_BODY

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what an answer looks like

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

PATHS = [
    "/login",
    "/livez",
    "/readyz",
    "/registry-credentials",
    "/images",
    "/agents",
    "/audit",
    "/settings",
    "/nowhere",
    "/api/v1/provision",
    "/static/app.css",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_has_the_security_headers(stranger: httpx2.AsyncClient, alice: httpx2.AsyncClient, path: str) -> None:
    for browser in (stranger, alice):
        answer = await browser.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert answer.headers["x-request-id"]
        assert "permissions-policy" in answer.headers
        assert "strict-transport-security" not in answer.headers, "only over TLS"
        if not path.startswith("/static/"):
            assert answer.headers["cache-control"] == "no-store"


async def test_an_error_nobody_foresaw_has_them_too_and_tells_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    del house.app.state.images
    answer = await alice.get("/images")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert answer.headers["x-request-id"] in answer.text
    assert "Traceback" not in answer.text
    assert "AttributeError" not in answer.text


async def test_a_body_that_is_too_large_is_not_read(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/images", content=b"x" * (MOST_BODY + 1), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


async def test_a_body_of_undeclared_length_is_cut_off_too(alice: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100_000

    answer = await alice.post("/images", content=endless(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


@pytest.mark.parametrize("story", ["41 fields", "two files", "a long field"])
async def test_the_limits_of_a_form_hold(alice: httpx2.AsyncClient, story: str) -> None:
    data = {f"field{n}": "x" for n in range(41)} if story == "41 fields" else {"name": "x" * 70_000 if story == "a long field" else "x"}
    files = [("a", ("a.json", b"{}")), ("b", ("b.json", b"{}"))] if story == "two files" else None
    answer = await alice.post("/images", data=data, files=files)
    assert answer.status_code == 413
    assert "limit" in answer.text or "longer" in answer.text


async def test_static_files_may_be_kept_and_are_named_by_their_content(stranger: httpx2.AsyncClient) -> None:
    page = (await stranger.get("/login")).text
    start = page.index("/static/app.css")
    url = page[start : page.index('"', start)]
    assert "?v=" in url
    assert "immutable" in (await stranger.get(url)).headers["cache-control"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "198.51.100.1", (), "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", ("10.0.0.0/8",), "198.51.100.1"),
        ("10.0.0.1", "not an address", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "", ("10.0.0.0/8",), "10.0.0.1"),
        ("203.0.113.9", "198.51.100.1", ("10.0.0.0/8",), "203.0.113.9"),
        ("10.0.0.1", "203.0.113.7:4711", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", ("10.0.0.0/8",), "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", ("10.0.0.0/8",), "2001:db8::7"),
        ("10.0.0.1", "203.0.113.7, ::ffff:10.0.0.2", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "::ffff:203.0.113.7", ("10.0.0.0/8",), "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "fe80::1%<script>alert(1)</script>", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, _hidden", ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, , \t,", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7," * 31 + "10.0.0.2", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7" + ",10.0.0.2" * 3000, ("10.0.0.0/8",), "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: str, trusted: tuple[str, ...], address: str) -> None:
    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())] if forwarded else []}
    assert client_address(scope, tuple(ip_network(network) for network in trusted)) == address
