"""An import while another process writes: all of it or nothing, and nothing that somebody else has saved is lost."""

import httpx2
import pytest

from tests.personas import House
from tests.secrets.test_imports import previewed
from tests.stories import id_in_list
from tests.two_stores import neighbour, on_postgresql

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


async def test_an_import_of_many_names_is_stored_through_any_process(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    page, action = await previewed(alice, "".join(f"NAME_{number}=value-{number}\n" for number in range(120)))
    assert "120 new secrets" in page
    client = await neighbour.client(alice.cookies["session"])
    for answer in [await client.post(action), await alice.post(action)]:
        assert answer.status_code == 303, answer.text
    (row,) = await house.store.database.fetch_all("SELECT count(*) AS rows FROM secrets WHERE version = 1")
    assert row["rows"] == 120, "the second time changed nothing"


async def test_an_import_of_before_what_another_process_saved_is_stale(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/secrets", data={"name": "OLD", "value": "before"})
    _, action = await previewed(alice, "OLD=imported\nNEW=1\n")
    client = await neighbour.signed_in(house.alice)
    changed = await client.post(f"/secrets/{await id_in_list(alice, '/secrets', 'OLD')}", data={"name": "OLD", "value": "saved"})
    assert changed.status_code == 303
    assert (await alice.post(action)).status_code == 409
    rows = await house.store.database.fetch_all("SELECT name, secret_version FROM secrets")
    assert [(row["name"], row["secret_version"]) for row in rows] == [("OLD", 2)]
