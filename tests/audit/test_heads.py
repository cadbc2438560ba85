"""Signed heads: what is kept elsewhere, so that a cut at the end of the log shows."""

import json
import os
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.audit.test_verification import ALL, furnish, silent, tamper
from tests.engines import on_sqlite
from tests.personas import House, settings_in
from webapp.audit.exporting import EVERY, ROWS, Heads
from webapp.audit.heads import Head, current, line_of, parse_line, read_heads
from webapp.audit.verification import Verification, verify
from webapp.chain import Event
from webapp.command import DONE, REFUSED, Command
from webapp.commands import execute
from webapp.errors import ConfigurationError
from webapp.store import open_store

pytestmark = pytest.mark.anyio


def heads_of(house: House, sink: Path) -> Heads:
    return Heads(house.store.database, house.store.vault, house.store.chain, house.clock, str(sink))


async def head_of(house: House) -> Head:
    return await current(house.store.database, house.store.vault, house.clock)


async def verified(house: House, *heads: Head, since_head: bool = False) -> Verification:
    return await verify(house.store.database, house.store.vault, silent, heads, since_head=since_head)


async def more_rows(house: House, count: int) -> None:
    """More rows in the chain of what people do: on PostgreSQL that of hand-overs is another one."""
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        for number in range(count):
            await house.store.chain.append(transaction, house.alice.actor, Event("image.create", "image", str(number), "an image"))


async def test_a_head_is_read_as_it_was_written_and_anybody_can_verify_its_signature(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    head = await head_of(house)
    assert [(last.chain, last.seq) for last in head.chains] == [(house.store.vault.instance_id, rows)]
    line = line_of(head, house.store.vault)
    assert parse_line(line, house.store.vault) == head
    content = json.loads(line)
    signature = bytes.fromhex(content.pop("signature"))
    signed = b"registry-credentials audit head v1\n" + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(house.store.vault.public_key)).verify(signature, signed)


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("change", ["seq", "mac", "at", "installation", "signature", "chains", "key"])
async def test_it_refuses_a_head_that_was_changed(house: House, alice: httpx2.AsyncClient, change: str) -> None:
    await furnish(house, alice)
    content = json.loads(line_of(await head_of(house), house.store.vault))
    if change in {"seq", "mac"}:
        content["chains"][0][change] = 3 if change == "seq" else "00" * 32
    else:
        content[change] = {"at": "2026-01-01T00:00:00.000Z", "installation": "f" * 32, "chains": []}.get(change, "00" * 64)
    with pytest.raises(ValueError, match=r"signed|another installation"):
        parse_line(json.dumps(content), house.store.vault)


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("line", ["", "{}", "[]", "null", "{", '{"chains": 7, "signature": "00"}', "[" * 20000, '{"signature": 5}'])
async def test_it_refuses_what_is_no_head(house: House, line: str) -> None:
    with pytest.raises(ValueError, match="no head"):
        parse_line(line, house.store.vault)


