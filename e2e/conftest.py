"""Journeys in a real browser, against the real server on a free port, with real registries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from e2e.server import Server, serve
from tests import system
from tests.real.fixtures import htpasswd_registry, token_registry

__all__ = ["htpasswd_registry", "token_registry"]

WAIT_MS = 10_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, started once; it asks nobody outside of this machine for anything."""
    path = system.chromium()
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*arguments, "--disable-sync", "--no-first-run"])
        yield launched
        launched.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A fresh control plane that nobody has set up."""
    with serve(tmp_path / "server") as running:
        yield running


@pytest.fixture
def violations() -> list[str]:
    """What the browser's console said of broken rules: has to be empty at the end of every journey."""
    return []


def open_page(context: BrowserContext, violations: list[str]) -> Page:
    """A new page whose script errors and broken policies are collected."""
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: violations.append(f"script error: {error}"))
    page.on("console", lambda message: violations.append(message.text) if "Content Security Policy" in message.text else None)
    return page


@pytest.fixture(params=["with-script", "without-script"])
def page(request: pytest.FixtureRequest, browser: Browser, server: Server, violations: list[str]) -> Iterator[Page]:
    """A page of alice's browser; every journey that asks for it is made with JavaScript on, and off."""
    context = browser.new_context(base_url=server.url, java_script_enabled=request.param == "with-script")
    yield open_page(context, violations)
    context.close()
    assert violations == []


@pytest.fixture
def scripted(browser: Browser, server: Server, violations: list[str]) -> Iterator[Page]:
    """A page with JavaScript on, for what only script does."""
    context = browser.new_context(base_url=server.url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield open_page(context, violations)
    context.close()
    assert violations == []
