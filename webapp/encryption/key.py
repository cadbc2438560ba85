"""A key-encryption key (KEK) of the keyring, as its page shows it: what it seals, how old it is, and whether it should be rotated."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from webapp.clock import DAY

OLDEST = 365 * DAY
"""Milliseconds after which a rotation is suggested."""

MOST_WRAPS = 2**30
"""Data keys that one KEK wraps before a rotation is suggested: a fourth of what random nonces allow (NIST SP 800-38D, 8.3)."""


class State(StrEnum):
    """What a key is for now."""

    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"

    @property
    def label(self) -> str:
        """The state in the page's words."""
        return {"active": "Seals now", "retiring": "Being replaced", "retired": "Retired"}[self.value]


@dataclass(frozen=True, slots=True)
class Key:
    """One term's key: `rows` are an account's values under it now, `wraps` all the data keys that it has ever wrapped, for whomever."""

    id: int
    state: State
    created_at: int
    rows: int
    wraps: int

    def age(self, now: int) -> int:
        """Whole days since it was made."""
        return max(0, now - self.created_at) // DAY

    def is_due(self, now: int) -> bool:
        """Whether it seals now, and has done so for so long or so often that a rotation is suggested."""
        return self.state is State.ACTIVE and (now - self.created_at >= OLDEST or self.wraps >= MOST_WRAPS)

    @property
    def due_at(self) -> int:
        """When its age suggests a rotation, in Unix milliseconds."""
        return self.created_at + OLDEST


@dataclass(frozen=True, slots=True)
class Keys:
    """The keyring's terms, the newest first, and the fingerprint of the root key that wraps them.

    Unless the account is `alone` here, what is counted over all accounts is not for its page.
    """

    root_fingerprint: str
    terms: Sequence[Key]
    alone: bool

    @property
    def active(self) -> Key:
        """The one that seals now."""
        return next(key for key in self.terms if key.state is State.ACTIVE)

    @property
    def unfinished(self) -> int:
        """How many of the account's values a rotation has not come to yet."""
        return sum(key.rows for key in self.terms if key.state is not State.ACTIVE)

    @property
    def is_rotating(self) -> bool:
        """Whether a rotation is not at its end: with values of the account, or of others."""
        return self.unfinished > 0 or any(key.state is State.RETIRING for key in self.terms)
