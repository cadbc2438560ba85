"""What the named records of an account share.

Registry credentials, images, secrets and variables are each listed by name, 50 a page, have a name that is unique, and a version
by which two people who edit the same one are told apart.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from webapp.database import AccountDatabase, AccountTransaction, DuplicateKey, Row
from webapp.database.search import contains
from webapp.errors import Invalid, Stale

PAGE = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of records by name; `after` is the key of the next page, None on the last one."""

    records: list[T]
    after: str | None


async def page_by_name(
    account: AccountDatabase,
    select: str,
    read: Callable[[Row], T],
    *,
    table: str,
    query: str = "",
    after: str = "",
    values: Mapping[str, Any] | None = None,
) -> Page[T]:
    """The records that `select` (a statement up to its conditions) chooses, whose name holds the query, from the key `after` on.

    `table` is what the statement calls the table with `name_key` and `id`.
    """
    binds: dict[str, Any] = {**(values or {}), "limit": PAGE + 1}
    if query:
        select += f" AND {table}.name_key LIKE :pattern ESCAPE '!'"
        binds["pattern"] = contains(query)
    if after:
        select += f" AND ({table}.name_key, {table}.id) > (:after_key, :after_id)"
        binds["after_key"], _, binds["after_id"] = after.partition("\n")
    rows = await account.fetch_all(f"{select} ORDER BY {table}.name_key, {table}.id LIMIT :limit", binds)
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return Page([read(row) for row in rows[:PAGE]], None if last is None else f"{last['name_key']}\n{last['id']}")


@asynccontextmanager
async def unique_name(account: AccountDatabase, noun: str) -> AsyncIterator[AccountTransaction]:
    """A transaction that makes or renames a record. Raises Invalid when another one of this `noun` has the name."""
    try:
        async with account.transaction() as transaction:
            yield transaction
    except DuplicateKey as error:
        if "name_key" not in error.columns:
            raise
        raise Invalid({"name": f"Another {noun} of this account has this name. Choose another one."}) from None


def refuse_stale(noun: str, *, stored: int, edited: int | None, who: str) -> None:
    """Raise Stale when somebody else saved the record since the version that was edited; None is a caller that has no version."""
    if edited is not None and stored != edited:
        raise Stale(f"{who} saved this {noun} meanwhile.")