async def test_a_cut_at_the_end_is_found_up_to_the_head(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    head = await head_of(house)
    await more_rows(house, 4)
    said = f"{house.store.vault.instance_id}: {rows + 4:,} rows, the last one is {rows + 4:,}"
    assert await verified(house, head) == Verification(rows + 4, (said,), (), (), 4)
    await tamper(house, "DELETE FROM audit_log WHERE seq > :rows", rows=rows)
    assert (await verified(house, head)).problems == ()
    for since_head in (False, True):
        await tamper(house, "DELETE FROM audit_log WHERE seq > :rows", rows=rows - 2)
        found = await verified(house, head, since_head=since_head)
        assert len(found.problems) == 1
        assert f"Rows {rows - 1:,} to {rows:,} of chain" in found.problems[0]
        assert "3 Nov 2026, 14:05 UTC" in found.problems[0]
    await tamper(house, "DELETE FROM audit_log")
    assert len((await verified(house, head)).problems) == 1


async def test_a_chain_that_was_written_anew_from_an_older_state_is_found(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    await more_rows(house, 3)
    head = await head_of(house)
    await tamper(house, "DELETE FROM audit_log WHERE seq > :rows", rows=rows)
    house.store.chain._heads.clear()  # as a new process, which goes on after what it finds
    house.clock.advance(1)  # the very same rows would be no loss
    await more_rows(house, 5)
    for since_head in (False, True):
        (problem,) = (await verified(house, head, since_head=since_head)).problems
        assert problem.startswith(f"Row {rows + 3:,} of chain")


async def test_since_a_head_only_what_came_after_it_is_looked_at(house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    head = await head_of(house)
    await more_rows(house, 4)
    await tamper(house, "UPDATE audit_log SET detail = 'edited' WHERE seq = 2")
    found = await verified(house, head, since_head=True)
    assert (found.rows, found.problems, found.uncovered) == (5, (), 4)
    await tamper(house, "UPDATE audit_log SET detail = 'edited' WHERE seq = :seq", seq=rows + 2)
    assert len((await verified(house, head, since_head=True)).problems) == 1
    assert len((await verified(house, head)).problems) == 2


async def test_heads_are_written_when_there_is_something_new(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    sink = tmp_path / "elsewhere" / "heads.jsonl"
    heads = heads_of(house, sink)
    await heads.write_if_due()
    assert not sink.exists(), "there is nothing to sign yet"
    await furnish(house, alice)
    await heads.write_if_due()
    assert sink.stat().st_mode & 0o777 == 0o600
    house.clock.advance(EVERY)
    await heads.write_if_due()
    assert len(sink.read_text().splitlines()) == 1, "nothing is new"
    await more_rows(house, 1)
    await heads.write_if_due()
    assert len(sink.read_text().splitlines()) == 1, "a minute has not passed"
    house.clock.advance(EVERY)
    await heads.write_if_due()
    written = [parse_line(line, house.store.vault) for line in sink.read_text().splitlines()]
    assert [head.chains[0].seq for head in written] == [len(await house.audit()) - 1, len(await house.audit())]
    assert read_heads(sink, house.store.vault) == tuple(written)


async def test_a_thousand_rows_do_not_wait_for_the_minute(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = heads_of(house, tmp_path / "heads.jsonl")
    await more_rows(house, 3)
    await heads.write_if_due()
    assert heads.last is not None
    assert ROWS == 1000
    monkeypatch.setattr("webapp.audit.exporting.ROWS", 5)
    await more_rows(house, 4)
    await heads.write_if_due()
    assert heads.last.chains[0].seq == 3
    await more_rows(house, 1)
    await heads.write_if_due()
    assert heads.last.chains[0].seq == 8


async def test_a_sink_that_fails_is_said_and_tried_again(house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in the way").write_text("a file")
    heads = heads_of(house, tmp_path / "in the way" / "heads.jsonl")
    await more_rows(house, 1)
    for _ in range(3):
        house.clock.advance(EVERY)
        await heads.write_if_due()
    assert heads.problem.startswith("The head cannot be written to")
    assert len([record for record in caplog.records if "could not be exported" in record.getMessage()]) == 1
    (tmp_path / "in the way").unlink()
    house.clock.advance(EVERY)
    await heads.write_if_due()
    assert heads.problem == ""
    assert heads.last is not None


async def test_a_line_that_a_crash_cut_off_spoils_nothing(house: House, tmp_path: Path) -> None:
    sink = tmp_path / "heads.jsonl"
    await more_rows(house, 1)
    await heads_of(house, sink).write()
    sink.write_text(sink.read_text() + sink.read_text()[:50])
    assert len(read_heads(sink, house.store.vault)) == 1, "the last line has no end"
    await more_rows(house, 1)
    await heads_of(house, sink).write()
    assert [head.chains[0].seq for head in read_heads(sink, house.store.vault)] == [1, 2]


async def test_the_heads_of_an_older_export_count_as_well(house: House, tmp_path: Path) -> None:
    await more_rows(house, 3)
    high = await head_of(house)
    house.clock.advance(EVERY)
    await tamper(house, "DELETE FROM audit_log WHERE seq > 2")
    low = await head_of(house)
    (tmp_path / "heads").write_text("".join(f"{line_of(head, house.store.vault)}\n" for head in (high, low)))
    heads = read_heads(tmp_path / "heads", house.store.vault)
    assert set(heads) == {high, low}
    assert len((await verified(house, *heads)).problems) == 1


async def test_the_server_writes_heads_and_the_command_compares_with_them(tmp_path: Path, house: House, alice: httpx2.AsyncClient) -> None:
    rows = await furnish(house, alice)
    await house.app.state.heads.write()
    sink = Path(house.settings.audit_heads)
    assert sink == tmp_path / "data-heads" / "heads.jsonl"
    outcome = await execute(house.store, Command("audit-verify"), os.getuid())
    assert outcome.exit == DONE
    assert "The log is whole up to the last head, of 3 Nov 2026, 14:05 UTC." in outcome.stdout
    assert "which none covers yet: 0." in outcome.stdout
    await tamper(house, "DELETE FROM audit_log WHERE seq = :rows", rows=rows)
    for arguments in ({}, {"since_head": True}, {"heads": str(sink)}):
        assert (await execute(house.store, Command("audit-verify", arguments), os.getuid())).exit == REFUSED


@pytest.mark.parametrize(
    ("arguments", "says"), [({"since_head": True}, "no head to begin at"), ({"heads": "/dev/null"}, "no head in /dev/null")]
)
async def test_the_command_says_when_there_is_no_head(house: House, arguments: dict[str, str | int | bool], says: str) -> None:
    outcome = await execute(house.store, Command("audit-verify", arguments), os.getuid())
    assert outcome.exit == REFUSED
    assert says in outcome.stderr


async def test_heads_of_another_installation_are_refused(house: House, tmp_path: Path) -> None:
    await more_rows(house, 1)
    async with open_store(settings_in(tmp_path / "other")) as other:
        (tmp_path / "heads").write_text(line_of(await head_of(house), house.store.vault) + "\n")
        with pytest.raises(ConfigurationError, match="line 1 is of another installation"):
            read_heads(tmp_path / "heads", other.vault)


async def names_no_row_that_was_never_written(house: House, sequence: str) -> None:
    await more_rows(house, 3)
    columns = ", ".join(column for column in ALL if column != "seq")
    await tamper(house, f"INSERT INTO audit_log (seq, {columns}) SELECT {sequence}, {columns} FROM audit_log WHERE seq = 1")
    await house.app.state.heads.write()
    await tamper(house, "DELETE FROM audit_log WHERE seq > 1000")
    await more_rows(house, 3)
    await house.app.state.heads.write()
    assert (await execute(house.store, Command("audit-verify"), os.getuid())).exit == DONE
    assert read_heads(Path(house.settings.audit_heads), house.store.vault)[-1].chains[0].seq == 6


async def test_no_head_names_a_row_that_was_never_written(house: House) -> None:
    await names_no_row_that_was_never_written(house, "9000000000000000000")


@on_sqlite  # which takes these for a number
@pytest.mark.parametrize("sequence", ["'zzz'", "x'00'"])
async def test_no_head_names_a_row_whose_number_is_none(house: House, sequence: str) -> None:
    await names_no_row_that_was_never_written(house, sequence)
