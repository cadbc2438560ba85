"""Every mutant of the code that says who may do what is noticed by the tests that are there for it.

`python -m tests.battery.mutants` is the long form (`--count 20` for some of them, `--only csrf` for a module); a short one is in the suite.
A mutant is run in a copy of the tree, so that nobody sees it.
"""

import argparse
import gc
import importlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.battery.mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("webapp", "tests", "templates", "static", "pyproject.toml")
MOST_SECONDS = 120
"""For the tests of one mutant: whoever takes longer goes round in a circle."""

_KEPT = frozenset({"tests", "tests.battery", "tests.battery.mutants", "tests.battery.mutations"})
"""Modules of ours that this program is still made of."""


@dataclass(frozen=True)
class Target:
    """Code that says who may do what, and the tests that are there for it, as pytest is told."""

    module: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class _Running:
    tree: Path
    item: tuple[Target, Mutant]
    process: ForkProcess
    deadline: float


_ACCESS = "tests/web/test_access.py::test_a_role_has_its_permissions_and_no_other"
_BEARER = "tests/web/test_bearer.py"
_FOUND = "tests/agents/test_found_bearers.py"
_DOOR = "tests/web/test_api_bearer.py"
_MEANWHILE = "tests/web/test_ended_meanwhile.py"
_VERIFIED = "test_who_is_removed_while_the_password_is_verified_makes_no_bootstrap_token"
_ROWS = "tests/accounts/test_rows.py"
_MACS = (
    "Vault.cookie_mac",
    "Vault.row_mac",
    "Vault.wrote_row",
    "Vault.token_mac",
    "Vault.token_matches",
    "Vault.claim",
    "Vault.claim_holds",
)

TARGETS = (
    Target("webapp/web/permissions.py", ("_OF_ROLE", "may", "token_kind"), (_ACCESS, f"{_DOOR}::test_each_door_has_its_own_kind_of_token")),
    Target("webapp/web/sessions.py", ("local_path",), ("tests/web/test_sessions.py", "-k", "leads_nowhere or is_gone_to or stays_here")),
    Target("webapp/web/csrf.py", (), ("tests/web/test_csrf.py",)),
    Target("webapp/web/stepup.py", ("FRESH", "is_fresh", "step_up", "confirm"), ("tests/web/test_stepup.py", f"{_MEANWHILE}::{_VERIFIED}")),
    Target("webapp/web/routing.py", ("page", "permit", "_require"), ("tests/web/test_routing.py", _MEANWHILE)),
    Target("webapp/web/forms.py", ("permit_again",), (_MEANWHILE,)),
    Target("webapp/web/bearer.py", ("require_bearer", "require_api_token", "unverified_token"), (_BEARER, _DOOR, _FOUND)),
    Target("webapp/roles.py", ("ROLES", "role_of", "is_at_most", "lesser"), ("tests/test_roles.py",)),
    Target("webapp/accounts/member.py", ("member_mac", "is_genuine", "_parts"), (_ROWS,)),
    Target("webapp/accounts/passkey.py", ("is_last_way_in", "has_gone_back"), ("tests/accounts/test_passkey.py",)),
    Target("webapp/accounts/passkey.py", ("passkey_mac", "is_genuine_passkey", "_parts"), (_ROWS,)),
    Target("webapp/accounts/identity.py", ("identity_mac", "is_genuine_identity", "_parts"), (_ROWS,)),
    Target("webapp/accounts/invitation.py", ("LIFETIME", "why_over"), ("tests/accounts/test_account.py",)),
    Target(
        "webapp/accounts/ceremony.py", ("LIFETIME", "begin_ceremony", "ceremony_text", "ceremony_of"), ("tests/accounts/test_ceremony.py",)
    ),
    Target("webapp/accounts/session.py", ("IDLE", "ABSOLUTE", "is_valid"), ("tests/accounts/test_session.py",)),
    Target("webapp/accounts/sessions.py", ("require_signed_in", "Sessions.find"), ("tests/accounts/test_found_sessions.py",)),
    Target(
        "webapp/accounts/api_token.py", ("ApiToken.acts_as", "ApiToken.state", "token_owner"), (_DOOR, "tests/accounts/test_api_token.py")
    ),
    Target("webapp/accounts/api_tokens.py", ("ApiTokenRepository.find_bearer",), (_DOOR,)),
    Target("webapp/vault/vault.py", _MACS, ("tests/vault/test_vault.py",)),
    Target("webapp/agents/enrolment.py", ("Enrolment._find_agent", "Enrolment._find_bootstrap_token"), (_FOUND,)),
)

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "webapp/accounts/api_tokens.py",
        'if known.state(now) > "active":',
    ): "the names of the other two states stand behind it in the alphabet",
    ("webapp/web/routing.py", "if needs in _OF_MACHINES and (True):"): "Starlette's Route always has methods; its type does not say so",
}
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
    _load_what_others_wrote()
    with TemporaryDirectory(prefix="mutants-") as folder:
        trees = [_copied(Path(folder) / f"{number}") for number in range(jobs)]
        for tree in trees:
            for target in targets:
                if not _ended_well(_begin(tree, target.tests, learn=True)):
                    raise RuntimeError(f"the tests of {target.module} fail without any change: {' '.join(target.tests)}")
        survived = _tried(trees, work)
    alike = [(target, mutant) for target, mutant in survived if (target.module, mutant.now) in EQUIVALENT]
    return len(work), [_line(*item) for item in survived if item not in alike], len(alike)


