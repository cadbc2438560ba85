"""`check`: opens everything that is sealed, shows none of it, and names what does not open."""

import httpx2
import pytest

from tests.personas import House
from tests.stories import store_credential

pytestmark = pytest.mark.anyio


async def furnish(alice: httpx2.AsyncClient) -> None:
    for number in range(2):
        await store_credential(alice, name=f"credential-{number}")
        assert (await alice.post("/secrets", data={"name": f"SECRET_{number}", "value": "hunter2-but-long"})).status_code == 303


async def test_a_whole_store_is_said_to_be_whole(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(alice)
    report = await house.store.check()
    assert report.ok
    assert report.lines == ("registry credentials: 2 open, 0 do not", "secrets: 2 open, 0 do not")


@pytest.mark.parametrize(
    ("table", "name"),
    [("registry_credentials", "registry credential credential-0"), ("secrets", "secret SECRET_0")],
    ids=str,
)
@pytest.mark.parametrize("damage", ["swapped", "cut", "version"])
async def test_what_does_not_open_is_named(house: House, alice: httpx2.AsyncClient, table: str, name: str, damage: str) -> None:
    await furnish(alice)
    changes = {
        "swapped": f"UPDATE {table} SET sealed = (SELECT sealed FROM {table} WHERE name LIKE '%1') WHERE name LIKE '%0'",
        "cut": f"UPDATE {table} SET sealed = substr(sealed, 1, 100) WHERE name LIKE '%0'",
        "version": f"UPDATE {table} SET secret_version = 2 WHERE name LIKE '%0'",
    }
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        # A bound pattern: the driver takes a literal % for its own.
        await transaction.execute(
            changes[damage].replace("'%0'", ":zero").replace("'%1'", ":one") + " AND account_id = :account_id",
            {"zero": "%0"} | ({"one": "%1"} if damage == "swapped" else {}),
        )
    report = await house.store.check()
    assert not report.ok
    (line,) = [line for line in report.lines if "does not open" in line]
    assert line.startswith(name)
    assert "hunter2" not in " ".join(report.lines)


async def test_a_name_cannot_play_with_the_terminal(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE secrets SET name = :name, secret_version = 9", {"name": "\x1b[2Jgone"})
    report = await house.store.check()
    assert all(line.isprintable() for line in report.lines)
    assert "?[2Jgone" in report.lines[1]
