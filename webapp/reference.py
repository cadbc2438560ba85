"""Image references and registry hosts: `host[:port]/repository[:tag][@digest]`, with Docker's defaults.

The grammar is that of distribution/reference (https://github.com/distribution/reference, `reference.go`), and
the defaults are those of its `normalize.go`:

    reference        := name [ ":" tag ] [ "@" digest ]
    name             := [domain "/"] remote-name
    domain           := host [":" port-number]
    host             := domain-name | IPv4address | "[" IPv6address "]"
    domain-name      := domain-component ["." domain-component]*
    domain-component := /([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])/
    port-number      := /[0-9]+/
    remote-name      := path-component ["/" path-component]*
    path-component   := alpha-numeric [separator alpha-numeric]*
    alpha-numeric    := /[a-z0-9]+/
    separator        := /[_.]|__|[-]*/
    tag              := /[\\w][\\w.-]{0,127}/
    digest           := algorithm ":" encoded; sha256, sha384 and sha512 in lower-case hex of their own length

The first component is a domain only when it holds a dot or a colon, is `localhost`, or has an upper-case
letter; otherwise the domain is `docker.io`, and a name of one component is in `library/`. Without a tag and a
digest the tag is `latest`. A domain is stored in lower case, and a port has to be one (1 to 65535).
"""

import ipaddress
import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"

_DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_LONGEST_INPUT = 1024
_LONGEST_NAME = 255
_LONGEST_HOST = 253 + 6

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN_NAME = re.compile(rf"{_COMPONENT}(?:\.{_COMPONENT})*", re.ASCII)
_PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128}
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", re.ASCII)
_HEX_64 = re.compile(r"[a-f0-9]{64}", re.ASCII)
_PORT = re.compile(r"[0-9]+", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference, complete: host, repository, and a tag or a digest or both."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The reference in this text, with Docker's defaults. Raises ValueError with a sentence."""
        if not text:
            raise ValueError("Enter a Docker Image URL, such as ghcr.io/acme/ubuntu:24.04.")
        if len(text) > _LONGEST_INPUT:
            raise ValueError(f"The Docker Image URL is longer than {_LONGEST_INPUT} characters.")
        if any(character.isspace() or not character.isprintable() for character in text):
            raise ValueError("A Docker Image URL holds no spaces and no control characters. Take them out.")
        if _SCHEME.match(text):
            raise ValueError("A Docker Image URL has no scheme. Leave out what stands before the registry's host, up to and with ://.")
        rest, at, digest = text.partition("@")
        if at and "/" in digest:
            raise ValueError("A Docker Image URL holds no user name and no password. Leave out what stands before the @, and the @.")
        if at:
            _refuse_digest(digest)
        if _HEX_64.fullmatch(rest) and not at:
            raise ValueError("64 hexadecimal digits are an image id and no name. Enter the image's repository, such as ghcr.io/acme/ubuntu.")
        host, path = _split_host(rest)
        repository, tag = _split_tag(path)
        if host == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        _refuse_repository(host, repository)
        return cls(host, repository, tag if tag is not None or digest else "latest", digest or None)

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}" + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """The short form that Docker shows: without `docker.io` and `library/`."""
        text = str(self)
        if self.host != DOCKER_HUB:
            return text
        return text.removeprefix(f"{DOCKER_HUB}/library/") if self.repository.count("/") == 1 else text.removeprefix(f"{DOCKER_HUB}/")


@dataclass(frozen=True, slots=True)
class RegistryHost:
    """A registry's host, bare and in lower case, with its port if it has one; `notes` say what was taken off."""

    host: str
    notes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "RegistryHost":
        """The host in what was typed as a Registry URL: a scheme, a path and a trailing slash are taken off.

        Raises ValueError with a sentence that says what is wrong, and never repeats a user name or a password.
        """
        typed = text.strip()
        if not typed:
            raise ValueError("Enter the registry's host, such as ghcr.io.")
        if len(typed) > _LONGEST_INPUT:
            raise ValueError(f"The Registry URL is longer than {_LONGEST_INPUT} characters.")
        notes: list[str] = []
        scheme = _SCHEME.match(typed)
        if scheme is not None:
            if scheme[1].lower() not in {"http", "https"}:
                raise ValueError("A registry is reached over https. Leave the scheme out: enter just the host, such as ghcr.io.")
            notes.append(f"the scheme {scheme[1].lower()}://")
            typed = typed[scheme.end() :]
        if "@" in typed:
            raise ValueError("A Registry URL holds no user name and no password. Enter just the host; they have fields of their own.")
        if "?" in typed or "#" in typed:
            raise ValueError("A Registry URL has no query and no fragment. Leave out what follows the ? or #.")
        if any(character.isspace() or not character.isprintable() for character in typed):
            raise ValueError("A Registry URL holds no spaces and no control characters. Take them out.")
        host, slash, path = typed.partition("/")
        if path.strip("/"):
            notes.append(f"the path /{path}")
        elif slash:
            notes.append("the trailing slash")
        host = _checked_host(host)
        if not _is_domain(host):
            raise ValueError(
                f"{host} cannot be a registry: an image reference would read it as a repository of Docker Hub."
                f" Enter the whole host name, such as {host}.example.com, or add a port, such as {host}:5000."
            )
        return cls(host, (f"Taken off: {' and '.join(notes)}. Stored is the host {host}.",) if notes else ())


