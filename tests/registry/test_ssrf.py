"""Of 500 ways to have this server connect to a forbidden address none does: counted at the socket, and at what listens on this machine."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.real.canary import CANARY
from tests.registry.odd_server import answer, listening
from tests.registry.ssrf_corpus import FAMILIES, PUBLIC, Case, corpus, of_family
from webapp.reference import Reference, RegistryHost
from webapp.registry import dialer as module
from webapp.registry.check import check_registry
from webapp.registry.dialer import Dialer, NotReached
from webapp.registry.kinds import Kind, SignIn
from webapp.settings import Settings
from webapp.vault import Secret

pytestmark = pytest.mark.anyio


@dataclass
class Sockets:
    """Every connection that this process tries, as (address, port), while `counts`."""

    counts: bool = False
    tried: list[tuple[str, int]] = field(default_factory=list)

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.counts or event != "socket.connect":
            return
        asking, address = arguments
        assert isinstance(asking, socket.socket)
        if asking.type is socket.SOCK_DGRAM:  # which sends nothing by that
            return
        assert isinstance(address, tuple)
        self.tried.append((str(address[0]), int(address[1])))
        if address[0] not in {"127.0.0.1", "::1"}:
            raise ConnectionRefusedError("nothing leaves this machine in a test")


SOCKETS = Sockets()


@pytest.fixture(scope="module", autouse=True)
def counted() -> None:
    # An audit hook stays for the life of the process: this one counts nothing but in `run`.
    sys.addaudithook(SOCKETS.hook)


@dataclass
class Ground:
    """What listens here: a registry that sends its clients on to `place`, and traps, one for each kind of address, at the same port."""

    registry: int
    trap: int
    traps: list[socket.socket]
    place: str = ""
    status: int = 401
    requests: list[str] = field(default_factory=list)

    def caught(self) -> int:
        """How many connections the traps have got."""
        count = 0
        for trap in self.traps:
            with contextlib.suppress(BlockingIOError):
                while True:
                    trap.accept()[0].close()
                    count += 1
        return count

    def filled(self, text: str) -> str:
        return text.replace("{registry}", str(self.registry)).replace("{trap}", str(self.trap))


@pytest.fixture
def traps() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        four = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        four.setblocking(False)
        listening = [four]
        with contextlib.suppress(OSError):  # where there is no IPv6, nothing of it can be reached either
            six = stack.enter_context(socket.create_server(("::1", four.getsockname()[1]), family=socket.AF_INET6))
            six.setblocking(False)
            listening.append(six)
        yield listening


@pytest.fixture
async def ground(traps: list[socket.socket]) -> AsyncIterator[Ground]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # TLS, where a fault is planted
            made.requests.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            sent_on = f'WWW-Authenticate: Bearer realm="{made.place}"' if made.status == 401 else f"Location: {made.place}"
            writer.write(answer(made.status, sent_on))

    async with listening(serve) as port:
        made = Ground(port, traps[0].getsockname()[1], traps)
        yield made


async def run(case: Case, ground: Ground) -> list[tuple[str, int]]:
    """What the case made this process connect to, but for what it may: the registry that it was allowed, and the public internet."""
    waiting = list(case.answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        if case.answers:
            return waiting.pop(0)
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]

    dialer = Dialer.of(Settings.from_environ({"WEBAPP_ALLOWED_REGISTRIES": ground.filled(case.allowed)}), resolve)
    text = ground.filled(case.text)
    ground.place, ground.status = text, case.status
    SOCKETS.tried.clear()
    SOCKETS.counts = True
    try:
        await _do(case.how, text, dialer, ground)
    finally:
        SOCKETS.counts = False
    if case.family == "rebinding":
        assert (len(case.answers) - len(waiting), SOCKETS.tried) == (1, [(PUBLIC, ground.trap)])
    may = {("127.0.0.1", ground.registry)} if case.how in {"realm", "redirect"} else set()
    return [tried for tried in SOCKETS.tried if tried not in may and tried[0] != PUBLIC]


async def _do(how: str, text: str, dialer: Dialer, ground: Ground) -> None:
    if how == "url":
        with contextlib.suppress(NotReached):
            await dialer.ask("GET", text, headers={"X-Canary": CANARY})
        return
    if how != "typed":
        text = f"registry.test:{ground.registry}"
    try:
        host = RegistryHost.parse(text).host
    except ValueError:
        return
    reference = Reference.parse(f"{host}/acme/ubuntu:24.04")
    verdict = await check_registry(dialer, host, SignIn("acme-bot", Secret(CANARY.encode())), reference)
    assert verdict.kind is Kind.UNREACHABLE
    assert CANARY not in verdict.sentence
    assert verdict.sentence.isprintable()


def test_there_are_five_hundred() -> None:
    assert len(set(corpus())) == 500


@pytest.mark.parametrize("family", FAMILIES)
async def test_nothing_of_it_connects(family: str, ground: Ground) -> None:
    astray = [(case, tried) for case in of_family(family) if (tried := await run(case, ground))]
    assert astray == []
    assert ground.caught() == 0
    # Whatever was sent on got the credential nowhere: the registry was asked as nobody.
    assert not any("authorization" in request.lower() for request in ground.requests)


async def test_the_counters_count_where_no_address_is_forbidden(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "why_forbidden", lambda *_, **__: None)
    monkeypatch.setattr(module, "SECONDS", 0.05)  # what listens takes the connection, and says nothing
    astray = [tried for case in of_family("spelt otherwise, typed") for tried in await run(case, ground)]
    assert {"127.0.0.1", "169.254.169.254", "10.0.0.5"} <= {address for address, _ in astray}
    assert ground.caught() == 8


async def test_the_counters_count_where_every_realm_is_approved(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "why_forbidden", lambda *_, **__: None)
    monkeypatch.setattr(module, "SECONDS", 0.2)
    monkeypatch.setattr(Dialer, "may_sign_in_at", lambda *_: True)
    astray = [tried for case in of_family("realms") for tried in await run(case, ground)]
    assert {"127.0.0.1", "10.0.0.5"} <= {address for address, _ in astray}
    assert ground.caught() >= 3
