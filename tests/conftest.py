"""What every test has, and the last lines of a run that say which parts of the system were missing."""

import logging
import os
from collections.abc import Iterator

import pytest

from tests import system
from tests.engines import engine
from tests.memory import use_memory
from tests.personas import alice, bob, charlie, erin, hash_kib, hashing, house, house_environ, stranger
from tests.real.fixtures import (
    authority,
    aws,
    aws_ecr_server,
    aws_kms_server,
    bao,
    ecr,
    google,
    google_server,
    htpasswd_registry,
    issuer,
    issuer_server,
    open_registry,
    postgresql,
    tls_registry,
    token_registry,
)

__all__ = [
    "alice",
    "authority",
    "aws",
    "aws_ecr_server",
    "aws_kms_server",
    "bao",
    "bob",
    "charlie",
    "ecr",
    "engine",
    "erin",
    "google",
    "google_server",
    "hash_kib",
    "hashing",
    "house",
    "house_environ",
    "htpasswd_registry",
    "issuer",
    "issuer_server",
    "open_registry",
    "postgresql",
    "stranger",
    "tls_registry",
    "token_registry",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of all async tests; the server runs on no other."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A test that runs a command in its own process sets up a log that writes to where that test's output goes; the next one's does not."""
    yield
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not type(handler).__module__.startswith("webapp.")]


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Before anybody has asked for a temporary directory; the workers inherit it."""
    use_memory()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: nearly half of the time is waiting, for browsers, servers and disks."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before pytest takes the fixture's own parameters
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a file on fewer engines where it says so, with its `ENGINES`: what asks the database nothing that others do not ask on both."""
    named = any("engine" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and hasattr(metafunc.module, "ENGINES") and not named:
        metafunc.definition.add_marker(pytest.mark.parametrize("engine", metafunc.module.ENGINES, indirect=True))


SLOWEST_FIRST = (
    "e2e/test_pages.py",
    "tests/test_battery_",
    "e2e/",
    "tests/test_rolling",
    "tests/test_serve",
    "tests/test_copy",
    "tests/test_first",
    "tests/test_cli",
    "tests/test_reference_agent",
    "tests/test_root_key",
)
"""What takes a file's worker the longest: begun last, it would keep the others waiting at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long; each file's own order stays."""
    ranks = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: next((rank for name, rank in ranks.items() if item.nodeid.startswith(name)), len(ranks)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end, in colour, that a run with skipped tests was not a whole one."""
    if not terminalreporter.stats.get("skipped"):
        return
    missing = [part for part in system.PARTS if system.found(part) is None]
    terminalreporter.section("this was not the whole run: tests were skipped", yellow=True)
    for part in missing:
        terminalreporter.line(f"{part.name} ({part.used_for}) is missing")
    for line in system.how_to_install(missing) if missing else []:
        terminalreporter.line(f"  {line}")
