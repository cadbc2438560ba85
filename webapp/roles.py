"""The roles of an account's members, from the one that may least to the one that may most."""

from typing import Literal, get_args

Role = Literal["viewer", "editor", "admin"]

ROLES: tuple[Role, ...] = get_args(Role)
"""In their order."""

MEANINGS: dict[Role, str] = {
    "viewer": "sees everything but secret values, and changes nothing",
    "editor": "changes credentials, images, secrets and agents",
    "admin": "everything, members and settings, too",
}
"""What each may, in the words of the pages."""


def role_of(text: str) -> Role | None:
    """The role of this name, or None."""
    return next((role for role in ROLES if role == text), None)


def is_at_most(role: Role, other: Role) -> bool:
    """Whether whoever has `role` may no more than whoever has `other`.

    What is no role, as somebody else may have written it into the database, may least.
    """
    return role not in ROLES or (other in ROLES and ROLES.index(role) <= ROLES.index(other))


def lesser(role: Role, other: Role) -> Role:
    """The one of the two that may less."""
    return role if is_at_most(role, other) else other


def keeps_an_admin(role: Role, becomes: Role | None, other_admins: int) -> bool:
    """Whether an account still has an admin when a member goes from `role` to another one, or (None) out of it."""
    return role != "admin" or becomes == "admin" or other_admins > 0


def stops_inviting(role: Role, becomes: Role | None) -> bool:
    """Whether who goes from `role` to another one, or (None) out of the account, may invite nobody any more."""
    return role == "admin" and becomes != "admin"
