"""The short form of `python -m tests.battery.mutants`, in processes that begin anew: it forks, and forgets modules."""

import subprocess
import sys

import pytest

from tests.battery.mutants import ROOT
from tests.battery.mutations import mutants_of

SOURCE = '''"""Who may do what."""

OLDEST = 5


def may(role: str, age: int) -> bool:
    """Whether; `role` is a word."""
    check(role)
    return role == "admin" and age <= OLDEST


def other() -> int:
    return 1
'''

_RUN = """
from tests.battery.mutants import Target, run
found = [run([Target("webapp/roles.py", ("is_at_most",), (tests,))], 1) for tests in ("tests/test_roles.py", "tests/test_nonce.py")]
print([(tried, len(unnoticed)) for tried, unnoticed, _ in found])
print(found[1][1][0])
"""


def test_a_predicate_has_its_mutants() -> None:
    lines = {mutant.now for mutant in mutants_of(SOURCE, ["may", "OLDEST"])}
    assert lines >= {
        "pass",
        "OLDEST = 6",
        'return role != "admin" and age <= OLDEST',
        'return role == "admin" or age <= OLDEST',
        'return role == "admin" and age < OLDEST',
        'return role == "admin" and (True)',
        "return (True) and age <= OLDEST",
        "return role == ('adminx') and age <= OLDEST",
        "return (None)",
    }
    assert not any("return 1" in line or "Whether" in line for line in lines), "neither another function nor what people read"


def test_a_name_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="there is no gone in the module"):
        mutants_of(SOURCE, ["gone"])


def test_a_test_that_looks_notices_and_one_that_does_not_is_told_of() -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    counts, line = done.stdout.splitlines()
    assert counts == "[(1, 0), (1, 1)]"
    assert line.startswith("webapp/roles.py:")
    assert "nobody notices that `" in line
