"""The settings: environment variables that begin with `WEBAPP_`, read once, each with its type and its rule.

A secret may also be in a file that the variable with `_FILE` behind its name points at, as Docker's and
systemd's secrets are. A variable that is set to nothing counts as not set.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from webapp.errors import ConfigurationError
from webapp.kms_key import KmsKey, parse_root_key, parse_service
from webapp.oidc_settings import OIDC_VARIABLES, OidcSettings, read_oidc
from webapp.registry.allowed import AllowedRealms, Origin, parse_realms, parse_registries
from webapp.setting_values import (
    LogFormat,
    default_public_url,
    is_address,
    is_loopback,
    is_sqlite,
    parse_database_url,
    parse_directory,
    parse_host,
    parse_log_format,
    parse_log_level,
    parse_networks,
    parse_path,
    parse_port,
    parse_processes,
    parse_public_url,
    parse_readable,
    parse_sink,
    parse_switch,
    parse_token,
    read,
    sqlite_url,
)

VARIABLES = {
    "WEBAPP_DATA_DIR": "the directory with the store (./data)",
    "WEBAPP_DATABASE_URL": "sqlite:///PATH (in the data directory), or postgresql://USER:PASSWORD@HOST/NAME; or WEBAPP_DATABASE_URL_FILE",
    "WEBAPP_ROOT_KEY": "where the root key comes from: file, aws-kms:ARN or transit:URL/MOUNT/KEY (file)",
    "WEBAPP_ROOT_KEY_FILE": "the root key, outside the data directory (<data directory>-key/root.key)",
    "WEBAPP_AWS_KMS_ENDPOINT": "another address of AWS KMS, such as a VPC endpoint (the region's own)",
    "WEBAPP_TRANSIT_TOKEN": "the token for transit: (none); or WEBAPP_TRANSIT_TOKEN_FILE, read anew at each use",
    "WEBAPP_TRANSIT_CA_FILE": "the certificates to trust for transit:, PEM (the system's)",
    "WEBAPP_HOST": "the address to listen on (127.0.0.1)",
    "WEBAPP_PORT": "the port to listen on (8000)",
    "WEBAPP_PROCESSES": "how many processes serve, 1 to 64; more than one need PostgreSQL (1)",
    "WEBAPP_PUBLIC_URL": "what people type to get here (http://HOST:PORT; https:// with the TLS files)",
    "WEBAPP_TLS_CERT_FILE": "the certificate with its chain, PEM (none)",
    "WEBAPP_TLS_KEY_FILE": "its private key, PEM, without a passphrase (none)",
    "WEBAPP_TRUSTED_PROXIES": "whose X-Forwarded-For and X-Request-ID count: addresses or networks, with commas between (none)",
    "WEBAPP_OFFICIAL_IMAGES_FILE": "JSON with the official images (none)",
    "WEBAPP_AUDIT_HEADS": "where signed heads of the audit log go: a file, a URL, or none (<data directory>-heads/heads.jsonl)",
    "WEBAPP_AUDIT_HEADS_TOKEN": "the bearer token for that URL (none); or WEBAPP_AUDIT_HEADS_TOKEN_FILE",
    "WEBAPP_ALLOWED_REGISTRIES": "registries that may be in a private network, with commas between; http:// before one without TLS (none)",
    "WEBAPP_ALLOWED_REALMS": "whom else a registry may send its clients to for signing in: REGISTRY=HOST, with commas between (none)",
    "WEBAPP_REGISTRY_CA_FILE": "certificates to trust for registries, besides the system's, PEM (none)",
    "WEBAPP_AWS_OWN_ROLE": "on: credentials of Amazon ECR may use this server's own role in AWS (off)",
    "WEBAPP_AWS_ECR_ENDPOINT": "another address of Amazon ECR, such as a VPC endpoint (the region's own)",
    "WEBAPP_AWS_STS_ENDPOINT": "another address of AWS STS, such as a VPC endpoint (the region's own)",
    "WEBAPP_GOOGLE_TOKEN_ENDPOINT": "another address of Google's token endpoint, without its path (https://oauth2.googleapis.com)",
    **OIDC_VARIABLES,
    "WEBAPP_LOG_LEVEL": "debug, info, warning or error (info)",
    "WEBAPP_LOG_FORMAT": "text, or json for collectors: an object on each line (text)",
}
"""Every variable, with its meaning and, in brackets, its default; the command line's help shows this."""

