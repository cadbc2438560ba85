"""A session: who is signed in, in which browser, and for how long."""

from dataclasses import dataclass

from webapp.accounts.member import Member, Role
from webapp.clock import HOUR, MINUTE
from webapp.vault import Secret

IDLE = 30 * MINUTE
ABSOLUTE = 12 * HOUR

SEEN_EVERY = MINUTE
"""How often at most the database is told that a session is used: a write is dear."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A valid session and its member.

    `accessor` is the public part of its token; `password_at` is when the password was last entered (Unix milliseconds).
    """

    member_id: str
    email: str
    role: Role
    account_id: str
    account_name: str
    accessor: str
    password_at: int


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser brings along to sign in, all of it unverified: its own words about itself, and its cookies."""

    user_agent: str = ""
    session: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that succeeded: what the browser's cookies are to hold."""

    member: Member
    session: Secret
    device: Secret


@dataclass(frozen=True, slots=True)
class Refused:
    """A sign-in that failed. `member` is whom it was tried for, None for nobody whom we know: the answer must not tell."""

    member: Member | None
