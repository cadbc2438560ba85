"""An account: the tenant. Its members, credentials, images and agents are its own."""

from dataclasses import dataclass

from webapp.names import Name, parse_name

FALLBACK_NAME = "Main"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its Settings show it. `default_image_name` goes with the id; both are None when none is chosen."""

    id: str
    name: str
    default_image_id: str | None
    default_image_name: str | None
    version: int


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """An image that may be the account's default; a withdrawn one stands there only as long as it is chosen."""

    id: str
    name: str
    reference: str
    official: bool
    withdrawn: bool


def name_from_email(email: str) -> Name:
    """A name for an account of which nobody told one: the domain of its first admin's address, or "Main"."""
    try:
        return parse_name(email.rpartition("@")[2])
    except ValueError:
        return parse_name(FALLBACK_NAME)
