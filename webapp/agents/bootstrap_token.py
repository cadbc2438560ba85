"""A bootstrap token: what enrols agents until it expires. The token itself is shown once and is nowhere here."""

from dataclasses import dataclass

from webapp.clock import DAY, MINUTE

LIFETIMES: dict[str, tuple[str, int]] = {
    "10m": ("10 minutes", 10 * MINUTE),
    "1d": ("1 day", DAY),
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
    "90d": ("90 days", 90 * DAY),
    "365d": ("365 days", 365 * DAY),
}
"""What a member may choose: code to words and milliseconds. The first is the default."""

SHORTEST = MINUTE
LONGEST = 365 * DAY


@dataclass(frozen=True, slots=True)
class BootstrapToken:
    """A bootstrap token as a list shows it. Times are Unix milliseconds.

    `enrolled` are the first names of the agents that it enrolled, `enrolled_count` is how many names there are.
    """

    id: str
    accessor: str
    description: str
    allow_reenrolment: bool
    created_at: int
    created_by: str
    expires_at: int
    revoked_at: int | None
    enrolled: tuple[str, ...] = ()
    enrolled_count: int = 0

    def state(self, now: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > now else "expired"
