"""The short form of `python -m tests.battery.audit_edits`."""

import hmac

import pytest

from tests.battery import audit_edits, row_edits
from tests.battery.audit_edits import Judge
from tests.battery.furnished import Furnished
from tests.battery.row_edits import EDITS
from webapp.audit import verification


def test_whatever_is_done_to_the_log_is_found() -> None:
    found = audit_edits.run(60, 1, rows=60)
    assert found.missed == []
    assert found.edits.total() - found.tail_cuts == 60
    assert set(found.edits) == set(EDITS)


def test_a_verification_that_looks_at_no_mac_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: True)
    monkeypatch.setattr(verification, "is_as_written", lambda vault, row: True)
    assert audit_edits.run(30, 1, rows=40).missed


def test_one_who_knows_the_end_finds_a_cut_there(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []

    async def last(house: Furnished) -> object:
        return (await house.store.database.fetch_all("SELECT max(seq) AS last FROM audit_log"))[0]["last"]

    async def keep(house: Furnished) -> None:
        kept.append(await last(house))

    async def look(house: Furnished) -> tuple[str, ...]:
        return () if await last(house) == kept[0] else ("The end is missing.",)

    monkeypatch.setattr(audit_edits, "JUDGES", [*audit_edits.JUDGES, Judge("knows the end", look, keep, to_the_end=True)])
    monkeypatch.setattr(audit_edits, "EDITS", {"cut": EDITS["cut"]})
    monkeypatch.setattr(row_edits, "_seq", lambda connection, chance: chance.randint(2, 30))
    found = audit_edits.run(5, 1, rows=40)
    assert found.tail_cuts
    assert all("knows the end finds nothing: cut" in sentence for sentence in found.missed), "cuts at the beginning"
