"""Who may do what: the one predicate that stands in front of every route."""

from enum import Enum


class Permission(Enum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    """Nobody needs to be signed in: sign-in itself."""
    PROBE = "probe"
    """Nobody is even looked up: the health checks, which must not prolong a session."""
    SEE = "see"
    """A member of any role, or the bearer of an API token of one."""
    EDIT = "edit"
    """A member who changes credentials, images and agents: an editor or an admin."""
    ADMINISTER = "administer"
    """A member who changes the account itself: an admin."""
    AGENT = "agent"
    """The bearer of an agent token, on the API."""
    BOOTSTRAP = "bootstrap"
    """The bearer of a bootstrap token, on the API."""


_OF_ROLE: dict[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.PUBLIC, Permission.SEE}),
    "editor": frozenset({Permission.PUBLIC, Permission.SEE, Permission.EDIT}),
    "admin": frozenset({Permission.PUBLIC, Permission.SEE, Permission.EDIT, Permission.ADMINISTER}),
}


def may(role: str, permission: Permission) -> bool:
    """Whether a member of this role has the permission; an unknown role has none."""
    return permission in _OF_ROLE.get(role, frozenset())


def token_kind(needs: Permission, *, api: bool) -> str | None:
    """The kind of token that a caller has to bring along: an agent's, a bootstrap token, or on the `api` a member's.

    None where the session's cookie says who somebody is, and where nobody is asked. A cookie opens nothing of the API.
    """
    if needs is Permission.AGENT:
        return "a"
    if needs is Permission.BOOTSTRAP:
        return "b"
    return "p" if api and needs is not Permission.PROBE else None
