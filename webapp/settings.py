"""The settings: environment variables that begin with `WEBAPP_`, read once, each with its type and its rule.

A secret may also be in a file that the variable with `_FILE` behind its name points at, as Docker's and
systemd's secrets are. A variable that is set to nothing counts as not set.
"""

import difflib
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from webapp.errors import ConfigurationError

T = TypeVar("T")

VARIABLES = {
    "WEBAPP_DATA_DIR": "the directory with the store (./data)",
    "WEBAPP_DATABASE_URL": "sqlite:///PATH (in the data directory); or WEBAPP_DATABASE_URL_FILE",
    "WEBAPP_ROOT_KEY_FILE": "the root key, outside the data directory (<data directory>-key/root.key)",
    "WEBAPP_HOST": "the address to listen on (127.0.0.1)",
    "WEBAPP_PORT": "the port to listen on (8000)",
    "WEBAPP_PUBLIC_URL": "what people type to get here (http://HOST:PORT; https:// with the TLS files)",
    "WEBAPP_TLS_CERT_FILE": "the certificate with its chain, PEM (none)",
    "WEBAPP_TLS_KEY_FILE": "its private key, PEM, without a passphrase (none)",
    "WEBAPP_TRUSTED_PROXIES": "whose X-Forwarded-For counts: addresses or networks, with commas between (none)",
    "WEBAPP_OFFICIAL_IMAGES_FILE": "JSON with the official images (none)",
    "WEBAPP_AUDIT_HEADS": "where signed heads of the audit log go: a file, a URL, or none (<data directory>-heads/heads.jsonl)",
    "WEBAPP_AUDIT_HEADS_TOKEN": "the bearer token for that URL (none); or WEBAPP_AUDIT_HEADS_TOKEN_FILE",
    "WEBAPP_LOG_LEVEL": "debug, info, warning or error (info)",
}
"""Every variable, with its meaning and, in brackets, its default; the command line's help shows this."""

IN_FILES = ("WEBAPP_DATABASE_URL_FILE", "WEBAPP_AUDIT_HEADS_TOKEN_FILE")
"""The variables that name a file with the value of a secret one."""

LOG_LEVELS = ("debug", "info", "warning", "error")

_DATABASE_FILE = "registry-credentials.sqlite3"
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?", re.ASCII | re.IGNORECASE)
_PUBLIC_URL_EXAMPLE = "Write it as https://credentials.example.com, or as http://127.0.0.1:8000 for this machine only."
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Settings:
    """How this installation is set up. Made by `from_environ`; all paths are absolute."""

    data_dir: Path
    database_url: str = field(repr=False)
    root_key_file: Path
    host: str
    port: int
    public_url: str
    tls_cert_file: Path | None
    tls_key_file: Path | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    official_images_file: Path | None
    audit_heads: str
    """The path or the URL; empty for none."""
    audit_heads_token: str = field(repr=False)
    log_level: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; touches no file but to see that those it names can be read.

        Raises ConfigurationError: one line that names the variable, what is wrong with it and what would be right.
        """
        data_dir = _read(environ, "WEBAPP_DATA_DIR", _directory, _directory("data"))
        cert_file = _read(environ, "WEBAPP_TLS_CERT_FILE", _readable, None)
        host = _read(environ, "WEBAPP_HOST", _host, "127.0.0.1")
        port = _read(environ, "WEBAPP_PORT", _port, 8000)
        settings = cls(
            data_dir=data_dir,
            database_url=_read(environ, "WEBAPP_DATABASE_URL", _database_url, _sqlite_url(data_dir / _DATABASE_FILE), secret=True),
            root_key_file=_read(environ, "WEBAPP_ROOT_KEY_FILE", _path, data_dir.with_name(data_dir.name + "-key") / "root.key"),
            host=host,
            port=port,
            public_url=_read(environ, "WEBAPP_PUBLIC_URL", _public_url, _default_public_url(host, port, tls=cert_file is not None)),
            tls_cert_file=cert_file,
            tls_key_file=_read(environ, "WEBAPP_TLS_KEY_FILE", _readable, None),
            trusted_proxies=_read(environ, "WEBAPP_TRUSTED_PROXIES", _networks, ()),
            official_images_file=_read(environ, "WEBAPP_OFFICIAL_IMAGES_FILE", _readable, None),
            audit_heads=_read(environ, "WEBAPP_AUDIT_HEADS", _sink, str(data_dir.with_name(data_dir.name + "-heads") / "heads.jsonl")),
            audit_heads_token=_read(environ, "WEBAPP_AUDIT_HEADS_TOKEN", _bearer, "", secret=True),
            log_level=_read(environ, "WEBAPP_LOG_LEVEL", _log_level, "info"),
        )
        _refuse_contradictions(settings)
        return settings

    def make_data_dir(self) -> None:
        """Make the data directory, for this user only. Raises ConfigurationError."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"WEBAPP_DATA_DIR: the directory {self.data_dir} cannot be made ({error.strerror}).") from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for every `WEBAPP_…` variable that means nothing here, with the one that was perhaps meant."""
    known = {*VARIABLES, *IN_FILES}
    lines = []
    for name in sorted(environ):
        if name.startswith("WEBAPP_") and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            lines.append(f"{name} is no setting, so it has no effect." + (f" Did you mean {close[0]}?" if close else ""))
    return lines


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that host: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address in ip_network("127.0.0.0/8") or address == ip_address("::1")


