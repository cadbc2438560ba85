"""`check`: opens everything that is sealed, shows none of it, and names what does not open."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import store_credential
from webapp import check

pytestmark = pytest.mark.anyio


async def furnish(alice: httpx2.AsyncClient) -> None:
    for number in range(2):
        await store_credential(alice, name=f"credential-{number}")
        assert (await alice.post("/secrets", data={"name": f"SECRET_{number}", "value": "hunter2-but-long"})).status_code == 303


async def test_a_whole_store_is_said_to_be_whole(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(alice)
    told: list[tuple[int, int]] = []
    report = await house.store.check(lambda *where: told.append(where))
    assert told[-1][0] == told[-1][1] > 0
    assert report.ok
    assert report.lines == ("registry credentials: 2 open, 0 do not", "secrets: 2 open, 0 do not")


async def is_named(house: House, alice: httpx2.AsyncClient, table: str, name: str, damage: str) -> None:
    await furnish(alice)
    account = house.store.database.account(house.alice.account_id)
    first, second = await account.fetch_all(f"SELECT * FROM {table} WHERE account_id = :account_id ORDER BY name")
    sealed = bytes(first["sealed"])
    damaged: dict[str, dict[str, object]] = {
        "swapped": {"sealed": second["sealed"]},
        "cut": {"sealed": sealed[:100]},
        "version": {"secret_version": 2},
        "text": {"sealed": "x" * len(sealed)},
        "a bit": {"sealed": sealed[:-1] + bytes([sealed[-1] ^ 1])},
        "another key": {"sealed": sealed[:4] + (9).to_bytes(4) + sealed[8:]},
    }
    async with account.transaction() as transaction:
        await transaction.update(table, first["id"], damaged[damage])
    report = await house.store.check()
    assert not report.ok
    (line,) = [line for line in report.lines if "does not open" in line]
    assert line.startswith(name)
    assert "hunter2" not in " ".join(report.lines)


TABLES = pytest.mark.parametrize(
    ("table", "name"),
    [("registry_credentials", "registry credential credential-0"), ("secrets", "secret SECRET_0")],
    ids=str,
)


@pytest.mark.parametrize("damage", ["swapped", "cut", "version", "a bit", "another key"])
@TABLES
async def test_what_does_not_open_is_named(house: House, alice: httpx2.AsyncClient, table: str, name: str, damage: str) -> None:
    await is_named(house, alice, table, name, damage)


@on_sqlite  # which takes a text for bytes
@TABLES
async def test_what_is_not_even_bytes_is_named(house: House, alice: httpx2.AsyncClient, table: str, name: str) -> None:
    await is_named(house, alice, table, name, "text")


COLUMNS = ("id", "account_id", "name", "secret_version", "sealed", "kek_id")


async def each_holds(house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Each of the columns holds each of these, one after the other, and every time it is found."""
    monkeypatch.setattr(check, "_PAGE", 1)
    await furnish(alice)
    await house.tamper("ALTER TABLE secrets RENAME TO strict")
    for column in COLUMNS:
        for value in values:
            async with house.store.database.transaction() as transaction:
                await transaction.execute("CREATE TABLE secrets AS SELECT * FROM strict")  # without keys and constraints, as its owner may
                more = "" if column != "name" else ", secret_version = 1.5"  # a name is bound to nothing
                await transaction.execute(f"UPDATE secrets SET {column} = {value}{more} WHERE name = 'SECRET_0'")
            report = await house.store.check()
            assert not report.ok, (column, value)
            assert report.lines[-1] == "secrets: 1 open, 1 do not", (column, value)
            await house.tamper("DROP TABLE secrets")


async def test_a_row_that_holds_something_else_is_named(house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await each_holds(house, alice, monkeypatch, "NULL", "'2'")


@on_sqlite  # PostgreSQL has one type for all values of a column, and no text that is not UTF-8
async def test_a_row_that_holds_another_type_is_named(house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await each_holds(house, alice, monkeypatch, "x'ff'", "CAST(x'ff' AS TEXT)", "1.5", "''")


async def test_a_name_cannot_play_with_the_terminal(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE secrets SET name = :name, secret_version = 9", {"name": "\x1b[2Jgone"})
    report = await house.store.check()
    assert all(line.isprintable() for line in report.lines)
    assert "?[2Jgone" in report.lines[1]
