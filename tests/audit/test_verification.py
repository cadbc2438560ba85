"""Whatever somebody who owns the database does to the log shows, but for a cut at its end."""

import os
import random
from collections.abc import Mapping

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.stories import store_credential
from webapp.audit import verification
from webapp.audit.verification import MOST_PROBLEMS, Verification, verify
from webapp.chain import COLUMNS
from webapp.command import DONE, REFUSED, Command
from webapp.commands import execute

pytestmark = pytest.mark.anyio

ALL = (*COLUMNS, "previous_mac", "mac")
NULLABLE = ("accessor", "secret_version", "detail", "address", "request_id")
NUMBERS, BYTES = ("seq", "at", "secret_version"), ("previous_mac", "mac")


def others(column: str, number: int = 99) -> object:
    """What may stand in the column on both engines."""
    return number if column in NUMBERS else f"x{number}".encode() if column in BYTES else f"x{number}"


def silent(done: int, total: int) -> None:
    """Nobody watches."""


async def verified(house: House) -> Verification:
    return await verify(house.store.database, house.store.vault, silent)


async def tamper(house: House, sql: str, **values: object) -> None:
    async with house.store.database.transaction() as transaction:
        await transaction.execute(sql, values)


async def furnish(house: House, alice: httpx2.AsyncClient) -> int:
    """A log with rows of several kinds; returns how many."""
    for number in range(12):
        await store_credential(alice, name=f"credential-{number}")
    rows = len(await house.audit())
    assert (await verified(house)).problems == ()
    return rows


async def put(house: House, row: Mapping[str, object], column: str, expression: str, **values: object) -> None:
    """Put something into a column of the row, which another one knows it by."""
    key = "previous_mac" if column == "mac" else "mac"
    await tamper(house, f"UPDATE audit_log SET {column} = {expression} WHERE {key} = :key", key=row[key], **values)


