"""A member: a person of an account, and the email address that they sign in with."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.names import INVISIBLE, key_of
from webapp.roles import Role
from webapp.vault import Vault

LONGEST_EMAIL = 254
"""Octets: what RFC 5321, section 4.5.3.1.3, leaves of a path of 256 without its angle brackets."""

_REFUSED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
"""General categories (The Unicode Standard, section 4.5) that no address needs: controls, what is invisible, and spaces."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as others may see one: without the hash of the password."""

    id: str
    account_id: str
    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class ListedMember:
    """A member as the list shows one. Times are Unix milliseconds; `last_seen_at` is None for who was never signed in.

    `genuine` is whether this program wrote the row: another one signs nobody in.
    """

    id: str
    email: str
    role: Role
    version: int
    joined_at: int
    last_seen_at: int | None
    has_password: bool
    passkeys: int
    genuine: bool


@dataclass(frozen=True, slots=True)
class Belongings:
    """What ends with a member, or may: counted for the confirmation. Of invitations and bootstrap tokens those that still work."""

    sessions: int
    passkeys: int
    api_tokens: int
    invitations: int
    bootstrap_tokens: int


def member_mac(vault: Vault, row: Mapping[str, Any]) -> bytes:
    """What a member's row holds over its id, account, email, role and password.

    So whoever can write to the database can neither give a member another password nor another role.
    """
    return vault.row_mac("member", _parts(row))


def is_genuine(vault: Vault, row: Mapping[str, Any]) -> bool:
    """Whether the row, with its `mac`, is one that this program wrote.

    Where the row has the address as it is shown, its key has to be the one in the MAC: else what one member does could be made to show,
    and be audited, as another one's.
    """
    email = row.get("email")
    is_shown_right = email is None or (isinstance(email, str) and key_of(email) == row["email_key"])
    return is_shown_right and vault.wrote_row("member", _parts(row), row["mac"])


def _parts(row: Mapping[str, Any]) -> list[str]:
    return [row[name] for name in ("id", "account_id", "email_key", "role", "password_hash")]


@dataclass(frozen=True, slots=True)
class Email:
    """An address as it is shown, and the key that it is found by and unique by."""

    text: str
    key: str


def parse_email(text: str) -> Email:
    """The email address in this text, trimmed and in NFC. Raises ValueError with a sentence.

    The rule is what every mail system agrees on and no more: something on both sides of one `@`. Whether mail
    arrives there, only mail could tell, and this program sends none.
    """
    trimmed = text.strip()
    if not trimmed:
        raise ValueError("Enter an email address.")
    # Composing makes a text four times shorter at most (UAX #15), and costs the square of its length at worst.
    address = unicodedata.normalize("NFC", trimmed) if len(trimmed) <= 4 * LONGEST_EMAIL else trimmed
    octets = len(address.encode("utf-8", "surrogatepass"))
    if octets > LONGEST_EMAIL:
        raise ValueError(f"The email address has {octets} bytes. Use at most {LONGEST_EMAIL} (RFC 5321).")
    for position, character in enumerate(address, 1):
        if unicodedata.category(character) in _REFUSED or character in INVISIBLE:
            raise ValueError(
                f"Character {position} of the email address (U+{ord(character):04X}) is a blank or an invisible one. Take it out."
            )
    local, _, domain = address.partition("@")
    if not local or not domain or "@" in domain:
        raise ValueError("An email address has one @ with something on both sides, such as ana@example.com.")
    return Email(address, key_of(address))


def key_to_look_for(text: str) -> str:
    """The key of what was typed to sign in, which need not be an address at all: then no member has it.

    So it is for what no database takes, half of a surrogate pair and NUL: a command's arguments and an issuer's claims may hold them.
    """
    key = key_of(text.strip()[: 4 * LONGEST_EMAIL])[: 4 * LONGEST_EMAIL]
    return "" if any(character == "\0" or unicodedata.category(character) == "Cs" for character in key) else key
