"""The short form of `python -m tests.battery.root_keys`."""

from pathlib import Path

import pytest

from tests.battery import root_keys


def test_a_start_with_a_wrong_root_key_changes_nothing_and_says_which_one_is_wanted() -> None:
    found = root_keys.run(2, 1)
    assert found.wrong == []
    assert found.starts == 6


def test_a_start_that_goes_on_all_the_same_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(folder: Path, command: tuple[str, ...], key: Path) -> tuple[int, str]:
        (folder / "data" / "new").write_text(key.name)
        return 0, f"Serving with {(folder / 'data-key' / 'root.key').read_text()}" if key.exists() else ""

    monkeypatch.setattr(root_keys, "_start", start)
    found = "\n".join(root_keys.run(2, 1).wrong)
    for words in ("the exit status is 0", "the fingerprint that is wanted", "that it found", "where it looked", "changed: data/new"):
        assert words in found
