"""An API token: what a program of a member's acts with. The token itself is shown once and is nowhere here."""

from dataclasses import dataclass

from webapp.actor import Actor
from webapp.clock import DAY, MINUTE
from webapp.roles import Role, lesser

LIFETIMES: dict[str, tuple[str, int]] = {
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
    "90d": ("90 days", 90 * DAY),
    "365d": ("365 days", 365 * DAY),
}
"""What a member may choose: code to words and milliseconds. There is none that lasts for ever."""

USUAL = "30d"
"""What the form begins with."""

USED_EVERY = MINUTE
"""How often at most the database is told that a token is used: a write is dear."""

MOST_ACTIVE = 50
"""Of one member at a time."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token as a list shows it. Times are Unix milliseconds.

    `role` is the most that it may do; `member_role` is what its member, `owner`, may now.
    """

    id: str
    accessor: str
    name: str
    role: Role
    member_id: str
    owner: str
    member_role: Role
    created_at: int
    expires_at: int
    last_used_at: int | None
    revoked_at: int | None

    @property
    def acts_as(self) -> Role:
        """What it may do now: never more than its member."""
        return lesser(self.role, self.member_role)

    def state(self, now: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > now else "expired"


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who calls with an API token: the actor of what it does, and the role that it acts with."""

    actor: Actor
    role: Role
    token: ApiToken
    account_name: str


def token_owner(token_id: str, member_id: str, role: str) -> str:
    """What a token's MAC says of whose it is: whoever can write to the database can neither give it away nor raise its role."""
    return f"{token_id} {member_id} {role}"
