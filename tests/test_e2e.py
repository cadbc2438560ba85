"""No journey gets at a browser but through what looks for broken rules in every page."""

import ast
from pathlib import Path

import pytest

E2E = Path(__file__).resolve().parent.parent / "e2e"

ONLY_IN_BROWSER = frozenset({"new_context", "launch_persistent_context", "connect_over_cdp", "sync_playwright", "async_playwright"})
"""Playwright's ways to a page whose console nobody reads. `new_page` of a context is fine, that of a browser makes a context."""


def ways_past(text: str) -> list[str]:
    """What in this source gets at a browser on its own."""
    names = [node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in ast.walk(ast.parse(text))]
    found = sorted(ONLY_IN_BROWSER.intersection(names))
    return found + [way for way in ("browser.new_page", "chromium.connect") if way in text]


def test_only_one_file_opens_browsers() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in E2E.rglob("*.py")}
    assert ways_past(files.pop("browser.py")) != []
    assert {name: found for name, text in files.items() if (found := ways_past(text))} == {}


@pytest.mark.parametrize(
    "line", ["page = browser.new_context().new_page()", "page = browser.new_page()", "with sync_playwright() as it: pass"]
)
def test_another_way_is_found(line: str) -> None:
    assert ways_past(line) != []
