"""Chromium, and the profiles and pages that journeys are made in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from e2e.server import Served

WAIT_MS = 10_000

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def launch(program: Path) -> Iterator[Browser]:
    """Chromium, until the block ends; it asks nobody outside of this machine for anything."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield launched
        launched.close()


broken: list[str] = []
"""What the browser has said of broken rules, in whatever profile of `open_context`: `conftest.py` looks at it when a journey ends."""


def open_context(browser: Browser, server: Served, **more: Any) -> BrowserContext:
    """A browser profile of its own, whose script errors and broken policies end up in `broken`.

    It asks for less motion, so that no journey waits for a dialog to rise. A journey has no other way to a browser (`tests/test_e2e.py`).
    """
    context = browser.new_context(base_url=server.url, reduced_motion="reduce", **more)
    context.set_default_timeout(WAIT_MS)
    context.on("weberror", lambda found: broken.append(f"script error: {found.error}"))
    context.on("console", lambda message: broken.append(message.text) if "Content Security Policy" in message.text else None)
    return context