def _read(environ: Mapping[str, str], name: str, parse: Callable[[str], T], default: T, *, secret: bool = False) -> T:
    text = environ.get(name, "").strip()
    if secret and (file := environ.get(f"{name}_FILE", "").strip()):
        if text:
            raise ConfigurationError(f"{name} and {name}_FILE are both set: set one of them.")
        name = f"{name}_FILE"
        try:
            text = Path(file).read_text("utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"{name}: {_shown(file)} cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name}: {_shown(file)} is no UTF-8 text.") from None
        if not text:
            raise ConfigurationError(f"{name}: {_shown(file)} is empty. Put the value into it, on one line.")
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _shown(text: str) -> str:
    """A value that is no secret, quoted so that it stays on one line."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _path(text: str) -> Path:
    if not text.isprintable():
        raise ValueError(f"{_shown(text)} holds characters that cannot be seen.")
    return Path(os.path.abspath(text))  # noqa: PTH100  follows no links: the key's default place is beside the name as it was given


def _directory(text: str) -> Path:
    path = _path(text)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is no directory.")
    if not path.name:
        raise ValueError("the root of the file system is no place for it; name a directory of its own.")
    return path


def _readable(text: str) -> Path:
    path = _path(text)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from None


def _sqlite_url(path: Path) -> str:
    return "sqlite:///" + quote(str(path))


def _database_url(text: str) -> str:
    """Either `sqlite:///PATH` (percent-encoded) or a plain path. The value is never quoted: other kinds hold passwords."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        if ":" in text or "?" in text:
            raise ValueError("it names no file. Write sqlite:///PATH.")
        return _sqlite_url(_path(text))
    if scheme.lower().partition("+")[0] in {"postgresql", "postgres"}:
        raise ValueError("PostgreSQL is not supported yet. Use sqlite:///PATH, or leave it out.")
    if scheme.lower() != "sqlite" or not rest.startswith("/") or rest == "/" or any(character in rest for character in ":?#"):
        raise ValueError("it cannot be used. Write sqlite:///PATH, or leave it out.")
    return _sqlite_url(_path(unquote(rest[1:])))


def _host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        if _HOST_NAME.fullmatch(text):
            return text.lower()
    raise ValueError(f"{_shown(text)} is no address. Write one such as 127.0.0.1, ::1 (without brackets), 0.0.0.0, or a host name.")


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{_shown(text)} is no port. Write a number from 1 to 65535.")
    return int(text)


def _public_url(text: str) -> str:
    """The URL as a browser's `Origin` has it: no path, lower case, no default port (RFC 6454, section 6.2)."""
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _host(parts.hostname or "")
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
    return _origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def _default_public_url(host: str, port: int, *, tls: bool) -> str:
    # Nobody can open http://0.0.0.0 from elsewhere: the machine's own name is the best guess.
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104  compared, not listened on
    return _origin("https" if tls else "http", name, port)


def _origin(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


def _sink(text: str) -> str:
    """Where heads go: a path, a URL without a user name, or `none`, which is the empty string."""
    if text.lower() == "none":
        return ""
    if "://" not in text:
        return str(_path(text))
    try:
        parts = urlsplit(text)
        _ = parts.port
        known = parts.scheme in _DEFAULT_PORTS and text.isprintable() and text.isascii() and bool(_host(parts.hostname or ""))
    except ValueError:
        known = False
    if not known or "@" in parts.netloc or parts.fragment:
        raise ValueError("it is no path and no URL. Write a file's path, https://logs.example.com/heads, or none.")
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise ValueError("heads go over https:// to other machines. Write it with https://.")
    return text


def _bearer(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,4096}", text):
        raise ValueError("it is no bearer token: only visible ASCII characters, without blanks.")
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(part))
        except ValueError:
            raise ValueError(f"{_shown(part)} is no address or network. Write some such as 127.0.0.1, 10.0.0.0/8.") from None
    return tuple(networks)


def _log_level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"{_shown(text)} is no level. Write {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}.")
    return text.lower()


def _refuse_contradictions(settings: Settings) -> None:
    if settings.tls_cert_file and not settings.tls_key_file:
        raise ConfigurationError("WEBAPP_TLS_KEY_FILE: it is missing; WEBAPP_TLS_CERT_FILE needs the certificate's private key beside it.")
    if settings.tls_key_file and not settings.tls_cert_file:
        raise ConfigurationError("WEBAPP_TLS_CERT_FILE: it is missing; WEBAPP_TLS_KEY_FILE needs the key's certificate beside it.")
    https = settings.public_url.startswith("https://")
    if settings.tls_cert_file and not https:
        raise ConfigurationError("WEBAPP_PUBLIC_URL: with WEBAPP_TLS_CERT_FILE the server speaks https. Write it with https://.")
    if not is_loopback(settings.host) and not settings.tls_cert_file and not https:
        raise ConfigurationError(
            f"WEBAPP_HOST: {settings.host} can be reached from other machines, and there is no TLS. Set WEBAPP_TLS_CERT_FILE and"
            " WEBAPP_TLS_KEY_FILE, or WEBAPP_PUBLIC_URL to the https:// address of the proxy in front, or listen on 127.0.0.1."
        )
    if settings.audit_heads_token and "://" not in settings.audit_heads:
        raise ConfigurationError("WEBAPP_AUDIT_HEADS_TOKEN: it is for a URL, and WEBAPP_AUDIT_HEADS names none.")
    if settings.root_key_file.is_relative_to(settings.data_dir):
        raise ConfigurationError(
            f"WEBAPP_ROOT_KEY_FILE: {settings.root_key_file} is in the data directory, whose copies would hold it, too. Put it elsewhere."
        )
