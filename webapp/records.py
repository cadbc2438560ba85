"""What the named records of an account share.

Registry credentials, images, agents, secrets and variables are each listed by name, 50 a page, have a name that is unique, and a
version by which two people who edit the same one are told apart.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Generic, Literal, TypeVar

from webapp.database import AccountDatabase, AccountTransaction, DuplicateKey, Row
from webapp.database.search import LAST_CHARACTER, contains
from webapp.errors import Invalid, Stale
from webapp.names import key_of

PAGE = 50

MANY = 20_000
"""Records of an account: with more of them a search looks at how names begin, which an index tells, and inside them when it is asked to."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by: columns of its table, the last one telling any two rows apart. `numeric` is the column of numbers."""

    columns: tuple[str, ...] = ("name_key", "id")
    descending: bool = False
    numeric: str = ""


BY_NAME = Order()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of a list: those whose name holds the query, behind the key `after`.

    `inside` is whether it is looked for inside names also where there are many of them; `order` one of the list's own orders.
    """

    query: str = ""
    after: str = ""
    inside: bool = False
    order: str = ""


FIRST_PAGE = Wanted()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of records; `after` is the key of the next page, None on the last one.

    `searched` is where the query was looked for when there are many: "beginnings" or "inside"; otherwise it is empty.
    """

    records: list[T]
    after: str | None
    searched: Literal["", "beginnings", "inside"] = ""


async def page_of(
    account: AccountDatabase,
    selects: Sequence[str],
    read: Callable[[Row], T],
    *,
    table: str,
    alias: str,
    wanted: Wanted,
    order: Order = BY_NAME,
    values: Mapping[str, Any] | None = None,
) -> Page[T]:
    """The page of the list that `selects` (statements up to their conditions) choose together, from the key `after` on.

    `alias` is what the statements call the `table` with `name_key` and `id`. Keyset paging: no page costs more than the first.
    """
    binds, condition = dict(values or {}), _behind(wanted.after, order, alias)
    if not wanted.query:
        return await _fetch(account, [f"{select}{condition.sql}" for select in selects], read, alias, order, binds | condition.binds)
    many = wanted.inside or await _are_many(account, table)
    found: Page[T] = Page([], None)
    if many and not wanted.inside:
        begins = _begins_with(wanted.query, alias)
        statements = [f"{select}{begins.sql}{condition.sql}" for select in selects]
        found = await _fetch(account, statements, read, alias, order, binds | begins.binds | condition.binds)
    if found.records or (many and not wanted.inside and wanted.after):
        return replace(found, searched="beginnings")
    holds = _Condition(f" AND {alias}.name_key LIKE :pattern ESCAPE '!'", {"pattern": contains(wanted.query)})
    statements = [f"{select}{holds.sql}{condition.sql}" for select in selects]
    found = await _fetch(account, statements, read, alias, order, binds | holds.binds | condition.binds)
    return replace(found, searched="inside") if many else found


@dataclass(frozen=True, slots=True)
class _Condition:
    sql: str = ""
    binds: dict[str, Any] = field(default_factory=dict)


def _behind(after: str, order: Order, alias: str) -> _Condition:
    keys = after.split("\n")
    if not after or len(keys) > len(order.columns):
        return _Condition()
    binds: dict[str, Any] = {}
    for column, key in zip_longest(order.columns, keys, fillvalue=""):
        if column == order.numeric and not (key.isascii() and key.isdigit() and len(key) < 19):
            return _Condition()
        binds[f"after_{column}"] = int(key) if column == order.numeric else key
    row, values = ", ".join(f"{alias}.{column}" for column in order.columns), ", ".join(f":{name}" for name in binds)
    return _Condition(f" AND ({row}) {'<' if order.descending else '>'} ({values})", binds)


def _begins_with(query: str, alias: str) -> _Condition:
    key = key_of(query.strip())
    # A range, since an index knows what is between two keys, but not what is LIKE something.
    return _Condition(f" AND {alias}.name_key >= :begin AND {alias}.name_key <= :end", {"begin": key, "end": key + LAST_CHARACTER})


async def _are_many(account: AccountDatabase, table: str) -> bool:
    row = await account.fetch_one(f"SELECT 1 AS there FROM {table} WHERE account_id = :account_id LIMIT 1 OFFSET :many", {"many": MANY})
    return row is not None


async def _fetch(
    account: AccountDatabase, statements: Sequence[str], read: Callable[[Row], T], alias: str, order: Order, binds: Mapping[str, Any]
) -> Page[T]:
    way = " DESC" if order.descending else ""
    ordered = ", ".join(f"{alias}.{column}{way}" for column in order.columns)
    rows: list[Row] = []
    for statement in statements:
        rows += await account.fetch_all(f"{statement} ORDER BY {ordered} LIMIT :limit", {**binds, "limit": PAGE + 1})
    if len(statements) > 1:
        rows.sort(key=lambda row: [row[column] for column in order.columns], reverse=order.descending)
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    after = None if last is None else "\n".join(str(last[column]) for column in order.columns)
    return Page([read(row) for row in rows[:PAGE]], after)


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
