"""The short form of `python -m tests.battery.canary`."""

from pathlib import Path

from tests.battery import canary
from tests.battery.places import PLACES, search
from tests.real.canary import CANARY, forms_of


def test_nothing_keeps_a_secret_and_the_search_would_find_one() -> None:
    found = canary.run(1, forms=1)
    assert found.found == []
    assert found.missed == []
    assert (found.planted > 20, found.used > 0, found.cores) == (True, True, 0)


def test_every_form_is_found_and_the_secret_is_in_no_answer(tmp_path: Path) -> None:
    for place in PLACES:
        (tmp_path / place.folder).mkdir()
    kept = [place for place in PLACES if place.name in ("log", "temporary file")]
    assert canary.prove(tmp_path, tmp_path, None, kept) == (2 * len(forms_of(canary.CANARY)), [])
    (tmp_path / "logs" / "log").write_text(f"before {CANARY} after")
    assert [(find.what, find.where) for find in search(tmp_path, {"a password": CANARY})] == [("a password", "log: log")]
