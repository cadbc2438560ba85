"""An account: the tenant. Its members, credentials, images and agents are its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from webapp.names import Name, key_of, parse_name, printable

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


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """An account as a command tells it from the others: two may have the same name."""

    id: str
    name: str


_MOST_NAMED = 10


def chosen_account(accounts: Sequence[NamedAccount], text: str) -> str:
    """The id of the account that has this id or this name; without a text that of the only one, and empty when there is none at all.

    Raises ValueError with a sentence that says which there are.
    """
    if not text:
        if len(accounts) > 1:
            raise ValueError(f"There are several accounts here. Say which: --account NAME_OR_ID. {_listed(accounts)}")
        return accounts[0].id if accounts else ""
    # An id first: somebody may name an account as another one's id reads.
    found = [each for each in accounts if each.id == text] or [each for each in accounts if key_of(each.name) == key_of(text.strip())]
    if len(found) == 1:
        return found[0].id
    if found:
        raise ValueError(f"Several accounts have this name. Say which by its id. {_listed(found)}")
    raise ValueError(f"There is no account with this name or id. {_listed(accounts) if accounts else 'There is none at all yet.'}")


def _listed(accounts: Sequence[NamedAccount]) -> str:
    words = [f"{printable(each.name)} ({each.id})" for each in accounts[:_MOST_NAMED]]
    more = len(accounts) - len(words)
    return f"There {'is' if len(accounts) == 1 else 'are'}: {', '.join(words)}{f', and {more} more' if more else ''}."


def name_from_email(email: str) -> Name:
    """A name for an account of which nobody told one: the domain of its first admin's address, or "Main"."""
    try:
        return parse_name(email.rpartition("@")[2])
    except ValueError:
        return parse_name(FALLBACK_NAME)
