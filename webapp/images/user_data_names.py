"""What an image's user data refers to, in the database: the names exist when it is saved, and are kept from being deleted meanwhile."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from webapp.database import AccountTransaction, Row, Values
from webapp.errors import Invalid
from webapp.images.user_data import Masked, Reference, Store, UserData

MASK = Masked("••••")
"""What stands for a secret in a preview, also where a condition compares it."""

FetchAll = Callable[[str, Values], Awaitable[list[Row]]]

Names = Mapping[Reference, str]
"""Each reference, and the id of what it names."""

_NOUNS: Mapping[Store, str] = {"secrets": "secret", "variables": "variable"}


async def find_names(fetch_all: FetchAll, references: Sequence[Reference]) -> Names:
    """The ids of what these refer to. Raises ValueError with a sentence that begins with the line when one is not there."""
    found: dict[Reference, str] = {}
    for store, noun in _NOUNS.items():
        wanted = [reference for reference in references if reference.store == store]
        rows = {row["name"]: row["id"] for row in await _rows(fetch_all, store, "id, name", wanted)}
        for reference in wanted:
            if reference.name not in rows:
                raise ValueError(_missing(reference, noun, list(rows)))
            found[reference] = rows[reference.name]
    return found


async def refer(transaction: AccountTransaction, image_id: str, names: Names) -> None:
    """Keep that this image refers to these, and to nothing else."""
    for store, noun in _NOUNS.items():
        await transaction.execute(f"DELETE FROM image_{store} WHERE account_id = :account_id AND image_id = :id", {"id": image_id})
        for reference, record_id in names.items():
            if reference.store == store:
                await transaction.insert(f"image_{store}", {"image_id": image_id, f"{noun}_id": record_id})


async def preview(fetch_all: FetchAll, template: UserData) -> str:
    """The user data with variables filled in and each secret as `••••`. Raises Invalid."""
    try:
        await find_names(fetch_all, template.references)
        wanted = [reference for reference in template.references if reference.store == "variables"]
        values = {row["name"]: row["value"] for row in await _rows(fetch_all, "variables", "name, value", wanted)}
        # One that went away between the two reads is shown as nothing: saving asks again.
        return template.render(lambda store, name: MASK if store == "secrets" else values.get(name, ""))
    except ValueError as error:
        raise Invalid({"user_data": str(error)}) from None


async def _rows(fetch_all: FetchAll, store: Store, columns: str, references: Sequence[Reference]) -> list[Row]:
    """Those whose names are these but for upper and lower case: what is near is worth a hint."""
    if not references:
        return []
    binds = {f"key_{number}": reference.name.lower() for number, reference in enumerate(references)}
    places = ", ".join(f":{bind}" for bind in binds)
    return await fetch_all(f"SELECT {columns} FROM {store} WHERE account_id = :account_id AND name_key IN ({places})", binds)


def _missing(reference: Reference, noun: str, near: Sequence[str]) -> str:
    meant = next((name for name in near if name.lower() == reference.name.lower()), None)
    hint = f"Did you mean {reference.store}.{meant}?" if meant else f"Store the {noun} first, or take it out."
    return f"Line {reference.line}: there is no {noun} {reference.name}. {hint}"
