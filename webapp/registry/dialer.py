"""The one way to a host that a person typed: looked up once, every address looked at, and connected to one of those that were looked at.

HTTP/1.1 by h11 over a connection of its own: no redirects, no proxy, no cookies, nothing from the environment. The registry is hostile,
and the network around this server is ours.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from webapp.errors import ConfigurationError
from webapp.registry.addresses import why_forbidden
from webapp.registry.allowed import AllowedRealms, Origin, origin_of, realms_of
from webapp.registry.exchange import Answer, TooMuch, Unreadable, exchange
from webapp.registry.kinds import Kind
from webapp.setting_values import is_loopback

if TYPE_CHECKING:
    from webapp.settings import Settings

SECONDS = 5.0
"""For one question: the waiting for its turn, the look-up, the connection and the whole answer."""

_AT_ONCE = 64
_NAMES_AT_ONCE = 128
_MOST_ADDRESSES = 4
_MOST_LOOKED_AT = 100  # a name server may answer with thousands; each takes some 40 µs

# No user information, no fragment, nothing encoded, nothing invisible: what is left has one reading only.
_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(?::([0-9]{1,5}))?((?:/[!-\"$-\[\]-~]*)?)", re.ASCII)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as text. Raises OSError where there are none."""


class NotReached(Exception):
    """No answer came, or none that can be used. `sentence` may be shown: nothing that the other side said is in it."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class _Target:
    origin: Origin
    path: str


class Dialer:
    """Asks hosts that people typed. `allowed` and `realms` are what the operator said; `trust` is for TLS; `resolve` looks names up."""

    def __init__(self, allowed: frozenset[Origin], realms: AllowedRealms, trust: ssl.SSLContext, resolve: Resolve | None = None) -> None:
        self.allowed = allowed
        self._realms = realms
        self._trust = trust
        self._resolve = resolve
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def of(cls, settings: "Settings", resolve: Resolve | None = None) -> "Dialer":
        """The dialer of an installation. Raises ConfigurationError for a file without certificates."""
        return cls(settings.allowed_registries, settings.allowed_realms, _trust(settings.registry_ca_file), resolve)

    def origin(self, host: str) -> Origin:
        """Where the registry of this host is asked."""
        return origin_of(host, self.allowed)

    def may_sign_in_at(self, host: str, realm: Origin) -> bool:
        """Whether this registry's credentials may go to that realm: the registry itself, or one that the operator approved."""
        return realm == self.origin(host) or realm in realms_of(host, self._realms)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        trusted: bool = False,
        realm_of: str | None = None,
    ) -> Answer:
        """The answer to one question, whatever its status: a redirect is one, too. At most 64 KiB of body, at most `SECONDS`.

        `trusted` is for a URL that the operator named in a setting, wherever it is. `realm_of` is the registry that sent us here, whose
        realm the operator named. Raises NotReached.
        """
        target = _target(url)
        allowed = target.origin in self.allowed or (realm_of is not None and target.origin in self._realms.get(realm_of, frozenset()))
        plain = target.origin.scheme == "http"
        if plain and not allowed and not (trusted and is_loopback(target.origin.host)):
            raise _unreachable(
                f"{target.origin.shown} would be asked without TLS, so nothing was sent. Where it speaks no TLS and may be asked so,"
                f" whoever runs this server names it in WEBAPP_ALLOWED_REGISTRIES, as {target.origin}."
            )
        step = _Step(target.origin, "this server had no time for it, being busy with others. Try again")
        problem: NotReached
        try:
            async with asyncio.timeout(SECONDS), self._turns:
                addresses = await self._vetted(target.origin, step, allowed=allowed, trusted=trusted)
                connected = await _connect(target.origin.port, addresses, step)
                return await self._over(connected, method, target, headers or {}, body, step)
        except NotReached:
            raise
        except TimeoutError:
            problem = step.failed(f"within {SECONDS:g} s")
        except ssl.SSLCertVerificationError as error:
            problem = _untrusted(target.origin, error.verify_message)
        except ssl.SSLError:
            problem = NotReached(
                Kind.TLS,
                f"TLS with {target.origin.shown} fails: it speaks none there, or only versions before 1.2. Check the host and its port.",
            )
        except TooMuch:
            problem = _unreachable(f"{target.origin.shown} answers with more than a registry would. Check that it is a registry.")
        except Unreadable:
            problem = _unreachable(f"What {target.origin.shown} answers is not HTTP. Check the host and its port.")
        except (OSError, EOFError):
            problem = step.failed()
        raise problem

    async def _vetted(self, origin: Origin, step: "_Step", *, allowed: bool, trusted: bool) -> list[str]:
        literal = _is_literal(origin.host)
        step.at("its name cannot be looked up from here. Check how it is spelt")
        addresses = [origin.host] if literal else list(await self._addresses(origin, trusted=trusted))
        if not addresses:
            raise step.failed()
        if len(addresses) > _MOST_LOOKED_AT:
            raise _unreachable(f"{origin.shown} has more addresses than a registry would. Check the host.")
        if trusted:
            if origin.scheme == "http" and not all(map(is_loopback, addresses)):
                raise _unreachable(f"{origin.shown} is not this machine, so that it is not asked without TLS.")
            return addresses[:_MOST_ADDRESSES]
        for address in addresses:
            # Any one is enough: which of them a client takes is anybody's guess. An address that the operator wrote down is meant.
            why = None if literal and allowed else why_forbidden(address, allowed=allowed)
            if why is not None:
                raise _unreachable(_forbidden(origin, why, literal=literal, allowed=allowed))
        return addresses[:_MOST_ADDRESSES]

    async def _addresses(self, origin: Origin, *, trusted: bool) -> Sequence[str]:
        if self._resolve is not None:
            return await self._resolve(origin.host, origin.port)
        return await _looked_up(origin.host, origin.port, trusted=trusted)

    async def _over(
        self, connected: socket.socket, method: str, target: _Target, headers: Mapping[str, str], body: bytes, step: "_Step"
    ) -> Answer:
        writer: asyncio.StreamWriter | None = None
        try:
            if target.origin.scheme == "https":
                # The name is verified, and sent as SNI, though it is an address that was connected to.
                reader, writer = await asyncio.open_connection(sock=connected, ssl=self._trust, server_hostname=target.origin.host)
            else:
                reader, writer = await asyncio.open_connection(sock=connected)
            step.at("it did not answer as a registry would. Check the host and its port, or try again")
            return await exchange(reader, writer, method, target.path, {"Host": target.origin.shown, **headers}, body)
        finally:
            if writer is None:
                connected.close()
            else:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


