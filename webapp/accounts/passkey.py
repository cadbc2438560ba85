"""A passkey: a key of an authenticator that a member signs in with (WebAuthn, https://www.w3.org/TR/webauthn-3/)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from webapp.setting_values import is_loopback
from webapp.settings import Settings
from webapp.vault import Vault

MOST = 20
"""Passkeys a member: all of them are named to the browser whenever one is added."""

LONGEST_CREDENTIAL_ID = 1023
"""Bytes (WebAuthn, section 7.1: longer ones are refused)."""

LONGEST_PUBLIC_KEY = 2048
"""Bytes of its COSE form: three times those of RSA with 4096 bits."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as its member's page shows it; times in Unix milliseconds. `synced`: a copy of it is kept beyond its device."""

    id: str
    name: str
    credential_id: str
    """As WebAuthn gives it, in base64url."""
    transports: tuple[str, ...]
    synced: bool
    created_at: int
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What an authenticator has made, checked; not stored yet."""

    credential_id: str
    public_key: bytes
    sign_count: int
    synced: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an authenticator has signed, checked but for its count: which passkey it was, and what that says of itself."""

    credential_id: str
    sign_count: int
    synced: bool


def passkey_mac(vault: Vault, row: Mapping[str, Any]) -> bytes:
    """What a passkey's row holds over its id, account, member, credential id and public key.

    So whoever can write to the database can neither put in a key of their own nor give one to another member.
    """
    return vault.row_mac("passkey", _parts(row))


def is_genuine_passkey(vault: Vault, row: Mapping[str, Any]) -> bool:
    """Whether the row, with its `mac`, is one that this program wrote."""
    return vault.wrote_row("passkey", _parts(row), row["mac"])


def _parts(row: Mapping[str, Any]) -> list[str]:
    return [*(row[name] for name in ("id", "account_id", "member_id", "credential_id")), bytes(row["public_key"]).hex()]


def has_gone_back(stored: int, said: int) -> bool:
    """Whether a count of signatures says that there may be a copy of the authenticator (WebAuthn, sections 6.1.1 and 7.2).

    A count that is always zero is none; any other has to grow.
    """
    return bool(stored) and said <= stored


def is_last_way_in(*, has_password: bool, has_identity: bool, other_passkeys: int) -> bool:
    """Whether a member without this passkey could sign in no more."""
    return not (has_password or has_identity or other_passkeys)


def why_none(settings: Settings) -> str:
    """Why there can be no passkeys here, and what would be right; empty when there can be."""
    if settings.passkey_domain is not None:
        return ""
    parts = urlsplit(settings.public_url)
    sentence = f"A passkey belongs to a host name, and this server’s address, {settings.public_url}, has an IP address instead."
    if is_loopback(parts.hostname or ""):
        port = f":{parts.port}" if parts.port else ""
        return f"{sentence} Start it with WEBAPP_PUBLIC_URL={parts.scheme}://localhost{port}, and open that address."
    return f"{sentence} Give it a name in the DNS and start it with WEBAPP_PUBLIC_URL=https://NAME."
