"""What an operator says of registries: which may be in a private network or without TLS, and whom else they may send their clients to."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from webapp.reference import DOCKER_HUB, RegistryHost, same_registry

_DOCKER_HUB_SERVER = "registry-1.docker.io"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REGISTRIES = "Write registries with commas between, such as registry.lan:5000, http://127.0.0.1:5000"
_REALMS = "Write pairs with commas between, such as registry.example.com=auth.example.com"


class Origin(NamedTuple):
    """A scheme, a host (in lower case, an IPv6 address without its brackets) and a port: what a connection is made to."""

    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """`host`, or `host:port` where the port is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.shown}"

    @classmethod
    def at(cls, scheme: str, host: str) -> "Origin":
        """The origin at a registry's host, as `RegistryHost` has it: bare, with its port if it has one."""
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name:
            name, port = host, ""
        return cls(scheme, name.strip("[]"), int(port) if port else _DEFAULT_PORTS[scheme])


AllowedRealms = Mapping[str, frozenset[Origin]]
"""A registry's host, and whom else it may send its clients to for signing in."""

BUILT_IN_REALMS: AllowedRealms = {
    # https://distribution.github.io/distribution/spec/auth/token/
    DOCKER_HUB: frozenset({Origin("https", "auth.docker.io", 443)}),
    # https://docs.gitlab.com/user/packages/container_registry/
    "registry.gitlab.com": frozenset({Origin("https", "gitlab.com", 443)}),
}


def parse_registries(text: str) -> frozenset[Origin]:
    """`host[:port]`, with commas between, and `http://` before one that speaks no TLS. Raises ValueError with a sentence."""
    return frozenset(_origin(part, _REGISTRIES) for part in _parts(text, _REGISTRIES))


def parse_realms(text: str) -> AllowedRealms:
    """`registry=realm` pairs of hosts, with commas between; `http://` before a realm without TLS. Raises ValueError with a sentence."""
    pairs: dict[str, frozenset[Origin]] = {}
    for part in _parts(text, _REALMS):
        registry, equals, realm = part.partition("=")
        if not equals:
            raise ValueError(f"{_quoted(part)} is no pair. {_REALMS}.")
        # The scheme is the registry's own affair: WEBAPP_ALLOWED_REGISTRIES says it.
        host = _host(registry.strip().removeprefix("https://").removeprefix("http://"), part, _REALMS)
        pairs[host] = pairs.get(host, frozenset()) | {_origin(realm.strip(), _REALMS)}
    return pairs


def origin_of(host: str, allowed: Iterable[Origin]) -> Origin:
    """Where the registry of this host is asked: by TLS, unless it is allowed without; Docker Hub's is not where its name says."""
    if same_registry(host, DOCKER_HUB):
        return Origin.at("https", _DOCKER_HUB_SERVER)
    by_tls, without = Origin.at("https", host), Origin.at("http", host)
    return without if without in (allowed := frozenset(allowed)) and by_tls not in allowed else by_tls


def is_allowed(host: str, allowed: Iterable[Origin]) -> bool:
    """Whether the operator named the registry of this host."""
    return origin_of(host, allowed := frozenset(allowed)) in allowed


def realms_of(host: str, named: AllowedRealms) -> frozenset[Origin]:
    """Whom else than itself this registry may send its clients to: those that the operator named, and those that everybody knows."""
    everywhere = ((registry, realms) for pairs in (BUILT_IN_REALMS, named) for registry, realms in pairs.items())
    return frozenset().union(*(realms for registry, realms in everywhere if same_registry(registry, host)))


def _parts(text: str, example: str) -> list[str]:
    if "@" in text:
        raise ValueError(f"it holds a user name, a password or an @. {example}.")  # and is never quoted
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _origin(text: str, example: str) -> Origin:
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    if scheme.lower() not in _DEFAULT_PORTS:
        raise ValueError(f"{_quoted(text)} has a scheme that no registry has. {example}.")
    return Origin.at(scheme.lower(), _host(rest, text, example))


def _host(text: str, part: str, example: str) -> str:
    try:
        parsed = RegistryHost.parse(text)
    except ValueError as error:
        raise ValueError(f"{_quoted(part)} names no registry: {error} {example}.") from None
    if parsed.notes:
        raise ValueError(f"{_quoted(part)} has more than a host: take off what follows it. {example}.")
    return parsed.host


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
