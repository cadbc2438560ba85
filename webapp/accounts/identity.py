"""A person of an OpenID Connect issuer, and the row that says which member here that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.accounts.member import LONGEST_EMAIL
from webapp.vault import Vault

LONGEST_SUBJECT = 255
"""Characters (OpenID Connect Core 1.0, section 2)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom an issuer vouches for. `email` is theirs there; it counts for something only when it is `email_verified`.

    `shown_at` is when they showed there who they are (Unix milliseconds), which may be hours ago; 0 when the issuer does not say.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool
    shown_at: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """A member's link to a person of an issuer, as its page shows it; the times are in Unix milliseconds."""

    id: str
    issuer: str
    created_at: int
    last_used_at: int | None


class NotLinked(Exception):
    """The person is nobody here, or not the member who is meant. `sentence` may be shown to the person: they have proved who they are.

    `why` is for the audit log.
    """

    def __init__(self, sentence: str, why: str) -> None:
        super().__init__(why)
        self.sentence = sentence
        self.why = why


def person_of(claims: Mapping[str, Any], issuer: str) -> Person:
    """The person whom the claims of a verified ID token name. Raises ValueError for a subject that is none."""
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise ValueError("its subject is none (sub)")
    # "true" as text is what Apple and Amazon Cognito say; a text that is anything else is no yes.
    verified = claims.get("email_verified") in (True, "true")
    known = isinstance(email, str) and email.isprintable() and len(email.encode("utf-8", "surrogatepass")) <= LONGEST_EMAIL
    return Person(issuer, subject, str(email) if known else "", verified, _shown_at(claims.get("auth_time")))


def _shown_at(auth_time: object) -> int:
    """`auth_time` (OpenID Connect Core 1.0, section 2), which is in seconds, in milliseconds; 0 for none, and for what is no time."""
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float) or not 0 < auth_time < 2**33:
        return 0
    return int(auth_time * 1000)


def identity_mac(vault: Vault, row: Mapping[str, Any]) -> bytes:
    """What the row of a link holds over all that it says, so that whoever can write to the database can make none."""
    return vault.row_mac("identity", _parts(row))


def is_genuine_identity(vault: Vault, row: Mapping[str, Any]) -> bool:
    """Whether the row, with its `mac`, is one that this program wrote."""
    return vault.wrote_row("identity", _parts(row), row["mac"])


def _parts(row: Mapping[str, Any]) -> list[str]:
    return [row[name] for name in ("id", "account_id", "member_id", "issuer", "subject")]
