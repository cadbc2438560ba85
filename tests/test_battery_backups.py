"""Agents are handed what they need while a backup is made. The long form, 10 backups of 100,000 secrets, is in `make battery`."""

from pathlib import Path

from tests.battery.backups import backups


def test_no_read_fails_while_a_backup_is_made(tmp_path: Path) -> None:
    told = backups(tmp_path, secrets=2_000, readers=10, cycles=2, quiet=0.1, pause=0.01)
    assert told.wrong == []
    assert len(told.took) == 2
    assert told.reads > 10
