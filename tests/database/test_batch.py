"""Group commit: many writes, one synced commit, and each caller told how its own write ended."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from webapp.database import Batch
from webapp.database.engine import MOST_IN_A_BATCH
from webapp.database.group_commit import GroupCommit
from webapp.database.sqlite import WriterConnection, url_of
from webapp.database.sqlite_connection import HeldConnection
from webapp.database.sqlite_engine import SqliteEngine
from webapp.errors import Unavailable

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO notes (id, text) VALUES (:id, :text)"


class Desk:
    """A writer on a file of its own, and what its connections were told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits: list[int] = []
        self.opened = 0
        self.disk_is_broken = False
        self.engine = SqliteEngine(url_of(path), self._connect)
        self.group = GroupCommit(self.engine)

    def _connect(self) -> HeldConnection:
        desk = self

        class Observed(WriterConnection):
            """Real, but for a disk that fails on demand: as SQLite does then, it rolls back by itself."""

            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    desk.commits.append(threading.get_ident())
                    if desk.disk_is_broken:
                        super().execute("ROLLBACK")
                        error = sqlite3.OperationalError("disk I/O error")
                        error.sqlite_errorname = "SQLITE_IOERR"
                        raise error
                return super().execute(sql, parameters)

        self.opened += 1
        return HeldConnection(url_of(self.path), Observed, check_same_thread=False)

    async def note(self, number: int, text: str = "x") -> None:
        """Write one row, as one of many callers."""

        async def write(batch: Batch) -> None:
            await batch.execute(INSERT, {"id": number, "text": text})

        await self.group.submit(write)

    def on_disk(self) -> list[int]:
        """The rows that another process sees."""
        with sqlite3.connect(self.path) as connection:
            rows = connection.execute("SELECT id FROM notes ORDER BY id").fetchall()
        connection.close()
        return [number for (number,) in rows]


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "store.sqlite3")
    async with made.engine.transaction("") as transaction:
        await transaction.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    made.commits.clear()
    yield made
    await made.group.close()
    await made.engine.close()


@pytest.mark.parametrize(("callers", "commits"), [(1, 1), (100, 1), (MOST_IN_A_BATCH, 1), (2 * MOST_IN_A_BATCH + 1, 3)])
async def test_those_who_come_together_share_a_commit(desk: Desk, callers: int, commits: int) -> None:
    await asyncio.gather(*(desk.note(number) for number in range(callers)))
    assert desk.on_disk() == list(range(callers))
    assert len(desk.commits) == commits


async def test_those_who_come_a_moment_later_are_waited_for(desk: Desk) -> None:
    async def late(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)  # one round of the event loop
        await desk.note(number)

    await asyncio.gather(*(late(number) for number in range(3)))
    assert desk.on_disk() == [0, 1, 2]
    assert len(desk.commits) == 1


async def test_those_who_come_while_a_page_writes_wait_for_it_and_share_the_next_commit(desk: Desk) -> None:
    async with desk.engine.transaction("") as transaction:
        callers = []
        for number in range(20):
            callers.append(asyncio.create_task(desk.note(number)))
            await transaction.execute(INSERT, {"id": 100 + number, "text": "page"})
        assert not any(caller.done() for caller in callers)
        assert desk.on_disk() == []
    await asyncio.gather(*callers)
    assert len(desk.on_disk()) == 40
    assert len(desk.commits) == 2, "the page's, and one for all who waited"


@pytest.mark.parametrize(("usual", "is_here"), [(0.0, True), (1.0, False)], ids=["a quick disk", "a slow disk"])
async def test_nobody_is_told_before_the_row_is_on_the_disk(desk: Desk, *, usual: float, is_here: bool) -> None:
    desk.engine._usual = usual  # seconds that a batch takes: it decides on which thread the next one is written
    seen: list[bool] = []

    async def caller(number: int) -> None:
        assert number not in desk.on_disk()
        await desk.note(number)
        seen.append(number in desk.on_disk())

    await asyncio.gather(*(caller(number) for number in range(10)))
    assert seen == [True] * 10
    assert [thread == threading.get_ident() for thread in desk.commits] == [is_here]


async def test_each_reads_what_was_committed_last_and_nothing_of_its_own_batch(desk: Desk) -> None:
    await desk.note(1, "before")
    sql, values = "SELECT id, text FROM notes WHERE id <= :most ORDER BY id", {"most": 9}
    reads: list[object] = []

    async def write(batch: Batch) -> None:
        await batch.execute(INSERT, {"id": len(reads) + 2, "text": "in the batch"})
        reads.append((await batch.fetch_one(sql, values), await batch.fetch_all(sql, values), batch.tuples(sql, values)))
        assert await batch.fetch_one(sql, {"most": 0}) is None
        assert batch.tuples(sql, {"most": 0}) == []

    await asyncio.gather(desk.group.submit(write), desk.group.submit(write))
    before = {"id": 1, "text": "before"}
    assert reads == [(before, [before], [(1, "before")])] * 2
    assert desk.on_disk() == [1, 2, 3]