FROM_FILES = ("WEBAPP_DATABASE_URL_FILE", "WEBAPP_TRANSIT_TOKEN_FILE", "WEBAPP_AUDIT_HEADS_TOKEN_FILE", "WEBAPP_OIDC_CLIENT_SECRET_FILE")
"""The variables that name a file with a value of their own."""

_DATABASE_FILE = "registry-credentials.sqlite3"
_KEY_NAME = "root.key"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this installation is set up. Made by `from_environ`; all paths are absolute."""

    data_dir: Path
    database_url: str = field(repr=False)
    root_key: KmsKey | None
    """The key of a KMS that wraps the root key; None where the root key is in a file."""
    root_key_file: Path
    credentials_dir: Path | None
    """Where systemd puts what it hands over (systemd.exec(5), "Credentials"): nothing is made in there."""
    aws_kms_endpoint: str | None
    transit_token: Callable[[], str] = field(repr=False, compare=False)
    """Reads the token, or "", anew: whatever renews it has written its file anew. Raises ConfigurationError."""
    transit_ca_file: Path | None
    host: str
    port: int
    processes: int
    public_url: str
    tls_cert_file: Path | None
    tls_key_file: Path | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    official_images_file: Path | None
    audit_heads: str
    """The path or the URL; empty for none."""
    audit_heads_token: str = field(repr=False)
    allowed_registries: frozenset[Origin]
    allowed_realms: AllowedRealms
    registry_ca_file: Path | None
    aws_own_role: bool
    aws_ecr_endpoint: str | None
    aws_sts_endpoint: str | None
    google_token_endpoint: str | None
    oidc: OidcSettings | None
    """Whose people may sign in here besides; None for nobody's."""
    log_level: str
    log_format: LogFormat

    @property
    def passkey_domain(self) -> str | None:
        """What passkeys are made for: the public URL's host name (the "relying party identifier", WebAuthn, section 4).

        None where that is an IP address, which no passkey is made for.
        """
        host = urlsplit(self.public_url).hostname or ""
        return None if is_address(host) else host

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; touches no file but to see that those it names can be read.

        Raises ConfigurationError: one line that names the variable, what is wrong with it and what would be right.
        """
        data_dir = read(environ, "WEBAPP_DATA_DIR", parse_directory, parse_directory("data"))
        cert_file = read(environ, "WEBAPP_TLS_CERT_FILE", parse_readable, None)
        host = read(environ, "WEBAPP_HOST", parse_host, "127.0.0.1")
        port = read(environ, "WEBAPP_PORT", parse_port, 8000)
        credentials_dir = _credentials_dir(environ)
        key_file = data_dir.with_name(data_dir.name + "-key") / _KEY_NAME
        if credentials_dir is not None and _is_there(credentials_dir / _KEY_NAME):
            key_file = credentials_dir / _KEY_NAME
        tokens = {name: environ.get(name, "") for name in ("WEBAPP_TRANSIT_TOKEN", "WEBAPP_TRANSIT_TOKEN_FILE")}
        settings = cls(
            data_dir=data_dir,
            database_url=read(environ, "WEBAPP_DATABASE_URL", parse_database_url, sqlite_url(data_dir / _DATABASE_FILE), secret=True),
            root_key=read(environ, "WEBAPP_ROOT_KEY", parse_root_key, None),
            root_key_file=read(environ, "WEBAPP_ROOT_KEY_FILE", parse_path, key_file),
            credentials_dir=credentials_dir,
            aws_kms_endpoint=read(environ, "WEBAPP_AWS_KMS_ENDPOINT", parse_service, None),
            transit_token=partial(read, tokens, "WEBAPP_TRANSIT_TOKEN", parse_token, "", secret=True),
            transit_ca_file=read(environ, "WEBAPP_TRANSIT_CA_FILE", parse_readable, None),
            host=host,
            port=port,
            processes=read(environ, "WEBAPP_PROCESSES", parse_processes, 1),
            public_url=read(environ, "WEBAPP_PUBLIC_URL", parse_public_url, default_public_url(host, port, tls=cert_file is not None)),
            tls_cert_file=cert_file,
            tls_key_file=read(environ, "WEBAPP_TLS_KEY_FILE", parse_readable, None),
            trusted_proxies=read(environ, "WEBAPP_TRUSTED_PROXIES", parse_networks, ()),
            official_images_file=read(environ, "WEBAPP_OFFICIAL_IMAGES_FILE", parse_readable, None),
            audit_heads=read(environ, "WEBAPP_AUDIT_HEADS", parse_sink, str(data_dir.with_name(data_dir.name + "-heads") / "heads.jsonl")),
            audit_heads_token=read(environ, "WEBAPP_AUDIT_HEADS_TOKEN", parse_token, "", secret=True),
            allowed_registries=read(environ, "WEBAPP_ALLOWED_REGISTRIES", parse_registries, frozenset()),
            allowed_realms=read(environ, "WEBAPP_ALLOWED_REALMS", parse_realms, {}),
            registry_ca_file=read(environ, "WEBAPP_REGISTRY_CA_FILE", parse_readable, None),
            aws_own_role=read(environ, "WEBAPP_AWS_OWN_ROLE", parse_switch, False),
            aws_ecr_endpoint=read(environ, "WEBAPP_AWS_ECR_ENDPOINT", parse_service, None),
            aws_sts_endpoint=read(environ, "WEBAPP_AWS_STS_ENDPOINT", parse_service, None),
            google_token_endpoint=read(environ, "WEBAPP_GOOGLE_TOKEN_ENDPOINT", parse_service, None),
            oidc=read_oidc(environ),
            log_level=read(environ, "WEBAPP_LOG_LEVEL", parse_log_level, "info"),
            log_format=read(environ, "WEBAPP_LOG_FORMAT", parse_log_format, "text"),
        )
        _refuse_contradictions(settings)
        settings.transit_token()  # one that cannot be read is said now
        return settings

    @property
    def own_file_url(self) -> str:
        """The database URL of the data directory's own file, which may not be there."""
        return sqlite_url(self.data_dir / _DATABASE_FILE)

    def make_data_dir(self) -> None:
        """Make the data directory, for this user only. Raises ConfigurationError."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"WEBAPP_DATA_DIR: the directory {self.data_dir} cannot be made ({error.strerror}).") from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for every `WEBAPP_…` variable that means nothing here, with the one that was perhaps meant."""
    known = {*VARIABLES, *FROM_FILES}
    lines = []
    for name in sorted(environ):
        if name.startswith("WEBAPP_") and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            lines.append(f"{name} is no setting, so it has no effect." + (f" Did you mean {close[0]}?" if close else ""))
    return lines


def _credentials_dir(environ: Mapping[str, str]) -> Path | None:
    # Not ours, so that what is odd about it is no wrong setting.
    text = environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(text) if text.startswith("/") and text.isprintable() else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # another service's directory, which this user may not look into
        return False


def _refuse_contradictions(settings: Settings) -> None:
    if settings.tls_cert_file and not settings.tls_key_file:
        raise ConfigurationError("WEBAPP_TLS_KEY_FILE: it is missing; WEBAPP_TLS_CERT_FILE needs the certificate's private key beside it.")
    if settings.tls_key_file and not settings.tls_cert_file:
        raise ConfigurationError("WEBAPP_TLS_CERT_FILE: it is missing; WEBAPP_TLS_KEY_FILE needs the key's certificate beside it.")
    if settings.processes > 1 and is_sqlite(settings.database_url):
        raise ConfigurationError(
            f"WEBAPP_PROCESSES: SQLite is one process; {settings.processes} need PostgreSQL."
            " Set WEBAPP_DATABASE_URL to postgresql://…, or leave WEBAPP_PROCESSES at 1."
        )
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
