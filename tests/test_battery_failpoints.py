"""Wherever the process dies, or is told that the disk has failed, the store is whole and has all that was acknowledged.

Here at a few of the boundaries; `make battery` tries every one.
"""

import subprocess
import sys

from tests.battery.failpoints import STEPS


def test_a_store_is_whole_wherever_its_process_dies_or_fails() -> None:
    # In a process of its own: it forks, and one with threads must not.
    command = [sys.executable, "-m", "tests.battery.failpoints", "--cycles", "1", "--seed", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tries = 1 + len(STEPS)
    assert f"{3 * tries} failures (kill {tries}, fail {tries}, undo {tries})" in done.stdout
