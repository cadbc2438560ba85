"""An invitation: a one-time link that makes whoever holds it a member. The link itself is shown once and is nowhere here."""

from dataclasses import dataclass

from webapp.clock import DAY
from webapp.errors import NotFound
from webapp.roles import Role

LIFETIME = 7 * DAY


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as a list shows it. Times are Unix milliseconds; `created_by` is the address of who made it, `invited_by` their id."""

    id: str
    account_id: str
    accessor: str
    email: str
    role: Role
    created_at: int
    created_by: str
    invited_by: str
    expires_at: int
    accepted_at: int | None
    revoked_at: int | None

    @property
    def owner(self) -> str:
        """What the token's MAC is over besides the account and the expiry: the row is good for no other address, role or inviter."""
        return f"{self.id} {self.role} {self.invited_by} {self.email}"


class NoInvitation(NotFound):
    """A link that makes nobody a member; the text says why.

    `known` is whether it was one of ours: then the holder may know what became of it.
    """

    def __init__(self, message: str, *, known: bool) -> None:
        super().__init__(message)
        self.known = known


UNKNOWN = "This is no invitation of ours. Open the whole link, with all that comes after “token=”, or ask for a new one."
USED = "This invitation was accepted: each link works once. If it was you, sign in with your password. If it was not, tell whoever sent it."
EXPIRED = "This invitation has expired: a link works for 7 days. Ask whoever sent it for a new one."
REVOKED = "This invitation was taken back. Ask whoever sent it for a new one."
TAKEN = "Somebody signs in here with this address already. If that is you, sign in; if not, ask for an invitation to another address."


def why_over(invitation: Invitation, now: int, *, inviter_may: bool) -> str | None:
    """Why the invitation makes nobody a member any more, in words for its holder; None for one that works.

    `inviter_may` is whether the one who made it is an admin still.
    """
    if invitation.accepted_at is not None:
        return USED
    if invitation.revoked_at is not None or not inviter_may:
        return REVOKED
    return EXPIRED if now >= invitation.expires_at else None