async def test_rows_of_one_kind_are_written_in_the_order_in_which_they_were_said(desk: Desk) -> None:
    await desk.note(1, "")

    def add(letter: str) -> "asyncio.Future[None]":
        async def write(batch: Batch) -> None:
            await batch.execute("UPDATE notes SET text = text || :letter WHERE id = 1", {"letter": letter})
            batch.insert("notes", ("text", "id"), (letter, ord(letter)))

        return asyncio.ensure_future(desk.group.submit(write))

    await asyncio.gather(*(add(letter) for letter in "chain"))
    async with desk.engine.transaction("") as transaction:
        assert await transaction.fetch_one("SELECT text FROM notes WHERE id = 1") == {"text": "chain"}
        assert await transaction.fetch_one("SELECT text FROM notes WHERE id = :id", {"id": ord("h")}) == {"text": "h"}


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_who_fails_is_told_why_and_leaves_nothing_and_the_others_go_on(desk: Desk, place: int) -> None:
    told: list[str] = []

    async def failing(batch: Batch) -> None:
        for number in (1, 2):
            await batch.execute(INSERT, {"id": 100 + number, "text": "x"})
            batch.on_drop(lambda number=number: told.append(f"dropped {number}"))  # type: ignore[misc]
        raise LookupError("of its own")

    async def good(batch: Batch) -> None:
        await batch.execute(INSERT, {"id": None, "text": "x"})
        batch.on_drop(lambda: told.append("a good one was dropped"))

    together = [desk.group.submit(good), desk.group.submit(good)]
    together.insert(place, desk.group.submit(failing))
    results = await asyncio.gather(*together, return_exceptions=True)
    assert [str(result) for result in results if result is not None] == ["of its own"]
    assert isinstance(results[place], LookupError)
    assert desk.on_disk() == [1, 2]
    assert told == ["dropped 2", "dropped 1"], "the last one first"
    assert len(desk.commits) == 1


async def test_who_fails_when_told_keeps_nobody_from_being_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Exception | None] = []

    def failing(error: Exception | None) -> None:
        raise LookupError("of the one who was told")

    def write(batch: Batch) -> None:
        batch.write(INSERT, {"id": None, "text": "x"})

    def refused(batch: Batch) -> None:
        raise LookupError("of the one who took part")

    for done in (failing, told.append, failing, told.append):
        desk.group.queue(write, done)
    desk.group.queue(refused, failing)
    desk.group.queue(refused, told.append)
    await desk.note(100)
    assert [str(one) for one in told] == ["of the one who took part", "None", "None"]
    assert len(desk.on_disk()) == 5
    assert "somebody who took part in a batch failed after it had ended" in caplog.text


async def test_hooks_say_how_it_ended_and_not_before(desk: Desk) -> None:
    told: list[tuple[str, bool]] = []

    async def write(batch: Batch) -> None:
        await batch.execute(INSERT, {"id": 1, "text": "x"})
        batch.on_commit(lambda: told.append(("kept", desk.on_disk() == [1])))
        batch.on_abandon(lambda: told.append(("lost", desk.on_disk() == [1])))

    desk.disk_is_broken = True
    with pytest.raises(Unavailable):
        await desk.group.submit(write)
    assert told == [("lost", False)]
    desk.disk_is_broken = False
    await desk.group.submit(write)
    assert told == [("lost", False), ("kept", True)]


async def test_a_commit_that_fails_releases_nobody_and_the_connection_is_replaced(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.disk_is_broken = True
    with caplog.at_level(logging.DEBUG):
        results = await asyncio.gather(*(desk.note(number, "hunter2") for number in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert all("nothing was released" in str(result) for result in results)
    assert desk.on_disk() == []
    assert "hunter2" not in caplog.text
    assert "{'writes': 20, 'error': 'Unavailable', 'event': 'a batch of audited writes could not be committed'}" in caplog.text
    desk.disk_is_broken = False
    await desk.note(1)
    assert desk.on_disk() == [1]
    assert desk.opened == 2


async def test_one_row_that_the_database_refuses_fails_the_batch_as_a_whole(desk: Desk) -> None:
    results = await asyncio.gather(desk.note(1), desk.note(2), desk.note(2), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert desk.on_disk() == []
    await desk.note(2)
    assert desk.on_disk() == [2]
    assert desk.opened == 1, "it was rolled back, so the connection is as good as before"


async def test_who_gives_up_waiting_keeps_nobody_else_waiting(desk: Desk) -> None:
    async with desk.engine.transaction(""):
        impatient, patient = asyncio.create_task(desk.note(1)), asyncio.create_task(desk.note(2))
        await asyncio.sleep(0)
        impatient.cancel()
    await patient
    assert impatient.cancelled()
    assert 2 in desk.on_disk()


async def test_a_disk_that_is_not_there_yet_is_told_to_all_and_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "later" / "store.sqlite3")
    results = await asyncio.gather(desk.note(1), desk.note(2), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    desk.path.parent.mkdir()
    async with desk.engine.transaction("") as transaction:
        await transaction.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    await desk.note(3)
    await desk.group.close()
    await desk.engine.close()
    assert desk.on_disk() == [3]


async def test_closing_lets_those_who_wait_finish(desk: Desk) -> None:
    callers = [asyncio.create_task(desk.note(number)) for number in range(3)]
    await asyncio.sleep(0)
    await desk.group.close()
    assert desk.on_disk() == [0, 1, 2]
    await asyncio.gather(*callers)
