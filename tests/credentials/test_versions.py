"""A value that was replaced is kept for a while: to be rolled back to with one click, and then destroyed."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, provision, store_credential
from webapp import rotation
from webapp.audit.verification import verify
from webapp.clock import DAY, HOUR
from webapp.credentials.versions import MOST
from webapp.rotation import rotate
from webapp.sealed_values import SealedTable
from webapp.store import Store

pytestmark = pytest.mark.anyio

FIELDS = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}


async def replace(client: httpx2.AsyncClient, credential: str, password: str, **more: str) -> httpx2.Response:
    page = (await client.get(f"/registry-credentials/{credential}")).text
    found = re.search(r'name="version" value="(\d+)"', page)
    assert found is not None
    values = {**FIELDS, "version": found[1], "password": password, **more}
    return await client.post(f"/registry-credentials/{credential}", data=values)


async def roll_back(client: httpx2.AsyncClient, credential: str, number: int, **more: str) -> httpx2.Response:
    return await client.post(f"/registry-credentials/{credential}/versions/{number}/roll-back", data=more)


async def furnished(house: House, alice: httpx2.AsyncClient) -> tuple[str, str]:
    """A credential, and the token of an agent that gets it."""
    credential = await store_credential(alice, password="first-value")
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, credential)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    return credential, token


async def handed(house: House, token: str) -> str:
    return str((await provision(house, token)).json()["registry_auth"]["password"])


async def kept(house: House) -> list[int]:
    rows = await house.store.database.fetch_all("SELECT secret_version FROM registry_credential_versions ORDER BY secret_version")
    return [row["secret_version"] for row in rows]


async def test_one_click_brings_the_previous_value_back(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    assert (await replace(alice, credential, "second-value-is-wrong")).status_code == 303
    assert await handed(house, token) == "second-value-is-wrong"
    page = (await alice.get(f"/registry-credentials/{credential}")).text
    assert "Previous values" in page
    assert "3 Nov 2026, 15:05 UTC" in page, "kept for an hour unless something else is chosen"
    assert "first-value" not in page
    answer = await roll_back(alice, credential, 1)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/registry-credentials/{credential}")
    assert await handed(house, token) == "first-value"
    assert await kept(house) == [2], "the one that was replaced is kept in turn"
    assert (await roll_back(alice, credential, 2)).status_code == 303
    assert await handed(house, token) == "second-value-is-wrong"
    assert (await house.store.check()).ok


async def test_no_two_values_have_the_same_number_and_the_log_says_which_was_used(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    await handed(house, token)
    await roll_back(alice, credential, 1)
    await handed(house, token)
    await replace(alice, credential, "third-value")
    await handed(house, token)
    rows = [row for row in await house.audit() if row["action"] == "registry_credential.release"]
    assert [row["secret_version"] for row in rows] == [2, 1, 3]
    (back,) = [row for row in await house.audit() if row["action"] == "registry_credential.roll_back"]
    assert (back["secret_version"], back["detail"]) == (1, "host ghcr.io; in place of version 2")
    assert (await verify(house.store.database, house.store.vault, lambda *_: None)).problems == ()


async def test_it_is_destroyed_when_its_time_is_over(house: House, alice: httpx2.AsyncClient) -> None:
    credential, _ = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    house.clock.advance(HOUR - 1)
    assert await house.store.credentials.versions.destroy_expired() == 0
    house.clock.advance(1)
    alice = await house.signed_in(house.alice)
    assert "Previous values" not in (await alice.get(f"/registry-credentials/{credential}")).text
    assert (await roll_back(alice, credential, 1)).status_code == 404, "also before it is destroyed"
    assert await house.store.credentials.versions.destroy_expired() == 1
    assert await kept(house) == []
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_kind"], row["secret_version"]) == ("registry_credential.destroy", "system", 1)
    assert row["account_id"] == house.alice.account_id


@pytest.mark.parametrize(("chosen", "milliseconds"), [("1h", HOUR), ("1d", DAY), ("7d", 7 * DAY), ("no", None)])
async def test_one_chooses_for_how_long(house: House, alice: httpx2.AsyncClient, chosen: str, milliseconds: int | None) -> None:
    credential = await store_credential(alice)
    assert (await replace(alice, credential, "second-value", keep_previous=chosen)).status_code == 303
    rows = await house.store.database.fetch_all("SELECT kept_until FROM registry_credential_versions")
    assert [row["kept_until"] for row in rows] == ([] if milliseconds is None else [house.clock() + milliseconds])


async def test_it_refuses_a_time_that_is_none_and_keeps_what_was_typed(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    answer = await replace(alice, credential, "second-value", keep_previous="for ever", description="typed")
    assert answer.status_code == 422
    assert "Choose for how long the previous value is kept." in answer.text
    assert "typed" in answer.text
    assert "second-value" not in answer.text
    assert await kept(house) == []


async def test_without_a_new_value_nothing_is_kept(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "", description="other words")
    assert await kept(house) == []


async def test_it_can_be_destroyed_before_its_time(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "second-value")
    asked = await alice.get(f"/registry-credentials/{credential}/versions/1/destroy")
    assert "Destroy version 1 of <strong>ghcr-acme</strong>?" in asked.text
    assert await kept(house) == [1], "asking destroys nothing"
    answer = await alice.post(f"/registry-credentials/{credential}/versions/1/destroy")
    assert answer.status_code == 303
    assert await kept(house) == []
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_label"], row["detail"]) == (
        "registry_credential.destroy", house.alice.email, "host ghcr.io; before its time",
    )  # fmt: skip
    assert (await alice.post(f"/registry-credentials/{credential}/versions/1/destroy")).status_code == 404


async def test_only_so_many_are_kept(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    for number in range(MOST + 2):
        await replace(alice, credential, f"value-{number}")
    assert await kept(house) == [3, 4, 5, 6, 7]
    assert [row["action"] for row in await house.audit()].count("registry_credential.destroy") == 2


async def test_the_host_and_the_user_come_back_with_the_value(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "second-value", registry_url="quay.io", username="$token")
    await roll_back(alice, credential, 1)
    page = (await alice.get(f"/registry-credentials/{credential}")).text
    assert 'value="ghcr.io"' in page
    assert 'value="acme-bot"' in page
    assert (await house.store.check()).ok


async def test_it_refuses_to_leave_the_images_of_its_host(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "second-value", registry_url="quay.io")
    await add_image(alice, credential, docker_image_url="quay.io/acme/ubuntu")
    answer = await roll_back(alice, credential, 1)
    assert answer.status_code == 409
    assert "Images at quay.io use this credential" in answer.text
    assert await kept(house) == [1]


async def test_it_refuses_when_somebody_saved_meanwhile(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    assert (await roll_back(alice, credential, 1, version="1")).status_code == 412
    assert await handed(house, token) == "second-value"


async def test_it_refuses_a_viewer_and_another_account(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "second-value")
    for act in ("roll-back", "destroy"):
        for client, status in ((bob, 403), (charlie, 404)):
            assert (await client.post(f"/registry-credentials/{credential}/versions/1/{act}")).status_code == status
    page = (await bob.get(f"/registry-credentials/{credential}")).text
    assert "Previous values" in page
    assert "Roll back" not in page
    for number in ("2", "0", "x", "99999999999999"):
        assert (await alice.post(f"/registry-credentials/{credential}/versions/{number}/roll-back")).status_code == 404


async def test_rotation_and_check_reach_what_is_kept(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    done = await rotate(house.store, house.alice.actor, lambda *_: None)
    assert (done.values, done.retired) == (2, (1,))
    assert "kept versions: 1 open, 0 do not" in (await house.store.check()).lines
    await roll_back(alice, credential, 1)
    assert await handed(house, token) == "first-value"


async def test_a_value_that_is_rolled_back_in_the_middle_of_a_rotation_holds_up_nothing(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential, token = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    passed, went_on = asyncio.Event(), asyncio.Event()
    real = rotation._rewrapped

    async def held(store: Store, table: SealedTable, old: int) -> AsyncIterator[tuple[int, list[str]]]:
        if table.table == "registry_credential_versions":  # the credentials have been passed
            passed.set()
            await went_on.wait()
        async for each in real(store, table, old):
            yield each

    monkeypatch.setattr(rotation, "_rewrapped", held)
    rotating = asyncio.create_task(rotate(house.store, house.alice.actor, lambda *_: None))
    await passed.wait()
    assert (await roll_back(alice, credential, 1)).status_code == 303
    went_on.set()
    done = await rotating
    assert done.retired == (1,)
    (row,) = await house.store.database.fetch_all("SELECT kek_id FROM registry_credentials")
    assert row["kek_id"] == done.key
    assert await handed(house, token) == "first-value"


async def test_a_value_that_does_not_open_can_be_replaced(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET sealed = :sealed", {"sealed": b"\x00" * 400})
    assert (await replace(alice, credential, "second-value")).status_code == 303
    assert await kept(house) == []
    assert await handed(house, token) == "second-value"


async def test_a_kept_value_that_does_not_open_is_not_rolled_back_to(house: House, alice: httpx2.AsyncClient) -> None:
    credential, token = await furnished(house, alice)
    await replace(alice, credential, "second-value")
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credential_versions SET host = 'attacker.example'")
    answer = await roll_back(alice, credential, 1)
    assert answer.status_code == 409
    assert "does not open" in answer.text
    assert await handed(house, token) == "second-value"


async def test_deleting_the_credential_destroys_what_is_kept(house: House, alice: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    await replace(alice, credential, "second-value")
    assert (await alice.post(f"/registry-credentials/{credential}/delete")).status_code == 303
    assert await kept(house) == []
