"""Rotation: new keys for all that is stored, while it is used, and after a kill."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, provision, store_credential
from tests.test_chain import is_whole
from webapp import rotation
from webapp.command import DONE, REFUSED, Command
from webapp.commands import execute
from webapp.database import Row
from webapp.errors import ConfigurationError, Conflict, Unavailable
from webapp.keyring_watch import KEYRING_SQL
from webapp.rotation import rewrap_root, rotate
from webapp.sealed_values import SEALED_TABLES, SealedTable
from webapp.store import Store, open_store
from webapp.vault import Sealed, key_id

pytestmark = pytest.mark.anyio

TABLES = [table.table for table in SEALED_TABLES]


def silent(done: int, total: int) -> None:
    """Nobody watches."""


async def furnish(house: House, alice: httpx2.AsyncClient, count: int = 3) -> str:
    """Some values of every kind; returns the token of an agent that gets the first credential."""
    for number in range(count):
        credential = await store_credential(alice, name=f"credential-{number}", password=f"value-{number}")
        assert (await alice.post("/secrets", data={"name": f"SECRET_{number}", "value": "hunter2-but-long"})).status_code == 303
    assert (await alice.post("/secrets/import", data={"env": "A=1\nB=2\n"})).status_code in (200, 303)
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, credential)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    return token


async def sealed(house: House) -> list[Row]:
    return [row for table in TABLES for row in await house.store.database.fetch_all(f"SELECT id, sealed, kek_id FROM {table} ORDER BY id")]


async def states(house: House) -> dict[int, str]:
    return {row["id"]: row["state"] for row in await house.store.database.fetch_all(KEYRING_SQL) if row["purpose"] == "kek"}


async def test_every_value_is_under_the_new_key_and_opens_as_before(house: House, alice: httpx2.AsyncClient) -> None:
    token = await furnish(house, alice)
    before = await sealed(house)
    assert {row["kek_id"] for row in before} == {1}
    told: list[tuple[int, int]] = []
    done = await rotate(house.store, house.alice.actor, lambda *where: told.append(where))
    after = await sealed(house)
    assert (done.key, done.resumed, done.values, done.retired, done.broken) == (5, False, len(before), (1,), ())
    assert {row["kek_id"] for row in after} == {key_id(row["sealed"]) for row in after} == {5}
    for old, new in zip(before, after, strict=True):
        assert old["id"] == new["id"]
        assert old["sealed"][80:] == new["sealed"][80:], "the value itself is not touched"
        assert old["sealed"][:80] != new["sealed"][:80]
    assert await states(house) == {1: "retired", 5: "active"}
    assert told[-1] == (len(before), len(before))
    assert (await house.store.check()).ok
    assert (await provision(house, token)).json()["registry_auth"]["password"] == "value-2"
    actions = [row["action"] for row in await house.audit()]
    assert actions.count("key.rotate") == actions.count("key.retire") == 1
    await is_whole(house)


async def test_what_is_stored_and_kept_meanwhile_opens_afterwards(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await furnish(house, alice, 8)
    for _ in range(4):
        assert (await provision(house, token)).status_code == 200
    monkeypatch.setattr(rotation, "CHUNK", 1)
    running = asyncio.create_task(rotate(house.store, house.alice.actor, silent))
    number = 0
    while not running.done():
        assert (await provision(house, token)).json()["registry_auth"]["password"] == "value-7"
        await store_credential(alice, name=f"new-{number}")
        number += 1
    done = await running
    assert number > 3
    assert done.retired == (1,)
    assert (await house.store.check()).ok
    assert (await provision(house, token)).status_code == 200


async def test_a_rotation_that_was_cut_off_is_gone_on_with(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house, alice)
    monkeypatch.setattr(rotation, "CHUNK", 2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate(house.store, house.alice.actor, stop)
    assert await states(house) == {1: "retiring", 5: "active"}
    assert {row["kek_id"] for row in await sealed(house)} == {1, 5}
    assert (await house.store.check()).ok, "halfway, everything opens"
    done = await rotate(house.store, house.alice.actor, silent)
    assert (done.key, done.resumed, done.retired) == (5, True, (1,))
    assert {row["kek_id"] for row in await sealed(house)} == {5}


async def test_a_rotation_whose_key_was_committed_though_an_error_was_answered_is_gone_on_with(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await furnish(house, alice)

    def lost(keyring: object) -> None:
        raise Unavailable("the commit was synced, and nobody was told")

    with monkeypatch.context() as patch:
        patch.setattr(house.store.vault, "use", lost)
        with pytest.raises(Unavailable):
            await rotate(house.store, house.alice.actor, silent)
    assert (await states(house), house.store.vault.active_kek) == ({1: "retiring", 5: "active"}, 1)
    done = await rotate(house.store, house.alice.actor, silent)
    assert (done.key, done.resumed, done.retired) == (5, True, (1,))
    assert {row["kek_id"] for row in await sealed(house)} == {5}


@on_sqlite  # PostgreSQL reads them by their id
async def test_values_are_read_in_the_order_in_which_they_lie_and_nothing_is_sorted(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice, 1)
    for table in TABLES:
        plan = await house.store.database.fetch_all(
            f"EXPLAIN QUERY PLAN SELECT rowid, id, sealed FROM {table} WHERE kek_id = 1 AND rowid > 5 ORDER BY rowid LIMIT 50"
        )
        assert [row["detail"] for row in plan] == [f"SEARCH {table} USING INDEX {table}_kek (kek_id=? AND rowid>?)"]


async def test_a_value_that_was_filed_late_under_a_retired_key_is_taken_along_by_the_next_rotation(
    house: House, alice: httpx2.AsyncClient
) -> None:
    await furnish(house, alice)
    (late,) = (await house.store.database.fetch_all("SELECT id, sealed FROM secrets ORDER BY id LIMIT 1"))[:1]
    await rotate(house.store, house.alice.actor, silent)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE secrets SET sealed = :sealed, kek_id = 1 WHERE id = :id", dict(late))
    assert (await house.store.check()).ok
    done = await rotate(house.store, house.alice.actor, silent)
    assert {row["kek_id"] for row in await sealed(house)} == {done.key} == {6}
    assert done.retired == (5,)


async def test_a_value_that_does_not_open_keeps_its_key_in_use(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE secrets SET secret_version = 9 WHERE name = 'SECRET_1'")
    outcome = await execute(house.store, Command("rotate-key"), os.getuid())
    assert outcome.exit == REFUSED
    assert "does not open" in outcome.stdout
    assert "is retired" not in outcome.stdout
    assert await states(house) == {1: "retiring", 5: "active"}
    assert [row["kek_id"] for row in await sealed(house)].count(1) == 1


async def test_two_at_once_are_one(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    results = await asyncio.gather(*(rotate(house.store, house.alice.actor, silent) for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in results].count(Conflict) == 1
    assert await states(house) == {1: "retired", 5: "active"}


async def test_a_value_that_is_replaced_while_it_is_rewrapped_stays_the_new_one(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await furnish(house, alice)
    (row,) = await house.store.database.fetch_all("SELECT id FROM registry_credentials WHERE name = 'credential-2'")
    form = {"name": "credential-2", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": "newer"}
    real, replaced = rotation._write, 0

    async def write_late(store: Store, table: SealedTable, old: int, changed: list[tuple[Row, Sealed]]) -> None:
        """Between what was read and what is written, somebody enters a new value."""
        nonlocal replaced
        if not replaced:
            replaced = (await alice.post(f"/registry-credentials/{row['id']}", data=form)).status_code
        await real(store, table, old, changed)

    monkeypatch.setattr(rotation, "_write", write_late)
    done = await rotate(house.store, house.alice.actor, silent)
    assert (replaced, done.retired) == (303, (1,))
    assert (await provision(house, token)).json()["registry_auth"]["password"] == "newer"
    assert (await house.store.check()).ok


async def test_without_its_root_key_nothing_is_rotated(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    house.settings.root_key_file.rename(house.settings.root_key_file.with_suffix(".away"))
    before = await sealed(house)
    with pytest.raises(ConfigurationError):
        await rotate(house.store, house.alice.actor, silent)
    outcome = await execute(house.store, Command("rotate-key"), os.getuid())
    assert outcome.exit == os.EX_CONFIG
    assert "found no file at" in outcome.stderr
    assert (await sealed(house), await states(house)) == (before, {1: "active"})


async def test_a_disk_that_is_full_changes_no_key(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    await house.refuse_writes()
    outcome = await execute(house.store, Command("rotate-key"), os.getuid())
    assert outcome.exit not in (DONE, REFUSED)
    assert await states(house) == {1: "active"}
    assert house.store.vault.active_kek == 1


async def test_the_keyring_moves_under_another_root_key(tmp_path: Path, house: House, alice: httpx2.AsyncClient) -> None:
    token = await furnish(house, alice)
    new = tmp_path / "elsewhere" / "root.key"
    outcome = await execute(house.store, Command("rewrap-root", {"to": str(new)}), os.getuid())
    assert outcome.exit == DONE, outcome.stderr
    assert f"WEBAPP_ROOT_KEY_FILE={new}" in outcome.stdout
    assert (new.stat().st_mode & 0o777) == 0o400
    assert (await provision(house, token)).status_code == 200, "the server goes on as it was"
    with pytest.raises(Conflict):
        await rewrap_root(house.store, house.alice.actor, house.settings.root_key_file)
    with pytest.raises(ConfigurationError, match="expected the root key with fingerprint"):
        await rotate(house.store, house.alice.actor, silent)  # it still names the old file
    await house.stack.aclose()
    with pytest.raises(ConfigurationError, match="expected the root key with fingerprint"):
        async with open_store(house.settings):
            pass
    async with open_store(replace(house.settings, root_key_file=new)) as store:
        assert (await store.check()).ok
        assert (await rotate(store, house.alice.actor, silent)).retired == (1,)


async def test_a_value_that_is_written_behind_the_first_pass_under_the_old_key_is_rewrapped_too(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await furnish(house, alice)
    before = await house.store.database.fetch_all("SELECT id, sealed, kek_id FROM secrets ORDER BY id LIMIT 1")
    real, passes = rotation._rewrapped, 0

    async def rewrapped(store: Store, table: SealedTable, old: int) -> AsyncIterator[tuple[int, list[str]]]:
        nonlocal passes
        async for each in real(store, table, old):
            yield each
        if table.table == "secrets" and (passes := passes + 1) == 1:  # a form had sealed it a moment before
            async with store.database.transaction() as transaction:
                await transaction.execute("UPDATE secrets SET sealed = :sealed, kek_id = :kek_id WHERE id = :id", before[0])

    monkeypatch.setattr(rotation, "_rewrapped", rewrapped)
    done = await rotate(house.store, house.alice.actor, silent)
    assert (done.retired, passes) == ((1,), 2)
    assert (await house.store.check()).ok
    assert (await provision(house, token)).status_code == 200
