"""Image references and registry hosts: `host[:port]/repository[:tag][@digest]`, with Docker's defaults.

The grammar is that of distribution/reference (https://github.com/distribution/reference, `reference.go` and `regexp.go`):

    reference        := name [ ":" tag ] [ "@" digest ]
    name             := [domain "/"] path
    domain           := host [":" port-number]
    host             := domain-name | IPv4address | "[" IPv6address "]"
    domain-name      := domain-component ["." domain-component]*
    domain-component := /([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])/
    port-number      := /[0-9]+/
    path             := path-component ["/" path-component]*          ; at most 255 characters
    path-component   := alpha-numeric [separator alpha-numeric]*
    alpha-numeric    := /[a-z0-9]+/
    separator        := /[_.]|__|[-]+/
    tag              := /[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/
    digest           := algorithm ":" encoded
    algorithm        := component [ /[+._-]/ component ]*, a component being /[A-Za-z][A-Za-z0-9]*/
    encoded          := /[0-9a-fA-F]{32,}/

The defaults are those of its `normalize.go` (`ParseDockerRef`): the first component is a domain only when it holds
a dot or a colon, is `localhost`, or has an upper-case letter; otherwise the domain is `docker.io`. There, a path of
one component is in `library/`. `index.docker.io` is written `docker.io`. Without a tag and a digest the tag is
`latest`. A name of 64 hexadecimal digits alone is an image's id and no name.

Where this is narrower, because what is stored has to mean the same when it is read again:
- A domain is in lower case. One that is a domain only by its upper-case letters (`Acme/ubuntu`) would turn into a
  repository of Docker Hub, so it is refused; so is `a_b.example/x`, which `ParseDockerRef` takes for a name without a domain.
- A host name has at most 253 characters (RFC 1035, section 2.3.4), a port is 1 to 65535 without leading zeros, and what
  stands in brackets is a whole IPv6 address.
- A digest's algorithm is in lower case, and sha256, sha384 and sha512 have their own lengths, in lower-case hexadecimal
  (https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests).
- A tag beside a digest is kept; `ParseDockerRef` drops it.
"""

import ipaddress
import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"

DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_LONGEST_INPUT = 1024
_LONGEST_REPOSITORY = 255
_LONGEST_HOST = 253

