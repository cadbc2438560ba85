"""Old rows may go, with a signed note of it, and what remains is verified as before."""

import os

import httpx2
import pytest

from tests.audit.test_heads import head_of, more_rows, verified
from tests.audit.test_verification import furnish, silent, tamper
from tests.personas import House
from webapp import audit_commands
from webapp.audit import retention
from webapp.audit.retention import cut
from webapp.audit.verification import verify
from webapp.clock import DAY
from webapp.command import DONE, REFUSED, Command
from webapp.commands import execute
from webapp.database import Database

pytestmark = pytest.mark.anyio


async def cut_before(house: House, before: int) -> int:
    return await cut(house.store.database, house.store.vault, house.store.chain, house.clock, house.alice.actor, before, silent)


async def furnished(house: House, alice: httpx2.AsyncClient) -> int:
    """Some old rows, and some of 30 days later; how many old ones."""
    await furnish(house, alice)
    await more_rows(house, 130)  # more than a chunk
    old = len(await house.audit())
    house.clock.advance(30 * DAY)
    await more_rows(house, 5)
    return old


async def test_old_rows_go_and_the_rest_is_whole(house: House, alice: httpx2.AsyncClient) -> None:
    old = await furnished(house, alice)
    told: list[tuple[int, int]] = []
    removed = await cut(
        house.store.database, house.store.vault, house.store.chain, house.clock, house.alice.actor, house.clock() - DAY,
        lambda *where: told.append(where),
    )  # fmt: skip
    assert removed == old
    rows = await house.audit()
    assert sorted(int(str(row["seq"])) for row in rows if row["action"] == "image.create") == list(range(old + 1, old + 6))
    (told_of,) = (row for row in rows if row["action"] != "image.create")
    assert told_of["action"] == "audit.cut"
    assert f"rows 1 to {old} of chain" in str(told_of["detail"])
    assert told[-1] == (old, old)
    found = await verified(house)
    assert (found.rows, found.problems) == (6, ())
    assert len(found.notes) == 1
    assert f"Rows up to {old:,} of chain" in found.notes[0]
    house.clock.advance(DAY)
    await more_rows(house, 1)
    chains = len({row["chain"] for row in rows})
    assert await cut_before(house, house.clock()) == 7 - chains, "each chain keeps its last row"
    assert (await verified(house)).problems == ()
    assert await cut_before(house, house.clock()) == chains - 1, "the row about the first cut is not its chain's last any more"
    assert await cut_before(house, house.clock()) == 0, "nothing is old"


async def test_the_last_row_of_a_chain_stays(house: House, alice: httpx2.AsyncClient) -> None:
    await furnish(house, alice)
    await cut_before(house, house.clock() + DAY)
    assert [row["action"] for row in await house.audit()] == ["audit.cut"] or len(await house.audit()) == 2
    assert (await verified(house)).problems == ()


async def test_an_interrupted_cut_leaves_a_whole_log(house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await furnished(house, alice)
    monkeypatch.setattr(retention, "CHUNK", 7)

    def stop(done: int, total: int) -> None:
        if done >= 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await cut(house.store.database, house.store.vault, house.store.chain, house.clock, house.alice.actor, house.clock() - DAY, stop)
    found = await verified(house)
    assert found.problems == ()
    assert "Rows up to 21 of chain" in found.notes[0]
    assert await cut_before(house, house.clock() - DAY) == old - 21


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_cuts SET seq = seq + 3",
        "UPDATE audit_cuts SET mac = '0'",
        "UPDATE audit_cuts SET at = 1",
        "UPDATE audit_cuts SET signature = 'text'",
        "UPDATE audit_cuts SET chain = 'another'",
        "DELETE FROM audit_cuts",
        "DELETE FROM audit_log WHERE seq <= (SELECT seq + 2 FROM audit_cuts)",
        "DELETE FROM audit_log",
    ],
)
async def test_who_owns_the_database_can_make_no_cut(house: House, alice: httpx2.AsyncClient, tampering: str) -> None:
    await furnished(house, alice)
    await cut_before(house, house.clock() - DAY)
    await tamper(house, tampering)
    assert (await verified(house)).problems


async def test_an_older_note_that_is_put_back_is_found(house: House, alice: httpx2.AsyncClient) -> None:
    await furnished(house, alice)
    await cut_before(house, house.clock() - DAY)
    (note,) = await house.store.database.fetch_all("SELECT * FROM audit_cuts")
    house.clock.advance(DAY)
    await more_rows(house, 3)
    await cut_before(house, house.clock())
    assert (await verified(house)).problems == ()
    await tamper(
        house,
        "UPDATE audit_cuts SET seq = :seq, mac = :mac, at = :at, signature = :signature",
        **{k: note[k] for k in ("seq", "mac", "at", "signature")},
    )
    assert (await verified(house)).problems


async def test_heads_of_before_a_cut_still_hold(house: House, alice: httpx2.AsyncClient) -> None:
    await more_rows(house, 3)
    early = await head_of(house)
    await furnished(house, alice)
    late = await head_of(house)
    await cut_before(house, house.clock() - DAY)
    assert (await verified(house, early)).problems == ()
    assert (await verified(house, early, late, since_head=True)).problems == ()
    await tamper(house, "DELETE FROM audit_log WHERE seq > (SELECT min(l.seq) FROM audit_log l WHERE l.chain = audit_log.chain)")
    assert (await verified(house, early)).problems == ()
    assert len((await verified(house, early, late)).problems) == 1


async def test_the_command_cuts_and_says_so(house: House, alice: httpx2.AsyncClient) -> None:
    old = await furnished(house, alice)
    outcome = await execute(house.store, Command("audit-cut", {"older_than": 7}), os.getuid())
    assert (outcome.exit, outcome.stdout) == (DONE, f"Removed {old:,} rows that were more than 7 days old.\n")


async def test_it_refuses_to_cut_a_log_that_was_changed(house: House, alice: httpx2.AsyncClient) -> None:
    await furnished(house, alice)
    await tamper(house, "UPDATE audit_log SET detail = 'edited' WHERE seq = 2")
    before = len(await house.audit())
    outcome = await execute(house.store, Command("audit-cut", {"older_than": 7}), os.getuid())
    assert outcome.exit == REFUSED
    assert "Row 2 is not as it was written" in outcome.stderr
    assert len(await house.audit()) == before


async def test_it_refuses_to_cut_what_was_cut_off_at_the_end(house: House, alice: httpx2.AsyncClient) -> None:
    await furnished(house, alice)
    await house.app.state.heads.write()
    await tamper(house, "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)")
    assert (await execute(house.store, Command("audit-cut", {"older_than": 7}), os.getuid())).exit == REFUSED


async def test_young_rows_are_not_cut_though_somebody_made_them_old(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await more_rows(house, 20)
    real = verify

    async def verified_and_then_changed(database: Database, *arguments: object) -> object:
        found = await real(database, *arguments)  # type: ignore[arg-type]  # as it is called
        await tamper(house, "UPDATE audit_log SET at = 0 WHERE seq < 20")
        return found

    monkeypatch.setattr(audit_commands, "verify", verified_and_then_changed)
    outcome = await execute(house.store, Command("audit-cut", {"older_than": 400}), os.getuid())
    assert outcome.exit == REFUSED
    assert "changed meanwhile" in outcome.stderr
    assert len(await house.audit()) == 21