class _Step:
    """What is being done, for the sentence that says what failed."""

    def __init__(self, origin: Origin, failure: str) -> None:
        self._origin = origin
        self._failure = failure

    def at(self, failure: str) -> None:
        self._failure = failure

    def failed(self, when: str = "") -> NotReached:
        return _unreachable(f"{self._origin.shown} cannot be reached{' ' * bool(when)}{when}: {self._failure}.")


async def _connect(port: int, addresses: Sequence[str], step: _Step) -> socket.socket:
    """A connection to the first of these addresses that takes one; the time that is left is divided among them."""
    step.at("nothing answers there. Check the host and its port, and that this server may connect to it")
    loop = asyncio.get_running_loop()
    ends = loop.time() + SECONDS
    last: OSError = OSError()
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        connecting = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            async with asyncio.timeout(max(0.1, ends - loop.time()) / left):
                await loop.sock_connect(connecting, (address, port))
            if ip_address(connecting.getpeername()[0]) != ip_address(address):
                raise OSError("connected to another address")
        except OSError as error:  # TimeoutError is one
            connecting.close()
            last = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise last


def _target(url: str) -> _Target:
    """The parts of a URL that has one reading only. It is quoted in no sentence: a registry may have made it up."""
    found = _URL.fullmatch(url)
    port = int(found[3]) if found is not None and found[3] else None
    if found is None or port == 0 or (port or 0) > 65535:
        raise _unreachable("What was to be asked is no plain https:// address. Check the Registry URL.")
    scheme, host = found[1], found[2].lower().strip("[]")
    if ":" in host and not _is_literal(host):
        raise _unreachable("What stands in brackets is no IPv6 address. Check the Registry URL.")
    return _Target(Origin(scheme, host, port or (443 if scheme == "https" else 80)), found[4] or "/")


def origin_in(url: str) -> Origin | None:
    """The origin of a URL that has one reading only; None for any other."""
    try:
        return _target(url).origin
    except NotReached:
        return None


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _lookers_up(*, trusted: bool) -> ThreadPoolExecutor:
    # Of our own: a look-up cannot be stopped, and slow ones must not keep the event loop's own threads from their work. Nor may those
    # of names that people typed, whose servers may be theirs, keep anybody from the names that the operator chose.
    return ThreadPoolExecutor(_NAMES_AT_ONCE, thread_name_prefix="trusted-names" if trusted else "names")


async def _looked_up(host: str, port: int, *, trusted: bool) -> Sequence[str]:
    def look_up() -> list[str]:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

    try:
        return list(dict.fromkeys(await asyncio.get_running_loop().run_in_executor(_lookers_up(trusted=trusted), look_up)))
    except UnicodeError:  # a part of more than 63 characters
        return []


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return _trust_in(ca_file)
    except OSError:  # SSLError is one
        raise ConfigurationError(f"WEBAPP_REGISTRY_CA_FILE: {ca_file} holds no certificates in PEM.") from None


@cache  # the system's certificates take 20 ms to read
def _trust_in(ca_file: Path | None) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        trust.load_verify_locations(cafile=ca_file)
    return trust


def _unreachable(sentence: str) -> NotReached:
    return NotReached(Kind.UNREACHABLE, sentence)


def _untrusted(origin: Origin, why: str) -> NotReached:
    return NotReached(
        Kind.TLS,
        f"The certificate of {origin.shown} is not one to trust ({why}). Mend it there, or let whoever runs this server trust its"
        " issuer with WEBAPP_REGISTRY_CA_FILE; agents need the same.",
    )


def _forbidden(origin: Origin, why: str, *, literal: bool, allowed: bool) -> str:
    leads = f"{origin.shown} is {why}" if literal else f"{origin.shown} leads to {why}"
    if allowed:
        return f"{leads}, which no allowed name may. Name the address itself in WEBAPP_ALLOWED_REGISTRIES if it is meant."
    return f"{leads}, so it was not asked. If it is a registry of yours, whoever runs this server names it in WEBAPP_ALLOWED_REGISTRIES."
