"""A session: who is signed in, in which browser, and for how long."""

from dataclasses import dataclass
from typing import Literal

from webapp.accounts.member import Member
from webapp.accounts.user_agent import browser_in_words
from webapp.clock import HOUR, MINUTE
from webapp.roles import Role
from webapp.vault import Secret

Method = Literal["password", "passkey", "oidc", "set_up", "invitation"]
"""How a session began."""

IDLE = 30 * MINUTE
ABSOLUTE = 12 * HOUR

SEEN_EVERY = MINUTE
"""How often at most the database is told that a session is used: a write is dear."""


def is_valid(now: int, *, seen_at: int, expires_at: int) -> bool:
    """Whether a session is one still: nobody was away for longer than IDLE, and its end has not come. All in Unix milliseconds."""
    return now < expires_at and now - seen_at <= IDLE


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A valid session and its member.

    `accessor` is the public part of its token; `password_at` is when its member has last shown who they are (Unix milliseconds);
    the last three say how they may do so again.
    """

    member_id: str
    email: str
    role: Role
    account_id: str
    account_name: str
    accessor: str
    password_at: int
    has_password: bool
    has_passkey: bool
    has_identity: bool


METHODS: dict[str, str] = {
    "password": "with the password",
    "passkey": "with a passkey",
    "oidc": "with OpenID Connect",
    "set_up": "by the set-up link",
    "invitation": "by an invitation",
}
"""How a session began, in the page's words."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session of a member's that has not ended, as their page lists it. Times are Unix milliseconds.

    `user_agent` is what the browser said of itself, which nobody verifies; `address` is where it signed in from.
    """

    accessor: str
    user_agent: str | None
    address: str | None
    method: str
    created_at: int
    seen_at: int
    expires_at: int

    @property
    def browser(self) -> str:
        """The browser in words."""
        return browser_in_words(self.user_agent or "")

    @property
    def began(self) -> str:
        """How it began, in words."""
        return METHODS.get(self.method, "")


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
