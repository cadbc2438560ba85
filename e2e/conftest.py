"""Journeys in a real browser, against the real server on a free port, with real registries.

A journey that minds what else is on the server takes `page`, which has one of its own. The others share one server a file, on which alice
is signed in (`alice`, `alice_scripted`) or nobody is (`stranger`), and name what they make with `steps.fresh`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from e2e import steps
from e2e.browser import broken, launch, open_context
from e2e.server import Server, serve
from tests import system
from tests.real.fixtures import (
    authority,
    aws_ecr_server,
    aws_kms_server,
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
from tests.real.postgresql import Cluster

__all__ = [
    "authority",
    "aws_ecr_server",
    "aws_kms_server",
    "ecr",
    "google",
    "google_server",
    "htpasswd_registry",
    "issuer",
    "issuer_server",
    "open_registry",
    "postgresql",
    "tls_registry",
    "token_registry",
]

BOTH = ["with-script", "without-script"]
OFFICIAL = '[{"name": "Debian 12", "docker_image_url": "debian:12", "description": "The stable one"}]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once a file: as long as it is there, so is its event loop, in which no async test of another file could run."""
    with launch(system.chromium()) as launched:
        yield launched


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A fresh control plane that nobody has set up."""
    with serve(tmp_path / "server") as running:
        yield running


@dataclass(frozen=True)
class Settled:
    """A control plane that alice has set up; `state` is her browser's, signed in."""

    server: Server
    state: Path


@pytest.fixture(scope="module")
def settled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Settled]:
    """One for all journeys of a file, with an official image; on PostgreSQL where a journey's parameter says so."""
    folder = tmp_path_factory.mktemp("settled")
    (folder / "official.json").write_text(OFFICIAL)
    environ = {"WEBAPP_OFFICIAL_IMAGES_FILE": str(folder / "official.json")}
    if getattr(request, "param", "sqlite") == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        environ["WEBAPP_DATABASE_URL"] = cluster.url(cluster.new_database())
    with serve(folder / "server", **environ) as running:
        context = open_context(browser, running)
        steps.set_up(context.new_page(), running)
        context.storage_state(path=folder / "alice.json")
        context.close()
        yield Settled(running, folder / "alice.json")


@pytest.fixture(autouse=True)
def no_rule_is_broken() -> Iterator[None]:
    """Fail a journey, whatever it asks for, in which a script failed or the content security policy had something to refuse."""
    yield
    found = [*broken]
    broken.clear()
    assert found == []


@pytest.fixture(params=BOTH)
def page(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Page]:
    """A page of alice's browser; every journey that asks for it is made with JavaScript on, and off."""
    context = open_context(browser, server, java_script_enabled=request.param == "with-script")
    yield context.new_page()
    context.close()


@pytest.fixture(params=BOTH)
def stranger(request: pytest.FixtureRequest, browser: Browser, settled: Settled) -> Iterator[Page]:
    """A page of a browser that is not signed in, on the file's server; with JavaScript on, and off."""
    context = open_context(browser, settled.server, java_script_enabled=request.param == "with-script")
    yield context.new_page()
    context.close()


@pytest.fixture(params=BOTH)
def alice(request: pytest.FixtureRequest, browser: Browser, settled: Settled) -> Iterator[Page]:
    """A page of alice's browser, signed in, on the file's server; with JavaScript on, and off."""
    context = open_context(browser, settled.server, storage_state=settled.state, java_script_enabled=request.param == "with-script")
    yield context.new_page()
    context.close()


@pytest.fixture
def alice_scripted(browser: Browser, settled: Settled) -> Iterator[Page]:
    """The same with JavaScript on, for what only script does."""
    context = open_context(browser, settled.server, storage_state=settled.state)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()
