"""A hand-over of a row in which the database's owner has put something of another type: a refusal with a reason, and no secret."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import add_image, enrolled, provision, store_credential

pytestmark = pytest.mark.anyio

VALUE = "hunter2-but-long"


async def loosened(house: House, table: str, change: str) -> None:
    """Take the table's keys and constraints away, and change its rows."""
    async with house.store.database.transaction() as transaction:
        await transaction.execute(f"ALTER TABLE {table} RENAME TO strict")
        await transaction.execute(f"CREATE TABLE {table} AS SELECT * FROM strict")
        await transaction.execute(f"UPDATE {table} SET {change}")


async def refused(house: House, alice: httpx2.AsyncClient, table: str, change: str) -> None:
    await alice.post("/secrets", data={"name": "TOKEN", "value": VALUE})
    image_id = await add_image(alice, await store_credential(alice, password=VALUE), user_data="a={{ secrets.TOKEN }}")
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})
    assert VALUE in (await provision(house, token)).text, "before"
    await loosened(house, table, change)
    for _ in range(2):
        answer = await provision(house, token)
        assert answer.status_code == 409, answer.text
        assert VALUE not in answer.text
    assert not (await house.store.check()).ok


COLUMNS = pytest.mark.parametrize(("table", "column"), [
    ("registry_credentials", "secret_version"), ("registry_credentials", "host"), ("registry_credentials", "auth_method"),
    ("registry_credentials", "sealed"), ("secrets", "secret_version"), ("secrets", "sealed"), ("secrets", "id"),
])  # fmt: skip


@pytest.mark.parametrize("value", ["NULL", "'2'"])
@COLUMNS
async def test_it_says_why_and_hands_over_nothing(house: House, alice: httpx2.AsyncClient, table: str, column: str, value: str) -> None:
    await refused(house, alice, table, f"{column} = {value}")


@on_sqlite  # PostgreSQL has one type for all values of a column, and no text that is not UTF-8
@pytest.mark.parametrize("value", ["1.5", "x'31'", "CAST(x'ff' AS TEXT)", "100000000000"])
@COLUMNS
async def test_a_value_of_another_type_is_handed_over_to_nobody(
    house: House, alice: httpx2.AsyncClient, table: str, column: str, value: str
) -> None:
    await refused(house, alice, table, f"{column} = {value}")