def _tried(trees: Sequence[Path], work: Sequence[tuple[Target, Mutant]]) -> list[tuple[Target, Mutant]]:
    """Those that nobody noticed; as many at a time as there are trees."""
    free, running, survived = list(trees), list[_Running](), list[tuple[Target, Mutant]]()
    waiting = list(reversed(work))
    while waiting or running:
        while waiting and free:
            target, mutant = waiting.pop()
            tree = free.pop()
            _change(tree / target.module, mutant.source)
            running.append(_Running(tree, (target, mutant), _begin(tree, target.tests), time.monotonic() + MOST_SECONDS))
        wait([one.process.sentinel for one in running], timeout=1)
        for one in [one for one in running if not one.process.is_alive() or time.monotonic() > one.deadline]:
            running.remove(one)
            if _ended_well(one.process, at_once=True):
                survived.append(one.item)
            target, _ = one.item
            _change(one.tree / target.module, (ROOT / target.module).read_text(encoding="utf-8"))
            free.append(one.tree)
    return survived


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


def _change(path: Path, source: str) -> None:
    path.write_text(source, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def _load_what_others_wrote() -> None:
    """Import all that the tests import, and forget what is ours: a process that is forked then has only that to read anew."""
    for name in ("tests.conftest", "webapp.app", "hypothesis", "_pytest.junitxml", "anyio._backends._asyncio"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"webapp", "tests", "e2e"} and name not in _KEPT]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # nobody has to look through it again after each fork


class _Ends:
    """Ends the process as soon as the tests have ended and their parts are taken down: nobody reads what pytest says then."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        os._exit(int(exitstatus))


def _begin(tree: Path, tests: Sequence[str], *, learn: bool = False) -> ForkProcess:
    """Run the tests in this tree; with `learn` its modules are compiled for those that follow."""
    process = get_context("fork").Process(target=_test, args=(tree, tests, learn))
    process.start()
    return process


def _test(tree: Path, tests: Sequence[str], learn: bool) -> None:
    """What a process of its own does: its exit status is pytest's."""
    os.chdir(tree)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    sys.path[:0] = [str(tree)]
    sys.dont_write_bytecode = not learn
    for name in _KEPT & set(sys.modules):
        del sys.modules[name]
    importlib.invalidate_caches()
    options = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what others wrote is imported already
    os._exit(int(pytest.main([*options, *tests], plugins=[_Ends()])))


def _ended_well(process: ForkProcess, *, at_once: bool = False) -> bool:
    process.join(0 if at_once else MOST_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _line(target: Target, mutant: Mutant) -> str:
    return f"{target.module}:{mutant.line}: nobody notices that `{mutant.was}` is `{mutant.now}`"


if __name__ == "__main__":
    sys.exit(main())