async def test_a_log_that_nobody_touched_is_whole(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    told: list[tuple[int, int]] = []
    found = await verify(house.store.database, house.store.vault, lambda *where: told.append(where))
    assert (found.rows, found.problems) == (rows, ())
    assert told[-1] == (rows, rows)
    outcome = await execute(house.store, Command("audit-verify"), os.getuid())
    assert outcome.exit == DONE
    assert f"{rows:,} rows" in outcome.stdout
    assert "\nThe log is whole" in outcome.stdout  # a head may have been written meanwhile: then a line says how many rows came after it


async def test_an_empty_log_is_whole(house: House) -> None:
    await tamper(house, "DELETE FROM audit_log")
    assert await verified(house) == Verification(0, (), (), (), None)


async def test_a_change_of_any_column_is_found(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    (row,) = await house.store.database.fetch_all("SELECT * FROM audit_log WHERE seq = 5")
    missed = []
    any_type = ("x", 99, b"x" * 32) if house.engine.name == "sqlite" else ()
    for column in ALL:
        for value in (*any_type, others(column), *([None] if column in NULLABLE else [])):
            if row[column] != value:
                await put(house, row, column, "CAST(:value AS INTEGER)" if value is None and column in NUMBERS else ":value", value=value)
                missed += [] if (await verified(house)).problems else [(column, value)]
        await put(house, row, column, ":value", value=row[column])
    assert missed == []
    assert (await verified(house)).problems == ()


async def test_rows_that_are_missing_are_counted(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    await tamper(house, "DELETE FROM audit_log WHERE seq IN (2, 5, 6, 7)")
    assert (await verified(house)).problems == ("Row 2 is missing.", "Rows 5 to 7 are missing.")
    outcome = await execute(house.store, Command("audit-verify"), os.getuid())
    assert outcome.exit == REFUSED
    assert "Rows 5 to 7 are missing." in outcome.stdout


async def test_rows_that_were_cut_off_at_the_beginning_are_missed(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    await tamper(house, "DELETE FROM audit_log WHERE seq <= 3")
    assert (await verified(house)).problems == ("Rows 1 to 3 are missing.",)


async def test_two_rows_that_changed_places_are_found(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    for old, new in ((4, 1000), (5, 4), (1000, 5)):
        await tamper(house, "UPDATE audit_log SET seq = :new WHERE seq = :old", old=old, new=new)
    assert len((await verified(house)).problems) >= 2


async def test_a_row_that_was_numbered_down_over_a_deleted_one_is_found(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    await tamper(house, "DELETE FROM audit_log WHERE seq = 4")
    for number in range(5, rows + 1):
        await tamper(house, "UPDATE audit_log SET seq = :new WHERE seq = :old", old=number, new=number - 1)
    found = await verified(house)
    assert len(found.problems) == MOST_PROBLEMS or len(found.problems) > rows - 5


async def test_a_row_and_a_chain_that_somebody_added_are_found(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    columns = ", ".join(ALL)
    for chain, seq in (("chain", rows + 1), ("'another'", 1)):
        selected = columns.replace("chain", chain, 1).replace("seq", str(seq), 1)
        await tamper(house, f"INSERT INTO audit_log ({columns}) SELECT {selected} FROM audit_log WHERE seq = 3")
        assert (await verified(house)).problems
        await tamper(house, f"DELETE FROM audit_log WHERE seq = {seq} AND (chain = 'another' OR seq > {rows})")
    assert (await verified(house)).problems == ()


@on_sqlite  # PostgreSQL takes no such text
async def test_text_that_is_no_utf_8_is_found_in_any_column(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    for column in ALL:
        (row,) = await house.store.database.fetch_all("SELECT * FROM audit_log WHERE seq = 5")
        await put(house, row, column, "CAST(x'ff' AS TEXT)")
        assert (await verified(house)).problems, column
        await put(house, row, column, ":value", value=row[column])
    assert (await verified(house)).problems == ()


async def loosen(house: House) -> None:
    """Take the table's keys and constraints away, as its owner may."""
    await tamper(house, "ALTER TABLE audit_log RENAME TO strict")
    await tamper(house, "CREATE TABLE audit_log AS SELECT * FROM strict")


async def is_found_without_a_chain(house: House, alice: httpx2.AsyncClient, chain: str) -> None:
    rows = await furnish(house, alice)
    await loosen(house)
    assert (await verified(house)).problems == ()
    await tamper(house, f"UPDATE audit_log SET chain = {chain}")
    assert (await verified(house)).problems == (f"Rows: {rows} are in no chain of an installation.",)


@pytest.mark.parametrize("chain", ["NULL", "''"])
async def test_a_log_without_a_chain_is_found(house: House, alice: httpx2.AsyncClient, chain: str) -> None:
    await is_found_without_a_chain(house, alice, chain)


@on_sqlite  # which takes bytes for a text
async def test_a_log_whose_chain_is_no_text_is_found(house: House, alice: httpx2.AsyncClient) -> None:
    await is_found_without_a_chain(house, alice, "CAST(chain AS BLOB)")


@pytest.mark.parametrize("page", [3, 5])
async def test_a_second_row_of_a_number_at_the_end_of_a_page_is_found(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    await furnish(house, alice)
    await loosen(house)
    monkeypatch.setattr(verification, "PAGE", page)
    assert (await verified(house)).problems == ()
    await tamper(house, "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = :page", page=page)
    assert (await verified(house)).problems == ("Rows: 1 have no number of their own.",)


async def test_random_edits_are_all_found(house: House, alice: httpx2.AsyncClient) -> None:
    rows, chance = await furnish(house, alice), random.Random(7)  # noqa: S311  not a secret
    missed = []
    for number in range(60):
        before = await house.store.database.fetch_all("SELECT * FROM audit_log")
        seq, column = chance.randint(1, rows - 1), chance.choice([column for column in ALL if column not in ("chain", "seq")])
        kind = chance.choice(["edit", "delete", "copy"])
        other = 1 + seq % (rows - 1)
        if kind == "edit":
            await tamper(house, f"UPDATE audit_log SET {column} = :value WHERE seq = :seq", seq=seq, value=others(column, number))
        elif kind == "delete":
            await tamper(house, "DELETE FROM audit_log WHERE seq = :seq", seq=seq)
        else:  # the whole content of another row, under its own number
            copied = ", ".join(f"{c} = (SELECT {c} FROM audit_log WHERE seq = :other)" for c in ALL if c not in ("chain", "seq"))
            await tamper(house, f"UPDATE audit_log SET {copied} WHERE seq = :seq", seq=seq, other=other)
        if not (await verified(house)).problems:
            missed.append((kind, seq, column))
        await tamper(house, "DELETE FROM audit_log")
        async with house.store.database.transaction() as transaction:
            for row in before:
                await transaction.execute(f"INSERT INTO audit_log ({', '.join(ALL)}) VALUES ({', '.join(':' + c for c in ALL)})", row)
    assert missed == []
    assert (await verified(house)).problems == ()
