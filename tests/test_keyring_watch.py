"""Several processes and one keyring: what one has rotated, the others open at once, and none of them seals with an old key."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, provision, store_credential
from tests.two_stores import neighbour, on_postgresql
from webapp import rotation
from webapp.database import Database
from webapp.errors import Conflict, Unavailable
from webapp.keyring_watch import KEYRING_SQL
from webapp.rotation import rewrap_root, rotate
from webapp.vault import SealContext, Secret

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]

LOOKED_UP = "The keys are being looked up again. Try again."


def silent(done: int, total: int) -> None:
    """Nobody watches."""


async def furnish(house: House, alice: httpx2.AsyncClient) -> str:
    """A credential and a secret, and an agent that is handed both; returns its token."""
    credential = await store_credential(alice, password="hunter2-but-long")
    await alice.post("/secrets", data={"name": "DB_PASSWORD", "value": "hunter3-but-long"})
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, credential, user_data="password={{ secrets.DB_PASSWORD }}")
    assert (await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})).status_code == 303
    return token


async def keys_of(house: House, table: str) -> set[int]:
    return {row["kek_id"] for row in await house.store.database.fetch_all(f"SELECT kek_id FROM {table}")}


async def test_what_is_sealed_with_a_key_that_another_process_made_is_handed_over_at_once(
    house: House, neighbour: House, alice: httpx2.AsyncClient
) -> None:
    token = await furnish(house, alice)
    assert (await provision(neighbour, token)).status_code == 200
    await rotate(house.store, house.alice.actor, silent)
    assert neighbour.store.vault.active_kek == 1
    before = len(await house.audit())
    handed = (await provision(neighbour, token)).json()
    assert handed["registry_auth"]["password"] == "hunter2-but-long"
    assert handed["user_data"] == "password=hunter3-but-long"
    assert neighbour.store.vault.active_kek == 5
    assert len(await house.audit()) == before + 1, "nothing was written down before the key was there"


async def test_a_secret_that_is_sealed_with_an_unknown_key_is_enough_to_look(
    house: House, neighbour: House, alice: httpx2.AsyncClient
) -> None:
    token = await furnish(house, alice)
    old = await house.store.database.fetch_all("SELECT id, sealed, kek_id FROM registry_credentials")
    await rotate(house.store, house.alice.actor, silent)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET sealed = :sealed, kek_id = :kek_id WHERE id = :id", old[0])
    assert (await provision(neighbour, token)).json()["user_data"] == "password=hunter3-but-long"


async def test_a_key_that_nobody_has_does_not_open(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    token = await furnish(house, alice)
    for each in (house, neighbour):
        async with each.store.database.transaction() as transaction:
            rows = await transaction.fetch_all("SELECT id, sealed FROM registry_credentials")
            unknown = rows[0]["sealed"][:4] + (77).to_bytes(4) + rows[0]["sealed"][8:]
            await transaction.execute("UPDATE registry_credentials SET sealed = :sealed WHERE id = :id", {**rows[0], "sealed": unknown})
        answer = await provision(each, token)
        assert (answer.status_code, "the keyring has no key 77" in answer.text) == (409, True)


async def test_pages_and_commands_of_another_process_open_what_was_rotated(
    house: House, neighbour: House, alice: httpx2.AsyncClient
) -> None:
    await furnish(house, alice)
    (row,) = await house.store.database.fetch_all("SELECT id, secret_version FROM registry_credentials")
    await rotate(house.store, house.alice.actor, silent)
    sign_in = await neighbour.store.sign_ins.stored(house.alice.actor, row["id"], row["secret_version"])
    assert sign_in.password == Secret(b"hunter2-but-long")
    assert (await neighbour.store.check()).ok


async def test_a_value_that_is_replaced_elsewhere_is_kept_though_its_key_is_new(
    house: House, neighbour: House, alice: httpx2.AsyncClient
) -> None:
    await furnish(house, alice)
    await rotate(house.store, house.alice.actor, silent)
    client = await neighbour.signed_in(house.alice)
    (row,) = await house.store.database.fetch_all("SELECT id, name FROM registry_credentials")
    form = {"name": row["name"], "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": "newer-and-long"}
    assert (await client.post(f"/registry-credentials/{row['id']}", data=form)).status_code == 303
    assert await keys_of(house, "registry_credential_versions") == {5}
    assert await keys_of(house, "registry_credentials") == {5}


async def test_who_has_not_looked_for_too_long_seals_nothing(house: House, neighbour: House, alice: httpx2.AsyncClient) -> None:
    client, vault = await neighbour.signed_in(house.alice), neighbour.store.vault
    vault.seals_until = 0.0
    refused = await client.post("/secrets", data={"name": "TOKEN", "value": "hunter2-but-long"})
    assert (refused.status_code, LOOKED_UP in refused.text) == (503, True)
    context = SealContext(house.alice.account_id, "secrets", "x", "sealed", 1)
    with pytest.raises(Unavailable, match=LOOKED_UP):
        vault.seal(Secret(b"x"), context)
    with pytest.raises(Unavailable, match=LOOKED_UP):
        vault.rewrap(house.store.vault.seal(Secret(b"x"), context).blob, context)
    await vault.look_up()
    assert (await client.post("/secrets", data={"name": "TOKEN", "value": "hunter2-but-long"})).status_code == 303


async def test_what_another_process_seals_with_the_old_key_before_it_has_looked_is_rewrapped(
    house: House, neighbour: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house, alice)
    client = await neighbour.signed_in(house.alice)

    async def settled(database: Database) -> None:
        """The new key is made, and the other process does not know it yet."""
        states = {row["id"]: row["state"] for row in await database.fetch_all(KEYRING_SQL) if row["purpose"] == "kek"}
        assert states == {1: "retiring", 5: "active"}
        assert (await client.post("/secrets", data={"name": "LATE", "value": "hunter4-but-long"})).status_code == 303
        assert await keys_of(house, "secrets") == {1}

    monkeypatch.setattr(rotation, "settled", settled)
    assert (await rotate(house.store, house.alice.actor, silent)).retired == (1,)
    assert await keys_of(house, "secrets") == {5}


async def test_two_processes_do_not_rotate_at_a_time(
    house: House, neighbour: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house, alice)
    others = list[str]()

    async def settled(database: Database) -> None:
        for change in (rotate(neighbour.store, house.bob.actor, silent), rewrap_root(neighbour.store, house.bob.actor, Path("x.key"))):
            with pytest.raises(Conflict) as refused:
                await change
            others.append(str(refused.value))

    monkeypatch.setattr(rotation, "settled", settled)
    assert (await rotate(house.store, house.alice.actor, silent)).key == 5
    assert others == ["A rotation, or a change of the root key, is running already. Wait until it has ended."] * 2
    monkeypatch.undo()
    monkeypatch.setattr("webapp.keyring_watch.SETTLED", 0.0)
    done = await rotate(neighbour.store, house.bob.actor, silent)
    assert (done.key, done.retired) == (6, (5,)), "it knew the other one's key first"
    assert (await house.store.check()).ok


async def test_without_the_new_root_key_it_goes_on_with_the_keys_that_it_has(
    tmp_path: Path, house: House, neighbour: House, alice: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = await furnish(house, alice)
    new = tmp_path / "elsewhere" / "root.key"
    await rewrap_root(house.store, house.alice.actor, new)
    with caplog.at_level(logging.INFO, "webapp.keyring_watch"):
        await neighbour.store.vault.look_up()
        assert not caplog.records, "its keys are the same"
        await rotate(replace(house.store, settings=replace(house.settings, root_key_file=new)), house.alice.actor, silent)
        for _ in range(3):
            with pytest.raises(Unavailable, match="The keys cannot be looked up"):
                await neighbour.store.vault.look_up()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "expected the root key with fingerprint" in record.getMessage()
    answer = await provision(neighbour, token)
    assert (answer.status_code, "cannot be looked up" in answer.text) == (503, True)
    client = await neighbour.client()
    assert (await client.get("/readyz")).status_code == 200
    assert (await (await neighbour.signed_in(house.alice)).get("/settings/encryption")).status_code == 200


async def test_a_name_is_held_by_one_at_a_time(house: House, neighbour: House) -> None:
    here, there = house.store.database, neighbour.store.database
    async with here.exclusively("cut") as first:
        async with there.exclusively("cut") as second, there.exclusively("another") as third:
            assert (first, second, third) == (True, False, True)
        async with here.exclusively("cut") as again:
            assert not again
        async with there.exclusively("cut") as second:
            assert not second, "who did not get it lets go of nothing"
    async with there.exclusively("cut") as second:
        assert second


async def test_many_that_look_at_a_time_look_one_after_the_other(house: House, neighbour: House) -> None:
    await rotate(house.store, house.alice.actor, silent)
    await asyncio.gather(*(neighbour.store.vault.look_up() for _ in range(5)))
    assert neighbour.store.vault.active_kek == 5
