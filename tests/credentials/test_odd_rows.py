"""The pages and the API hold whatever somebody has written into the database."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import program, store_credential

pytestmark = pytest.mark.anyio


async def shown(house: House, alice: httpx2.AsyncClient, column: str, value: object) -> None:
    credential_id = await store_credential(alice, expires_on="2027-01-01")
    await house.tamper(f"UPDATE registry_credentials SET {column} = :value, expiry_source = 'typed'", value=value)
    for address in ("/registry-credentials", f"/registry-credentials/{credential_id}", "/images/new"):
        answer = await alice.get(address)
        assert answer.status_code == 200
    assert (await (await program(house, alice)).get("/api/v1/registry-credentials")).status_code == 200
    assert "at no time that is known" in (await alice.get("/registry-credentials")).text


@pytest.mark.parametrize("value", [10**15, -1])
@pytest.mark.parametrize("column", ["expires_at", "replaced_at"])
async def test_a_page_is_shown_whatever_the_database_holds_for_a_time(
    house: House, alice: httpx2.AsyncClient, column: str, value: int
) -> None:
    await shown(house, alice, column, value)


@on_sqlite  # which takes a text for a number
@pytest.mark.parametrize("column", ["expires_at", "replaced_at"])
async def test_a_page_is_shown_when_a_time_is_no_number(house: House, alice: httpx2.AsyncClient, column: str) -> None:
    await shown(house, alice, column, "x")
