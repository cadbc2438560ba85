"""The audit log's chain: every row's MAC holds the one before it, in the order in which they were committed."""

import asyncio

import pytest

from tests.personas import House
from webapp.actor import Actor
from webapp.chain import FIRST_MAC, AuditChain, Event, mac_input
from webapp.database import Batch
from webapp.errors import Unavailable

pytestmark = pytest.mark.anyio

FULL = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'disk full'); END"


def event(number: int) -> Event:
    return Event("image.create", "image", str(number), f"image {number}")


async def is_whole(house: House) -> int:
    """Verify the chain as a reader of the database would; returns how many rows it has."""
    previous, rows = FIRST_MAC, await house.audit()
    for number, row in enumerate(rows, 1):
        assert row["seq"] == number
        assert row["previous_mac"] == previous
        assert row["mac"] == house.store.vault.audit_mac(mac_input(previous, row))
        previous = bytes(row["mac"])
    return len(rows)


def actor(house: House) -> Actor:
    return house.alice.actor


async def test_rows_are_chained_by_pages_and_batches_alike(house: House) -> None:
    chain, account = house.store.chain, house.store.database.account(house.alice.account_id)
    for number in range(3):
        await chain.append_and_commit(actor(house), event(number))
        async with account.transaction() as transaction:
            await chain.append(transaction, actor(house), event(number))
            await chain.append(transaction, actor(house), event(number))
    assert await is_whole(house) == 9


async def test_a_hundred_at_once_are_one_chain(house: House) -> None:
    await asyncio.gather(*(house.store.chain.append_and_commit(actor(house), event(number)) for number in range(100)))
    assert await is_whole(house) == 100
    assert {row["object_id"] for row in await house.audit()} == {str(number) for number in range(100)}


async def test_a_rollback_takes_its_rows_with_it_and_breaks_nothing(house: House) -> None:
    chain, account = house.store.chain, house.store.database.account(house.alice.account_id)
    await chain.append_and_commit(actor(house), event(1))
    with pytest.raises(LookupError):
        async with account.transaction() as transaction:
            await chain.append(transaction, actor(house), event(2))
            raise LookupError
    await chain.append_and_commit(actor(house), event(3))
    assert await is_whole(house) == 2


async def test_a_batch_that_cannot_be_written_releases_nobody(house: House) -> None:
    chain = house.store.chain
    await chain.append_and_commit(actor(house), event(0))
    async with house.store.database.transaction() as transaction:
        await transaction.execute(FULL)
    results = await asyncio.gather(*(chain.append_and_commit(actor(house), event(n)) for n in range(20)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("DROP TRIGGER full")
    await chain.append_and_commit(actor(house), event(1))
    assert await is_whole(house) == 2


async def test_who_fails_in_a_batch_leaves_no_gap(house: House) -> None:
    chain = house.store.chain

    async def failing(batch: Batch) -> None:
        raise LookupError

    results = await asyncio.gather(
        chain.append_and_commit(actor(house), event(1)),
        house.store.database.submit(failing),
        chain.append_and_commit(actor(house), event(2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert await is_whole(house) == 2


async def test_a_new_process_goes_on_where_the_last_one_ended(house: House) -> None:
    await house.store.chain.append_and_commit(actor(house), event(1))
    later = AuditChain(house.store.database, house.store.vault, house.clock)
    await later.append_and_commit(actor(house), event(2))
    assert await is_whole(house) == 2


@pytest.mark.parametrize("column", ["at", "account_id", "actor_label", "action", "object_name", "decision", "detail", "address", "seq"])
async def test_an_edit_shows(house: House, column: str) -> None:
    for number in range(3):
        await house.store.chain.append_and_commit(actor(house), event(number))
    async with house.store.database.transaction() as transaction:
        value = "9" if column in {"at", "seq"} else "'edited'"
        await transaction.execute(f"UPDATE audit_log SET {column} = {value} WHERE seq = 2")
    with pytest.raises(AssertionError):
        await is_whole(house)