def same_registry(first: str, second: str) -> bool:
    """Whether two hosts are one registry: `docker.io`, `index.docker.io` and `registry-1.docker.io` are.

    A port tells registries apart, 443 too: clients use the host as it stands as the key of a credential.
    """
    return first == second or (first in _DOCKER_HUB_HOSTS and second in _DOCKER_HUB_HOSTS)


def _is_domain(component: str) -> bool:
    return any(character in component for character in ".:") or component == "localhost" or component != component.lower()


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _is_domain(first):
        return DOCKER_HUB, name
    host = _checked_host(first)
    return (DOCKER_HUB if host == "index.docker.io" else host), rest


def _split_tag(path: str) -> tuple[str, str | None]:
    repository, colon, tag = path.partition(":")
    if not colon:
        return repository, None
    if not _TAG.fullmatch(tag):
        raise ValueError("The tag (what follows the last colon) is 1 to 128 letters, digits, _, . and -, and begins with none of the last two.")
    return repository, tag


def _refuse_repository(host: str, repository: str) -> None:
    if not repository:
        raise ValueError("The repository is missing after the host, such as in ghcr.io/acme/ubuntu.")
    if len(repository) + len(host) + 1 > _LONGEST_NAME:
        raise ValueError(f"The host and the repository together are longer than {_LONGEST_NAME} characters.")
    if repository != repository.lower():
        raise ValueError("A repository is in lower case. Only the host and the tag may hold upper-case letters.")
    for component in repository.split("/"):
        if not _PATH_COMPONENT.fullmatch(component):
            shown = f"{component!r}" if component else "an empty part (two slashes, or one at the end)"
            raise ValueError(f"{shown} cannot be a part of a repository: lower-case letters and digits, joined by one ., one or two _ or any number of -.")


def _refuse_digest(digest: str) -> None:
    algorithm, colon, encoded = digest.partition(":")
    length = _DIGESTS.get(algorithm)
    if not colon or (length is None and not _DIGEST.fullmatch(digest)):
        raise ValueError("The digest (what follows the @) is the algorithm, a colon and hexadecimal digits, such as sha256: and 64 of them.")
    if length is not None and (len(encoded) != length or not re.fullmatch(r"[a-f0-9]+", encoded, re.ASCII)):
        raise ValueError(f"A {algorithm} digest has {length} hexadecimal digits in lower case.")


def _checked_host(text: str) -> str:
    """The host in lower case. Raises ValueError."""
    if "@" in text:
        raise ValueError("A Docker Image URL holds no user name and no password.")
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        _refuse_ipv6(address, bracket)
        host = f"[{address.lower()}]"
        if port and not port.startswith(":"):
            raise ValueError("After the bracket of an IPv6 address only a colon and a port may stand.")
        return host + _checked_port(port[1:] if port else None)
    name, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError("A host has one port. An IPv6 address stands in brackets, such as [2001:db8::1]:5000.")
    if not _DOMAIN_NAME.fullmatch(name) or len(name) > _LONGEST_HOST:
        raise ValueError("That is no host name of a registry: letters, digits and -, joined by single dots, and no part begins or ends with -.")
    return name.lower() + _checked_port(port if colon else None)


def _checked_port(port: str | None) -> str:
    if port is None:
        return ""
    if not _PORT.fullmatch(port) or not 1 <= int(port[:6]) <= 65535 or len(port) > 5:
        raise ValueError("The port (what follows the colon) is a number from 1 to 65535.")
    return f":{port}"


def _refuse_ipv6(address: str, bracket: str) -> None:
    try:
        if not bracket or "%" in address:
            raise ValueError
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("What stands in brackets has to be an IPv6 address, such as [2001:db8::1].") from None