# No expression here can match one text in two ways, so that each is linear in its length.
_DOMAIN_NAME = re.compile(r"[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*(?:\.[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*)*")
_NOT_IN_DOMAIN_NAME = re.compile(r"[^a-zA-Z0-9.-]")
_IPV6 = re.compile(r"[a-fA-F0-9:]+")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z][a-z0-9]*(?:[-_+.][a-z][a-z0-9]*)*:[0-9a-fA-F]{32,}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LOWER_HEX = re.compile(r"[0-9a-f]+")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HALF_A_SCHEME = re.compile(r"https?:(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference, complete: host, repository, and a tag or a digest or both. Made by `parse`."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The reference in this text, with Docker's defaults.

        Raises ValueError with a sentence that says what is wrong and what would be right, and that never repeats
        a user name or a password.
        """
        if not text.strip():
            raise ValueError("Enter a Docker Image URL, such as ghcr.io/acme/ubuntu:24.04.")
        if len(text) > _LONGEST_INPUT:
            raise ValueError(f"The Docker Image URL has {len(text)} characters. Use at most {_LONGEST_INPUT}.")
        rest, at, digest = text.partition("@")
        if "/" in digest:
            raise ValueError(
                "A Docker Image URL holds no user name and no password: those are in the registry credential."
                " Begin with the registry's host, such as ghcr.io/acme/ubuntu:24.04."
            )
        if _SCHEME.match(text) or (_HALF_A_SCHEME.match(text) and "/" in text):
            raise ValueError(
                "A Docker Image URL has no scheme, such as https://. Begin with the registry's host, such as ghcr.io/acme/ubuntu:24.04."
            )
        _refuse_spaces(text, "Docker Image URL")
        if at:
            _refuse_digest(digest)
        elif _IMAGE_ID.fullmatch(text):
            raise ValueError("64 hexadecimal digits are an image's id and no name. Enter its repository, such as ghcr.io/acme/ubuntu.")
        host, path = _split_host(rest)
        repository, tag = _split_tag(path)
        if host == DOCKER_HUB and repository and "/" not in repository:
            repository = f"library/{repository}"
        _refuse_repository(repository)
        return cls(host, repository, tag if tag or digest else "latest", digest or None)

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}{self._tag_and_digest}"

    @property
    def familiar(self) -> str:
        """The short form that Docker shows, without `docker.io` and `library/`, where that still is the same reference."""
        if self.host != DOCKER_HUB:
            return str(self)
        first, _, rest = self.repository.partition("/")
        if first == "library" and "/" not in rest:
            return f"{rest}{self._tag_and_digest}"
        return str(self) if _is_domain(first) else f"{self.repository}{self._tag_and_digest}"

    @property
    def _tag_and_digest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class RegistryHost:
    """A registry's host, bare and in lower case, with its port if it has one; `notes` are sentences on what was taken off."""

    host: str
    notes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "RegistryHost":
        """The host in what was typed as a Registry URL: a scheme, a path and a trailing slash are taken off.

        Every host that this gives is one that `Reference.parse` reads as the host of `HOST/a/b`. Raises ValueError with a
        sentence that says what is wrong and what would be right, and that never repeats a user name or a password.
        """
        typed = text.strip()
        if not typed:
            raise ValueError("Enter the registry's host, such as ghcr.io.")
        if len(typed) > _LONGEST_INPUT:
            raise ValueError(f"The Registry URL has {len(typed)} characters. Enter just the registry's host, such as ghcr.io.")
        if "@" in typed:  # anywhere: a password may hold a slash or a ?, so that what follows those is no path
            raise ValueError(
                "A Registry URL holds no user name, no password and no @. Enter just the host, such as ghcr.io:"
                " user name and password have fields of their own."
            )
        scheme = _SCHEME.match(typed)
        if scheme is not None and scheme[1].lower() not in {"http", "https"}:
            raise ValueError("A registry speaks https. Leave the scheme out and enter just the host, such as ghcr.io.")
        rest = typed[scheme.end() :] if scheme is not None else typed
        if _HALF_A_SCHEME.match(rest):
            raise ValueError("That begins with a scheme that is not whole. Leave it out and enter just the host, such as ghcr.io.")
        if "?" in rest or "#" in rest:
            raise ValueError("A Registry URL has no query and no fragment. Leave out what begins with the ? or the #.")
        _refuse_spaces(typed, "Registry URL")
        host, slash, path = rest.partition("/")
        host = _checked_host(host)
        if not _is_domain(host):
            raise ValueError(
                f"In an image reference {host} would be a repository of Docker Hub and no host."
                f" Enter the registry's whole name, such as {host}.example.com, or add its port, such as {host}:5000."
            )
        taken_off = [f"the scheme {scheme[0].lower()}"] if scheme is not None else []
        if path.strip("/"):
            taken_off.append(f"the path {_shown(slash + path)}")
        elif slash:
            taken_off.append("the trailing slash")
        return cls(host, (f"Taken off: {' and '.join(taken_off)}.",) if taken_off else ())


def same_registry(first: str, second: str) -> bool:
    """Whether two hosts are one registry: `docker.io`, `index.docker.io` and `registry-1.docker.io` are.

    The port counts, also 443: `ghcr.io` and `ghcr.io:443` are two. Clients look a credential up by the host exactly as the
    reference has it, and a registry that is set up without TLS is asked at port 80 when no port is given, so the two need not
    even be one program. Saying "not the same" hands nothing out; the page names both hosts, and either can be changed.
    """
    first, second = first.lower(), second.lower()
    return first == second or (first in DOCKER_HUB_HOSTS and second in DOCKER_HUB_HOSTS)


def _is_domain(component: str) -> bool:
    return any(character in component for character in ".:") or component == "localhost" or component != component.lower()


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _is_domain(first):
        return DOCKER_HUB, name
    host = _checked_host(first)
    if not _is_domain(host):
        raise ValueError(
            f"{_shown(first)} before the first slash is read as a registry's host because of its upper-case letters."
            f" For a repository of Docker Hub write {_shown(host)}; for a registry write its whole name, with a dot or with a port."
        )
    return (DOCKER_HUB if host == "index.docker.io" else host), rest


def _split_tag(path: str) -> tuple[str, str | None]:
    repository, colon, tag = path.partition(":")
    if not colon:
        return repository, None
    if not _TAG.fullmatch(tag):
        raise ValueError(
            "What follows the repository and a colon is no tag. A tag has 1 to 128 letters (a to z), digits, _, . and -,"
            " and does not begin with . or -, such as 24.04."
        )
    return repository, tag


def _refuse_repository(repository: str) -> None:
    if not repository:
        raise ValueError("The repository is missing. It follows the host and a slash, such as in ghcr.io/acme/ubuntu:24.04.")
    if len(repository) > _LONGEST_REPOSITORY:
        raise ValueError(f"The repository has {len(repository)} characters. It has at most {_LONGEST_REPOSITORY}.")
    for component in repository.split("/"):
        if not component:
            raise ValueError("The repository has a slash too many: one stands between two parts, and none at the end.")
        if component != component.lower():
            raise ValueError(
                f"The part {_shown(component)} of the repository has upper-case letters. A repository is in lower case throughout."
            )
        if not _PATH_COMPONENT.fullmatch(component):
            raise ValueError(
                f"The part {_shown(component)} of the repository is not right. A part is lower-case letters (a to z) and digits,"
                " joined by one ., by one or two _, or by any number of -, such as my-image."
            )


def _refuse_digest(digest: str) -> None:
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is not None:
        if len(encoded) != length or not _LOWER_HEX.fullmatch(encoded):
            raise ValueError(f"What follows the @ is no digest: after {algorithm}: come {length} hexadecimal digits, in lower case.")
    elif not _DIGEST.fullmatch(digest):
        raise ValueError(
            "What follows the @ is no digest. A digest is the algorithm in lower case, a colon and hexadecimal digits,"
            " such as sha256: and 64 of them."
        )


def _checked_host(text: str) -> str:
    """The `host[:port]` in lower case. Raises ValueError."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_ipv6(address):
            raise ValueError("What stands in brackets has to be an IPv6 address, such as [2001:db8::1], without a zone.")
        if rest and not rest.startswith(":"):
            raise ValueError("After the brackets of an IPv6 address comes a colon and the port, such as [2001:db8::1]:5000, or nothing.")
        return f"[{address.lower()}]" + (f":{_checked_port(rest[1:])}" if rest else "")
    name, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError("The host has more than one colon. An IPv6 address stands in brackets, such as [2001:db8::1]:5000.")
    _refuse_host_name(name)
    return name.lower() + (f":{_checked_port(port)}" if colon else "")


def _checked_port(port: str) -> str:
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("The port, which follows the host and a colon, is a number from 1 to 65535, such as registry.example.com:5000.")
    return port


def _refuse_host_name(name: str) -> None:
    if not name:
        raise ValueError("The registry's host is missing. Enter it first, such as ghcr.io.")
    if len(name) > _LONGEST_HOST:
        raise ValueError(f"The registry's host has {len(name)} characters. A host name has at most {_LONGEST_HOST}.")
    wrong = _NOT_IN_DOMAIN_NAME.search(name)
    if wrong is not None:
        ascii_form = "" if wrong[0].isascii() else " An international name is entered in its ASCII form, which begins with xn--."
        raise ValueError(
            f"{wrong[0]} cannot stand in a registry's host: a host has letters (a to z), digits, - and dots, such as ghcr.io.{ascii_form}"
        )
    if not _DOMAIN_NAME.fullmatch(name):
        raise ValueError(
            "Each part of a registry's host, between two dots, has a letter or a digit first and last."
            " No dot stands first, last or beside another, and no - beside a dot or at an end, such as in my-registry.example.com."
        )


def _is_ipv6(address: str) -> bool:
    """Whether this is an IPv6 address as the grammar has it: without a zone, and without an IPv4 address at its end."""
    try:
        return _IPV6.fullmatch(address) is not None and bool(ipaddress.IPv6Address(address))
    except ValueError:
        return False


def _refuse_spaces(text: str, what: str) -> None:
    for position, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable():
            kind = "a space" if character.isspace() else "an invisible character"
            raise ValueError(f"Character {position} of the {what} is {kind}. Take it out.")


def _shown(text: str) -> str:
    """The text for a sentence, shortened when it is long."""
    return text if len(text) <= 40 else f"{text[:40]}…"
