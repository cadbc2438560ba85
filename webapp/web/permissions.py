"""Who may do what: the one predicate that stands in front of every route."""

from enum import Enum


class Permission(Enum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    """Nobody needs to be signed in: sign-in itself."""
    PROBE = "probe"
    """Nobody is even looked up: the health checks, which must not prolong a session."""
    SEE = "see"
    """A member of any role."""
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
