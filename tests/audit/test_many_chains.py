"""The audit log of several processes: a chain for each connection that writes, and one log all the same."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.audit.test_verification import silent
from tests.personas import House
from tests.two_stores import neighbour, on_postgresql
from webapp.audit import retention
from webapp.audit.exporting import EVERY, Heads
from webapp.audit.filters import AuditFilter
from webapp.audit.heads import current, read_heads
from webapp.audit.verification import Verification, verify
from webapp.audit_commands import ALONE
from webapp.chain import Event
from webapp.clock import DAY
from webapp.command import DONE, REFUSED, Command, Outcome
from webapp.commands import execute
from webapp.database import Batch, postgresql_engine
from webapp.database.postgresql_connection import PostgresqlConnection
from webapp.errors import Conflict

__all__ = ["neighbour"]

pytestmark = [pytest.mark.anyio, on_postgresql]


async def more_rows(house: House, count: int) -> None:
    """Rows of pages and of batches, which two connections write."""
    for number in range(count):
        event = Event("image.create", "image", str(number), "an image")
        await house.store.chain.append_and_commit(house.alice.actor, event)
        async with house.store.database.account(house.alice.account_id).transaction() as transaction:
            await house.store.chain.append(transaction, house.alice.actor, event)


async def both(house: House, neighbour: House, count: int) -> None:
    await asyncio.gather(more_rows(house, count), more_rows(neighbour, count))


async def verified(house: House) -> Verification:
    return await verify(house.store.database, house.store.vault, lambda done, total: None)


async def run(house: House, name: str, **arguments: str | int) -> Outcome:
    return await execute(house.store, Command(name, arguments), os.getuid())


async def test_every_process_verifies_all_chains(house: House, neighbour: House) -> None:
    await both(house, neighbour, 5)
    for each in (house, neighbour):
        found = await verified(each)
        assert (found.rows, len(found.chains), found.problems) == (20, 4, ())
    chains = {row["chain"] for row in await house.audit()}
    assert chains == {house.store.chain.of_writer(number) for number in range(4)}
    async with house.store.database.transaction() as transaction:
        chain = neighbour.store.chain.of_writer(3)
        await transaction.execute("UPDATE audit_log SET detail = 'another' WHERE chain = :chain AND seq = 2", {"chain": chain})
    assert (await verified(neighbour)).problems == ("Row 2 is not as it was written.",)


async def test_the_page_shows_the_rows_of_all_processes_and_paging_loses_none(house: House, neighbour: House) -> None:
    await both(house, neighbour, 4)  # the clock stands: nothing but the chain tells rows with the same number apart
    for limit in (1, 2, 3, 16):
        told, before = list[tuple[str | None, str]](), ""
        while True:
            page = await neighbour.store.audit.page(house.alice.actor, AuditFilter(), before=before, limit=limit)
            told += [(record.actor_label, record.object_id) for record in page.records]
            if page.before is None:
                break
            before = page.before
        assert sorted(told) == sorted([("alice@example.com", f"{number}") for number in range(4)] * 4), limit


async def test_one_process_writes_the_heads_of_all_and_the_next_one_goes_on(
    tmp_path: Path, house: House, neighbour: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = tmp_path / "heads.jsonl"
    first, second = (Heads(each.store.database, each.store.vault, each.store.chain, house.clock, str(sink)) for each in (house, neighbour))
    await both(house, neighbour, 2)
    for heads in (first, second, first):
        await heads.write_if_due()
    (head,) = read_heads(sink, house.store.vault)
    assert sum(last.seq for last in head.chains) == 8
    assert (first.elsewhere, second.elsewhere) == (False, True)
    monkeypatch.setattr("webapp.audit.exporting.ROWS", 4)
    await more_rows(neighbour, 2)
    for heads in (second, first):
        await heads.write_if_due()
    assert [sum(last.seq for last in head.chains) for head in read_heads(sink, house.store.vault)] == [8, 12]
    await house.stack.aclose()
    await more_rows(neighbour, 1)
    house.clock.advance(EVERY)
    await second.write_if_due()
    assert not second.elsewhere
    last = read_heads(sink, house.store.vault)[-1]
    assert last == await current(neighbour.store.database, neighbour.store.vault, house.clock)
    assert (await verify(neighbour.store.database, neighbour.store.vault, lambda done, total: None, [last])).uncovered == 0


async def test_the_page_says_that_another_process_writes_them(house: House, neighbour: House) -> None:
    assert await house.app.state.heads.has_turn()
    assert not await neighbour.app.state.heads.has_turn()
    client = await neighbour.signed_in(house.alice)
    assert "another process of the server writes them" in (await client.get("/settings/encryption")).text


async def test_a_cut_is_of_all_chains_and_in_one_process_at_a_time(house: House, neighbour: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await both(house, neighbour, 3)
    house.clock.advance(40 * DAY)
    await both(house, neighbour, 1)
    async with house.store.database.exclusively(ALONE):
        refused = [await run(neighbour, "audit-cut", older_than=30), await run(neighbour, "audit-verify")]
    done = await run(house, "audit-cut", older_than=30)
    assert "Removed 12 rows" in done.stdout
    for outcome in refused:
        assert outcome.exit == REFUSED
        assert "Another process verifies or cuts the audit log just now." in outcome.stderr
    assert "Removed 0 rows" in (await run(neighbour, "audit-cut", older_than=30)).stdout
    found = await run(neighbour, "audit-verify")
    assert found.exit == DONE, found.stdout
    assert found.stdout.count("Rows up to 3 of chain") == 4


async def test_a_cut_that_another_one_has_overtaken_takes_no_note_back(
    house: House, neighbour: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await more_rows(house, 6)
    house.clock.advance(40 * DAY)
    await more_rows(house, 1)
    monkeypatch.setattr(retention, "CHUNK", 2)
    write, before, turns = postgresql_engine._write, house.clock() - 30 * DAY, list[str]()

    async def cut_by(each: House) -> int:
        store = each.store
        return await retention.cut(store.database, store.vault, store.chain, each.clock, each.alice.actor, before, silent)

    async def write_late(connection: PostgresqlConnection, batch: Batch) -> None:
        if any("audit_cuts" in sql for sql in batch.statements) and not turns:
            turns.append("overtaken between what it read and what it writes")
            assert await cut_by(neighbour) == 12
        await write(connection, batch)

    monkeypatch.setattr(postgresql_engine, "_write", write_late)
    monkeypatch.setattr("webapp.database.postgresql_engine.MOST_SECONDS", 60.0)
    with pytest.raises(Conflict, match="changed meanwhile"):
        await cut_by(house)
    assert turns
    assert (await verified(house)).problems == ()
