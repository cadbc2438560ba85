"""The one way out: what it takes, what it does not, and what it says."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.real.registry import Registry
from tests.registry.odd_server import OddServer, odd_server
from webapp.app import create_app
from webapp.errors import ConfigurationError
from webapp.registry import dialer as module
from webapp.registry.dialer import Dialer, NotReached, origin_in
from webapp.registry.exchange import MOST_BODY
from webapp.registry.kinds import Kind
from webapp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[OddServer]:
    async with odd_server() as running:
        yield running


async def refusal(dialer: Dialer, url: str, *, trusted: bool = False) -> NotReached:
    with pytest.raises(NotReached) as caught:
        await dialer.ask("GET", url, trusted=trusted)
    assert caught.value.sentence.isprintable()
    assert "said-by-them" not in caught.value.sentence
    assert caught.value.__cause__ is None
    return caught.value


async def test_it_asks_and_reads_the_answer(server: OddServer) -> None:
    server.answer("POST /token?a=b", 201, "X-One: 1", "x-one: 2", body="made")
    found = await server.dialer.ask("POST", f"http://{server.host}/token?a=b", headers={"X-Mine": "me"}, body=b"body")
    assert (found.status, found.header("X-ONE"), found.header("x-none"), found.body) == (201, "1, 2", None, b"made")
    head = server.requests[0].lower()
    for line in (f"host: {server.host}", "x-mine: me", "content-length: 4", "connection: close", "accept-encoding: identity"):
        assert f"\r\n{line}\r\n" in head
    assert "made" not in repr(found)


async def test_a_redirect_is_an_answer(server: OddServer) -> None:
    server.answer("GET /v2/", 307, f"Location: http://{server.host}/elsewhere")
    assert (await server.dialer.ask("GET", f"http://{server.host}/v2/")).status == 307
    assert len(server.requests) == 1


async def test_64_kib_are_read_and_no_more(server: OddServer) -> None:
    server.answer("GET /most", 200, body="x" * MOST_BODY)
    server.answer("GET /more", 200, body="x" * (MOST_BODY + 1))
    assert len((await server.dialer.ask("GET", f"http://{server.host}/most")).body) == MOST_BODY
    assert "more than a registry" in (await refusal(server.dialer, f"http://{server.host}/more")).sentence


async def test_slow_names_that_people_typed_do_not_delay_the_operators(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, end = socket.getaddrinfo, threading.Event()

    def slow(host: str, *arguments: Any, **named: Any) -> Any:
        if host.endswith(".slow.test"):
            end.wait()
        return look_up("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    server.answer("POST /token", 200)
    names = [asyncio.create_task(server.dialer.ask("GET", f"https://a{number}.slow.test/")) for number in range(100)]
    try:
        await asyncio.sleep(0.01)
        url = f"http://localhost:{server.host.rpartition(':')[2]}/token"
        assert (await server.dialer.ask("POST", url, trusted=True)).status == 200
    finally:
        end.set()
        await asyncio.gather(*names, return_exceptions=True)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * MOST_BODY,
    ],
    ids=["before it", "in chunks"],
)
async def test_an_answer_in_thousands_of_parts_is_left_alone(server: OddServer, sent: bytes) -> None:
    server.answers["GET /v2/"] = sent
    assert "more than a registry" in (await refusal(server.dialer, f"http://{server.host}/v2/")).sentence


async def test_what_comes_before_an_answer_is_passed_over(server: OddServer) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    server.answers["GET /v2/"] = hint * 3 + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"
    assert (await server.dialer.ask("GET", f"http://{server.host}/v2/")).body == b"x" * 500


@pytest.mark.parametrize(
    "sent",
    [
        b"said-by-them\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsai",
        b"HTTP/1.1 200 OK\r\nContent-Length: said-by-them\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"said-by-them" * 4000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_http_is_told(server: OddServer, sent: bytes) -> None:
    server.answers["GET /v2/"] = sent
    problem = await refusal(server.dialer, f"http://{server.host}/v2/")
    assert problem.kind is Kind.UNREACHABLE
    assert server.host in problem.sentence


async def test_it_waits_for_the_whole_answer_and_no_longer(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        dialer = Dialer.of(Settings.from_environ({"WEBAPP_ALLOWED_REGISTRIES": f"http://{host}"}))
        assert "within 0.05 s" in (await refusal(dialer, f"http://{host}/v2/")).sentence


async def test_a_header_cannot_bring_another(server: OddServer) -> None:
    for value in ("a\r\nX-Other: b", "é"):
        with pytest.raises(NotReached):
            await server.dialer.ask("GET", f"http://{server.host}/", headers={"X-One": value})
    assert server.requests == []


async def test_a_name_with_thousands_of_addresses_is_left_alone() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [f"2600::{number:x}" for number in range(4000)]

    dialer = Dialer.of(Settings.from_environ({}), resolve)
    assert "more addresses than a registry would" in (await refusal(dialer, "https://many.test/")).sentence


async def test_every_address_is_looked_at_and_the_name_looked_up_once() -> None:
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["93.184.215.14", "10.0.0.5"]

    problem = await refusal(Dialer.of(Settings.from_environ({}), resolve), "https://Registry.Example.COM/v2/")
    assert asked == [("registry.example.com", 443)]
    assert "private network" in problem.sentence
    assert "10.0.0.5" not in problem.sentence, "what the names of the inside lead to is nobody's business"


async def test_an_address_that_was_named_itself_is_meant() -> None:
    settings = Settings.from_environ({"WEBAPP_ALLOWED_REGISTRIES": "http://127.0.0.1:1, http://0.0.0.0:1"})
    for url in ("http://127.0.0.1:1/", "http://0.0.0.0:1/"):
        assert "nothing answers there" in (await refusal(Dialer.of(settings), url)).sentence


async def test_a_url_of_the_operators_own_may_be_inside(server: OddServer) -> None:
    server.answer("GET /token", 200)
    nobody = Dialer.of(Settings.from_environ({}))
    assert (await nobody.ask("GET", f"http://{server.host}/token", trusted=True)).status == 200
    await refusal(nobody, f"http://{server.host}/token")
    assert "without TLS" in (await refusal(nobody, "http://token.example.com/", trusted=True)).sentence


async def test_what_a_realm_may_is_for_its_registry_alone(server: OddServer) -> None:
    settings = Settings.from_environ({"WEBAPP_ALLOWED_REALMS": f"registry.example.com=http://{server.host}"})
    dialer = Dialer.of(settings)
    server.answer("GET /token", 200)
    assert (await dialer.ask("GET", f"http://{server.host}/token", realm_of="registry.example.com")).status == 200
    for other in (None, "other.example.com"):
        with pytest.raises(NotReached):
            await dialer.ask("GET", f"http://{server.host}/token", realm_of=other)


async def test_the_second_address_is_tried_when_the_first_is_dead(server: OddServer) -> None:
    name, port = "registry.lan", int(server.host.partition(":")[2])

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    dialer = Dialer.of(Settings.from_environ({"WEBAPP_ALLOWED_REGISTRIES": f"http://{name}:{port}"}), resolve)
    server.answer("GET /", 200)
    assert (await dialer.ask("GET", f"http://{name}:{port}/")).status == 200
    assert f"host: {name}:{port}" in server.requests[0].lower()


async def test_it_works_in_the_servers_own_loop_over_tls(tls_registry: Registry) -> None:
    async def ask() -> int:
        dialer = Dialer.of(Settings.from_environ(tls_registry.settings()))
        return (await dialer.ask("GET", f"https://{tls_registry.host}/v2/")).status

    assert await asyncio.to_thread(uvloop.run, ask()) == 401


def test_a_file_without_certificates_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = Settings.from_environ({"WEBAPP_REGISTRY_CA_FILE": str(tmp_path / "ca.pem"), "WEBAPP_DATA_DIR": str(tmp_path / "data")})
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_REGISTRY_CA_FILE: .* holds no certificates in PEM\.$"):
        create_app(settings)


def test_tls_is_verified_and_not_old() -> None:
    trust = Dialer.of(Settings.from_environ({}))._trust
    assert (trust.verify_mode, trust.check_hostname, trust.minimum_version) == (ssl.CERT_REQUIRED, True, ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize(
    ("host", "origin"), [("docker.io", "https://registry-1.docker.io"), ("index.docker.io", "https://registry-1.docker.io")]
)
def test_docker_hub_is_not_where_its_name_says(host: str, origin: str) -> None:
    assert str(Dialer.of(Settings.from_environ({})).origin(host)) == origin


def test_an_origin_is_read_one_way_only() -> None:
    assert str(origin_in("https://Auth.Example.com:443/token?x=y")) == "https://auth.example.com"
    assert str(origin_in("https://[2600::1]:5000")) == "https://[2600::1]:5000"
    for url in (
        "https://a@b/",
        "https://a#b",
        "https://a\\b/",
        "https:///",
        "ftp://a/",
        "https://a b/",
        "//a/",
        "https://[::1",
        "https://[]/",
    ):
        assert origin_in(url) is None
