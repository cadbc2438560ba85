"""The member who is signed in, and how a request becomes the actor of an audit row."""

from dataclasses import dataclass

from starlette.requests import Request

from webapp.actor import Actor
from webapp.web.permissions import Permission, may


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in member, as the session says.

    `password_at` is when they last showed who they are (Unix ms); the last three say how they may do so again.
    """

    member_id: str
    email: str
    role: str
    account_id: str
    account_name: str
    session_accessor: str
    password_at: int
    has_password: bool
    has_passkey: bool
    has_identity: bool

    def may(self, permission: Permission) -> bool:
        """Whether the member's role has the permission."""
        return may(self.role, permission)


def principal_or_none(request: Request) -> Principal | None:
    """The member who is signed in, if one is."""
    found = getattr(request.state, "principal", None)
    return found if isinstance(found, Principal) else None


def principal(request: Request) -> Principal:
    """The member who is signed in. Raises RuntimeError on a route that does not ask for one."""
    found = principal_or_none(request)
    if found is None:
        raise RuntimeError("this route does not ask for a member")
    return found


def actor(request: Request) -> Actor:
    """The actor of what this request does: a member, or what the bearer of a token is."""
    bearer = getattr(request.state, "bearer", None)
    if isinstance(bearer, Actor):
        return bearer
    member = principal(request)
    return Actor(
        account_id=member.account_id,
        kind="member",
        id=member.member_id,
        label=member.email,
        accessor=member.session_accessor,
        address=address(request),
        request_id=request_id(request),
    )


def nobody(request: Request) -> Actor:
    """The actor of what is done before anybody is known: sign-in and set-up."""
    return Actor(account_id="", kind="nobody", id="", label="", address=address(request), request_id=request_id(request))


def address(request: Request) -> str | None:
    """The caller's IP address, as the trusted proxies tell it."""
    found = getattr(request.state, "address", None)
    return found if isinstance(found, str) else None


def request_id(request: Request) -> str | None:
    """The id that the answer, its error page and the log line share."""
    found = getattr(request.state, "request_id", None)
    return found if isinstance(found, str) else None
