"""The settings of the OpenID Connect issuer whose people may sign in here, or that there is none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from webapp.errors import ConfigurationError
from webapp.setting_values import is_loopback, parse_host, parse_readable, read

OIDC_VARIABLES = {
    "WEBAPP_OIDC_ISSUER": "the OpenID Connect issuer whose people may sign in, such as https://id.example.com (none)",
    "WEBAPP_OIDC_CLIENT_ID": "what this server is called there (none)",
    "WEBAPP_OIDC_CLIENT_SECRET": "its secret there (none: a public client); or WEBAPP_OIDC_CLIENT_SECRET_FILE",
    "WEBAPP_OIDC_NAME": "what the issuer is called on the pages (its host)",
    "WEBAPP_OIDC_CA_FILE": "the certificates to trust for the issuer, PEM (the system's)",
}
"""As `settings.VARIABLES`."""

_MOST_NAME = 40
_EXAMPLE = "Write it as https://id.example.com, to the letter as the issuer's own pages have it."


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """An issuer and what this server is there. `client_secret` is empty for a public client (RFC 6749, section 2.1)."""

    issuer: str
    """To the letter: it is compared with what tokens say (OpenID Connect Core 1.0, section 3.1.3.7)."""
    client_id: str
    client_secret: str = field(repr=False)
    name: str
    ca_file: Path | None


def read_oidc(environ: Mapping[str, str]) -> OidcSettings | None:
    """The issuer of these variables; None where they name none. Raises ConfigurationError."""
    issuer = read(environ, "WEBAPP_OIDC_ISSUER", parse_issuer, "")
    client_id = read(environ, "WEBAPP_OIDC_CLIENT_ID", _parse_client_id, "")
    found = OidcSettings(
        issuer=issuer,
        client_id=client_id,
        client_secret=read(environ, "WEBAPP_OIDC_CLIENT_SECRET", _parse_secret, "", secret=True),
        name=read(environ, "WEBAPP_OIDC_NAME", _parse_name, urlsplit(issuer).hostname or ""),
        ca_file=read(environ, "WEBAPP_OIDC_CA_FILE", parse_readable, None),
    )
    if issuer and client_id:
        return found
    if issuer:
        raise ConfigurationError("WEBAPP_OIDC_CLIENT_ID: it is missing; WEBAPP_OIDC_ISSUER needs what this server is called there.")
    others = [name for name in (*OIDC_VARIABLES, "WEBAPP_OIDC_CLIENT_SECRET_FILE") if environ.get(name, "").strip()]
    if others:
        raise ConfigurationError(f"{others[0]}: it is for an OpenID Connect issuer, and WEBAPP_OIDC_ISSUER names none.")
    return None


def parse_issuer(text: str) -> str:
    """An issuer's URL (OpenID Connect Discovery 1.0, section 3: https, no query, no fragment), unchanged; http on this machine only."""
    try:
        parts = urlsplit(text)
        _ = parts.port
        plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}?#')
        known = plain and parts.scheme in {"https", "http"} and bool(parse_host(parts.hostname or ""))
    except ValueError:
        known = False
    if not known or "@" in parts.netloc:
        raise ValueError(f"it is no URL of an issuer. {_EXAMPLE}")
    if text.endswith("/.well-known/openid-configuration"):
        raise ValueError("it is the address of the issuer's document: take off /.well-known/openid-configuration.")
    if parts.scheme == "http" and not is_loopback(str(parts.hostname)):
        raise ValueError(f"an issuer on another machine is asked over https:// only. {_EXAMPLE}")
    return text


def _parse_client_id(text: str) -> str:
    # RFC 6749, appendix A.1
    if not re.fullmatch(r"[ -~]{1,512}", text):
        raise ValueError("it is no client id: one has ASCII characters only, and 512 of them at most.")
    return text


def _parse_secret(text: str) -> str:
    # RFC 6749, appendix A.2; it is never quoted
    if not re.fullmatch(r"[ -~]{1,1024}", text):
        raise ValueError("it is no client secret: one has ASCII characters only, and no line ends.")
    return text


def _parse_name(text: str) -> str:
    if not text.isprintable() or len(text) > _MOST_NAME:
        raise ValueError(f"it goes onto a button. Write at most {_MOST_NAME} characters that can be seen.")
    return text
