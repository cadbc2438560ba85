"""On a disk that is full nothing leaves without its row, and the server goes on by itself when there is room again.

The long form, each of the first 500 writes, is in `make battery`.
"""

import sys
from pathlib import Path

import pytest

from tests.battery.disk import MEGABYTES, disk
from tests.battery.room import on_a_small_file_system

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process are Linux's (prlimit)")


def test_files_that_may_not_grow_let_no_secret_out_and_lose_nothing(tmp_path: Path) -> None:
    figures = disk(tmp_path, 6, 3, small=False)
    assert figures.wrong == []
    assert figures.failed > 1
    assert len(figures.handed) >= 12


def test_a_full_file_system_lets_no_secret_out_and_loses_nothing(tmp_path: Path) -> None:
    arguments = ["-m", "tests.battery.disk", "--small", str(tmp_path), "--cycles", "4", "--seed", "3"]
    done = on_a_small_file_system(tmp_path, MEGABYTES, arguments)
    if done is None:
        pytest.skip("this user may not mount a file system (unshare --user --map-root-user --mount)")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "full at 4 writes" in done.stdout
