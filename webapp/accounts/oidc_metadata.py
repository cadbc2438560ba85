"""What an OpenID Connect issuer says of itself (OpenID Connect Discovery 1.0, section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from webapp.oidc_settings import OidcSettings, parse_issuer

WELL_KNOWN = "/.well-known/openid-configuration"

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What an ID token may be signed with (RFC 7518, section 3.1; RFC 8037): nothing that needs a secret in common, and never nothing."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The parts of it that are used.

    `userinfo_endpoint` is empty where there is none. `auth_method` is how this server shows who it is at the token endpoint.
    `names_itself`: the issuer says in every answer who it is (RFC 9207, section 3).
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    auth_method: str
    algorithms: tuple[str, ...]
    names_itself: bool


def parse_metadata(document: Mapping[str, Any], oidc: OidcSettings) -> Metadata:
    """The issuer's document. Raises ValueError with a sentence for whoever runs this server."""
    if document.get("issuer") != oidc.issuer:
        raise ValueError(f"it calls itself {_shown(document.get('issuer'))}; WEBAPP_OIDC_ISSUER has to be that to the letter")
    return Metadata(
        authorization_endpoint=_endpoint(document, "authorization_endpoint", oidc),
        token_endpoint=_endpoint(document, "token_endpoint", oidc),
        jwks_uri=_endpoint(document, "jwks_uri", oidc),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", oidc) if "userinfo_endpoint" in document else "",
        auth_method=_auth_method(document, oidc),
        algorithms=_algorithms(document),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str, oidc: OidcSettings) -> str:
    text = document.get(name)
    try:
        # A query of its own is allowed (RFC 6749, section 3.1).
        parse_issuer(str(text).partition("?")[0])
    except ValueError:
        raise ValueError(f"its {name} is no https:// address") from None
    if urlsplit(str(text)).scheme == "http" and not oidc.issuer.startswith("http://"):
        raise ValueError(f"its {name} is no https:// address")
    if not str(text).isascii() or not str(text).isprintable() or set(str(text)) & set(' "<>\\^`{|}#'):
        raise ValueError(f"its {name} is no https:// address")
    return str(text)


def _auth_method(document: Mapping[str, Any], oidc: OidcSettings) -> str:
    if not oidc.client_secret:
        return "none"
    known = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])  # its default, section 3
    for method in ("client_secret_basic", "client_secret_post"):
        if isinstance(known, list) and method in known:
            return method
    raise ValueError("its token endpoint takes neither client_secret_basic nor client_secret_post")


def _algorithms(document: Mapping[str, Any]) -> tuple[str, ...]:
    known = document.get("id_token_signing_alg_values_supported", ["RS256"])
    found = tuple(name for name in ALGORITHMS if isinstance(known, list) and name in known)
    if not found:
        raise ValueError(f"it signs ID tokens with none of {', '.join(ALGORITHMS)}")
    return found


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 80 else text[:79] + "…")
