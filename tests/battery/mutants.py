"""Every mutant of the code that says who may do what is noticed by the tests that are there for it.

`python -m tests.battery.mutants` is the long form (`--count 20` for some of them, `--only csrf` for a module); a short one is in the suite.
A mutant is run in a copy of the tree, so that nobody sees it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory

from tests.battery.mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("webapp", "tests", "templates", "static", "pyproject.toml")
MOST_SECONDS = 120
"""For the tests of one mutant: whoever takes longer goes round in a circle."""


@dataclass(frozen=True)
class Target:
    """Code that says who may do what, and the tests that are there for it, the quickest first."""

    module: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]


_MATRIX = "tests/web/test_matrix.py"
_BEARER = "tests/web/test_bearer.py"
_ACCESS = "tests/web/test_access.py"

TARGETS = (
    Target("webapp/web/permissions.py", (), (f"{_ACCESS}::test_a_role_has_its_permissions_and_no_other", _MATRIX)),
    Target("webapp/web/csrf.py", (), ("tests/web/test_csrf.py",)),
    Target("webapp/web/stepup.py", ("FRESH", "is_fresh", "step_up", "confirm"), ("tests/web/test_stepup.py",)),
    Target("webapp/web/routing.py", ("page", "permit"), (_MATRIX, _ACCESS)),
    Target("webapp/web/bearer.py", ("require_bearer", "unverified_token"), (_BEARER, _MATRIX)),
    Target("webapp/roles.py", ("ROLES", "role_of", "is_at_most", "lesser"), ("tests/test_roles.py",)),
    Target("webapp/accounts/member.py", ("member_mac", "is_genuine"), ("tests/accounts/test_member.py",)),
    Target("webapp/accounts/session.py", ("IDLE", "ABSOLUTE", "is_valid"), ("tests/accounts/test_session.py",)),
    Target("webapp/accounts/sessions.py", ("Sessions.find",), ("tests/accounts/test_found_sessions.py",)),
    Target("webapp/agents/enrolment.py", ("Enrolment._find_agent", "Enrolment._find_bootstrap_token"), (_BEARER, _MATRIX)),
)

EQUIVALENT: dict[tuple[str, str], str] = {}
"""Mutants that nobody could notice, as (module, the line as it is then), and why they are the same."""


def main() -> int:
    """Run the long form; 1 when a mutant goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=0, help="of each module; all when it is left out")
    parser.add_argument("--only", default="", help="the modules with this in their path")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    begun = time.monotonic()
    targets = [target for target in TARGETS if arguments.only in target.module]
    tried, unnoticed, same = run(targets, arguments.count, arguments.jobs)
    for line in unnoticed:
        print(line, file=sys.stderr)
    seconds = time.monotonic() - begun
    print(f"mutants: {tried} of {len(targets)} modules, {same} the same as the original, {len(unnoticed)} unnoticed, {seconds:.0f} s")
    return 1 if unnoticed else 0


def run(targets: Sequence[Target], most: int = 0, jobs: int = 1) -> tuple[int, list[str], int]:
    """Try the mutants of the targets, `most` of each (0 is all): how many, a line for each that nobody noticed, and how many are the same.

    Raises RuntimeError when the tests fail without any change.
    """
    work = [(target, mutant) for target in targets for mutant in _chosen(target, most)]
    with TemporaryDirectory(prefix="mutants-") as folder:
        trees: Queue[Path] = Queue()
        for number in range(jobs):
            trees.put(_copied(Path(folder) / f"{number}"))
        for target in targets:
            tree = trees.get()
            if not _passes(tree, target.tests, learn=True):
                raise RuntimeError(f"the tests of {target.module} fail without any change: {' '.join(target.tests)}")
            trees.put(tree)

        def try_out(item: tuple[Target, Mutant]) -> bool:
            tree = trees.get()
            try:
                return _survived(tree, *item)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as pool:
            survived = [item for item, lives in zip(work, pool.map(try_out, work), strict=True) if lives]
    alike = [(target, mutant) for target, mutant in survived if (target.module, mutant.now) in EQUIVALENT]
    return len(work), [_line(*item) for item in survived if item not in alike], len(alike)


def _chosen(target: Target, most: int) -> list[Mutant]:
    found = mutants_of((ROOT / target.module).read_text(encoding="utf-8"), target.functions)
    return found[:: max(1, len(found) // most)][:most] if most else found


def _copied(tree: Path) -> Path:
    tree.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    return tree


def _survived(tree: Path, target: Target, mutant: Mutant) -> bool:
    path = tree / target.module
    original = path.read_text(encoding="utf-8")
    try:
        compile(mutant.source, str(path), "exec")
    except SyntaxError:
        return False
    path.write_text(mutant.source, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()
    try:
        return _passes(tree, target.tests, learn=False)
    finally:
        path.write_text(original, encoding="utf-8")


def _passes(tree: Path, tests: Sequence[str], *, learn: bool) -> bool:
    """Whether the tests pass in this tree; with `learn` its modules are compiled for those that follow."""
    environ = {**os.environ, "PYTHONPATH": str(tree)} | ({} if learn else {"PYTHONDONTWRITEBYTECODE": "1"})
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts="]
    try:
        done = subprocess.run(
            [*command, "--import-mode=importlib", *tests], cwd=tree, env=environ, capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _line(target: Target, mutant: Mutant) -> str:
    return f"{target.module}:{mutant.line}: nobody notices that `{mutant.was}` is `{mutant.now}`"


if __name__ == "__main__":
    sys.exit(main())
