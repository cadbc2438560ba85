"""The audit log's chain: every row's MAC holds the one before it, in the order in which they were committed."""

import asyncio
from dataclasses import replace

import pytest

from tests.engines import on_sqlite
from tests.personas import House
from webapp.actor import Actor
from webapp.chain import COLUMNS, FIRST_MAC, AuditChain, Event, mac_input
from webapp.database import Batch
from webapp.errors import Unavailable
from webapp.ids import new_id

pytestmark = pytest.mark.anyio


def event(number: int) -> Event:
    return Event("image.create", "image", str(number), f"image {number}")


async def is_whole(house: House) -> int:
    """Verify the chains as a reader of the database would; returns how many rows it has."""
    rows = await house.audit()
    for chain in {row["chain"] for row in rows}:  # on PostgreSQL each connection that writes has its own
        previous = FIRST_MAC
        for number, row in enumerate(sorted((row for row in rows if row["chain"] == chain), key=lambda row: int(str(row["seq"]))), 1):
            assert row["seq"] == number
            assert row["previous_mac"] == previous
            assert row["mac"] == house.store.vault.audit_mac(mac_input(previous, row))
            previous = row["mac"]
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


@pytest.mark.parametrize(("how_it_really_ended", "rows"), [("ROLLBACK", 2), ("COMMIT", 3)])
async def test_a_commit_of_which_nobody_knows_how_it_ended_breaks_nothing(house: House, how_it_really_ended: str, rows: int) -> None:
    chain, account = house.store.chain, house.store.database.account(house.alice.account_id)
    await chain.append_and_commit(actor(house), event(1))
    with pytest.raises(Exception, match=r"cannot commit|no transaction|cannot be reached"):
        async with account.transaction() as transaction:
            await chain.append(transaction, actor(house), event(2))
            await transaction.whole.execute(how_it_really_ended)  # so that the COMMIT after it fails
            if house.engine.name == "postgresql":  # which would only warn of it
                await transaction.whole.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await chain.append_and_commit(actor(house), event(3))
    assert await is_whole(house) == rows


async def test_a_page_that_is_given_up_takes_its_rows_with_it_and_breaks_nothing(house: House) -> None:
    chain, account, written = house.store.chain, house.store.database.account(house.alice.account_id), asyncio.Event()

    async def page() -> None:
        async with account.transaction() as transaction:
            await chain.append(transaction, actor(house), event(1))
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(page())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await chain.append_and_commit(actor(house), event(2))
    assert await is_whole(house) == 1


@on_sqlite  # on PostgreSQL the disk is another host's; what it says then is in the next test
async def test_a_full_disk_releases_nobody(house: House) -> None:
    chain, account = house.store.chain, house.store.database.account(house.alice.account_id)
    await chain.append_and_commit(actor(house), event(0))
    async with account.transaction() as transaction:
        await transaction.whole.execute("PRAGMA max_page_count = 1")  # SQLite keeps to the pages that there are
    large = replace(event(1), detail="x" * 500)
    results = await asyncio.gather(*(chain.append_and_commit(actor(house), large) for _ in range(200)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    async with house.store.database.transaction() as transaction_:
        await transaction_.execute(f"PRAGMA max_page_count = {2**30}")
    await chain.append_and_commit(actor(house), event(2))
    assert await is_whole(house) == 2


async def test_a_batch_that_cannot_be_written_releases_nobody(house: House) -> None:
    chain = house.store.chain
    await chain.append_and_commit(actor(house), event(0))
    await house.refuse_writes()
    results = await asyncio.gather(*(chain.append_and_commit(actor(house), event(n)) for n in range(20)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    await house.take_writes()
    await chain.append_and_commit(actor(house), event(1))
    assert await is_whole(house) == 2


@pytest.mark.parametrize("written", [0, 1, 3])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_who_fails_in_a_batch_leaves_no_gap(house: House, place: int, written: int) -> None:
    chain = house.store.chain

    async def failing(batch: Batch) -> None:
        for number in range(written):
            await chain.append(batch, actor(house), event(number))
        raise LookupError

    failing_one, good = house.store.database.submit(failing), chain.append_and_commit
    together = [good(actor(house), event(1)), good(actor(house), event(2))]
    together.insert(place, failing_one)
    results = await asyncio.gather(*together, return_exceptions=True)
    assert [type(result) for result in results].index(LookupError) == place
    assert await is_whole(house) == 2
    await good(actor(house), event(3))
    assert await is_whole(house) == 3


async def test_a_new_process_goes_on_where_the_last_one_ended(house: House) -> None:
    await house.store.chain.append_and_commit(actor(house), event(1))
    later = AuditChain(house.store.database, house.store.vault, house.clock)
    await later.append_and_commit(actor(house), event(2))
    assert await is_whole(house) == 2


@on_sqlite  # the MACs know no engine
@pytest.mark.parametrize("column", [*COLUMNS, "previous_mac", "mac"])
async def test_an_edit_shows(house: House, column: str) -> None:
    for number in range(3):
        await house.store.chain.append_and_commit(actor(house), event(number))
    async with house.store.database.transaction() as transaction:
        value = "9" if column in {"at", "seq", "secret_version"} else "'edited'"
        await transaction.execute(f"UPDATE audit_log SET {column} = {value} WHERE seq = 2")
    with pytest.raises(AssertionError):
        await is_whole(house)


async def test_two_rows_that_changed_places_show(house: House) -> None:
    for number in range(3):
        await house.store.chain.append_and_commit(actor(house), event(number))
    async with house.store.database.transaction() as transaction:
        for old, new in ((1, 9), (2, 1), (9, 2)):
            await transaction.execute("UPDATE audit_log SET seq = :new WHERE seq = :old", {"old": old, "new": new})
    with pytest.raises(AssertionError):
        await is_whole(house)


async def test_all_rows_that_were_committed_count_the_first_batch_too(house: House) -> None:
    chain = AuditChain(house.store.database, house.store.vault, house.clock, new_id())
    event = Event("image.create", "image", "1", "an image")
    await asyncio.gather(*(chain.append_and_commit(house.alice.actor, event) for _ in range(20)))
    assert chain.appended == 20
    with pytest.raises(LookupError):
        async with house.store.database.account(house.alice.account_id).transaction() as transaction:
            await chain.append(transaction, house.alice.actor, event)
            raise LookupError
    assert chain.appended == 20
