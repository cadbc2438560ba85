"""What an answer of the issuer is recognised by, besides the state."""

import base64
from dataclasses import dataclass

from webapp.vault import Vault


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an answer of the issuer is recognised by, besides the state (RFC 7636, section 4.1; Core, section 15.5.2)."""

    nonce: str
    verifier: str


def secrets_of(vault: Vault, state: str) -> Secrets:
    """The nonce and the verifier of the sign-in with this state. Nobody has to keep them: only this server can make them from it."""

    def made(purpose: str) -> str:
        return base64.urlsafe_b64encode(vault.cookie_mac(purpose, state.encode("utf-8", "surrogatepass"))).rstrip(b"=").decode("ascii")

    return Secrets(made("oidc nonce"), made("oidc verifier"))
