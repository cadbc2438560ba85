"""What a setting may be: each value's parser raises ValueError with a sentence that says what would be right.

The sentences quote nothing that may hold a password.
"""

import os
import re
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote, unquote, urlsplit

from webapp.errors import ConfigurationError

T = TypeVar("T")

MOST_PROCESSES = 64
LOG_LEVELS = ("debug", "info", "warning", "error")

LogFormat = Literal["text", "json"]

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?", re.ASCII | re.IGNORECASE)
_PUBLIC_URL_EXAMPLE = "Write it as https://credentials.example.com, or as http://127.0.0.1:8000 for this machine only."
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that host: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address in ip_network("127.0.0.0/8") or address == ip_address("::1")


def is_address(host: str) -> bool:
    """Whether that host is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def read(environ: Mapping[str, str], name: str, parse: Callable[[str], T], default: T, *, secret: bool = False) -> T:
    """The variable's value, parsed; of a secret, also from the file that NAME_FILE names.

    Raises ConfigurationError: one line that names the variable, what is wrong with it and what would be right.
    """
    text = environ.get(name, "").strip()
    if secret and (file := environ.get(f"{name}_FILE", "").strip()):
        if text:
            raise ConfigurationError(f"{name} and {name}_FILE are both set: set one of them.")
        name = f"{name}_FILE"
        try:
            text = Path(file).read_text("utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"{name}: {shown(file)} cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name}: {shown(file)} is no UTF-8 text.") from None
        if not text:
            raise ConfigurationError(f"{name}: {shown(file)} is empty. Put the value into it, on one line.")
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def shown(text: str) -> str:
    """A value that is no secret, quoted so that it stays on one line."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def parse_path(text: str) -> Path:
    """An absolute path; links are not followed."""
    if not text.isprintable():
        raise ValueError(f"{shown(text)} holds characters that cannot be seen.")
    return Path(os.path.abspath(text))  # noqa: PTH100  follows no links: the key's default place is beside the name as it was given


def parse_directory(text: str) -> Path:
    """The path of a directory, which need not be there yet."""
    path = parse_path(text)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is no directory.")
    if not path.name:
        raise ValueError("the root of the file system is no place for it; name a directory of its own.")
    return path


def parse_readable(text: str) -> Path:
    """The path of a file that can be read."""
    path = parse_path(text)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from None


def sqlite_url(path: Path) -> str:
    """The database URL of a file."""
    return "sqlite:///" + quote(str(path))


def is_sqlite(url: str) -> bool:
    """Whether this database URL, as `parse_database_url` gives it, names a file of SQLite."""
    return url.startswith("sqlite:")


def parse_database_url(text: str) -> str:
    """`sqlite:///PATH` (percent-encoded), a plain path, or `postgresql://…`. The value is never quoted: it may hold a password."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        if ":" in text or "?" in text:
            raise ValueError("it names no file. Write sqlite:///PATH.")
        return sqlite_url(parse_path(text))
    if scheme.lower().partition("+")[0] in {"postgresql", "postgres"}:
        if scheme.lower() not in {"postgresql", "postgres"} or not text.isprintable() or " " in text or not _names_a_database(text):
            raise ValueError("it cannot be used. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.")
        return text
    if scheme.lower() != "sqlite" or not rest.startswith("/") or rest == "/" or any(character in rest for character in ":?#"):
        raise ValueError("it cannot be used. Write sqlite:///PATH, or leave it out.")
    return sqlite_url(parse_path(unquote(rest[1:])))


def _names_a_database(text: str) -> bool:
    try:
        return bool(urlsplit(text).path.strip("/"))
    except ValueError:
        return False


def parse_host(text: str) -> str:
    """An address or a host name, in lower case."""
    try:
        return str(ip_address(text))
    except ValueError:
        if _HOST_NAME.fullmatch(text):
            return text.lower()
    raise ValueError(f"{shown(text)} is no address. Write one such as 127.0.0.1, ::1 (without brackets), 0.0.0.0, or a host name.")


def parse_port(text: str) -> int:
    """A port, from 1 to 65535."""
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{shown(text)} is no port. Write a number from 1 to 65535.")
    return int(text)


def parse_processes(text: str) -> int:
    """A number of processes, from 1 to 64."""
    if not re.fullmatch("[0-9]{1,2}", text, re.ASCII) or not 1 <= int(text) <= MOST_PROCESSES:
        raise ValueError(
            f"{shown(text)} is no number of processes. Write one from 1 to {MOST_PROCESSES}; as many as there are cores is usual."
        )
    return int(text)


def parse_public_url(text: str) -> str:
    """The URL as a browser's `Origin` has it: no path, lower case, no default port (RFC 6454, section 6.2)."""
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parse_host(parts.hostname or "")
        scheme_is_right = parts.scheme in _DEFAULT_PORTS and text.isprintable() and "%" not in host
    except ValueError:
        scheme_is_right = False
    if not scheme_is_right:
        raise ValueError(f"it is no URL of a web site. {_PUBLIC_URL_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError(f"it holds a user name. {_PUBLIC_URL_EXAMPLE}")
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError(f"it has more than a host: take off what follows it. {_PUBLIC_URL_EXAMPLE}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http:// is for this machine only, and {host} may be another. Write it with https://.")
    return origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def default_public_url(host: str, port: int, *, tls: bool) -> str:
    """What people type when nothing else was said."""
    # Nobody can open http://0.0.0.0 from elsewhere: the machine's own name is the best guess.
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104  compared, not listened on
    return origin("https" if tls else "http", name, port)


def origin(scheme: str, host: str, port: int) -> str:
    """The URL as a browser's `Origin` has it."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks, with commas between."""
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError:
            raise ValueError(f"{shown(part)} is no address or network. Write some such as 127.0.0.1, 10.0.0.0/8.") from None
    return tuple(networks)


def parse_token(text: str) -> str:
    """A token as it goes into a header; it is never quoted."""
    if not re.fullmatch(r"[!-~]{1,4096}", text, re.ASCII):
        raise ValueError("it is no token: one has no blanks and no line ends in it.")
    return text


def parse_sink(text: str) -> str:
    """Where something is written to: a path, a URL without a user name (https, or http on this machine), or `none`, which gives ""."""
    if text.lower() == "none":
        return ""
    if "://" not in text:
        return str(parse_path(text))
    try:
        parts = urlsplit(text)
        _ = parts.port
        known = parts.scheme in _DEFAULT_PORTS and text.isprintable() and text.isascii() and bool(parse_host(parts.hostname or ""))
    except ValueError:
        known = False
    if not known or "@" in parts.netloc or parts.fragment:
        raise ValueError("it is no path and no URL. Write a file's path, https://logs.example.com/heads, or none.")
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise ValueError("what goes to other machines goes over https://. Write it with https://.")
    return text


def parse_log_level(text: str) -> str:
    """A level of the log, in lower case."""
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"{shown(text)} is no level. Write {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}.")
    return text.lower()


def parse_log_format(text: str) -> LogFormat:
    """What a record of the log looks like."""
    formats: dict[str, LogFormat] = {"text": "text", "json": "json"}
    if text.lower() not in formats:
        raise ValueError(f"{shown(text)} is no format of the log. Write text, for lines to read, or json, for a collector.")
    return formats[text.lower()]


def parse_switch(text: str) -> bool:
    """What is on or off."""
    if text.lower() not in {"on", "off"}:
        raise ValueError(f"{shown(text)} is neither. Write on or off.")
    return text.lower() == "on"
