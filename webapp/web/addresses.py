"""Addresses of lists with their filters."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from webapp.records import Page, Wanted


def address(path: str, values: Mapping[str, str | None]) -> str:
    """The path with these parameters; what is empty is left out."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def wanted_page(request: Request) -> Wanted:
    """Which page of a list the address asks for; what it does not say, or not well, is left out."""
    said = request.query_params
    return Wanted(said.get("q", "").strip()[:200], said.get("after", ""), said.get("in") == "names", said.get("order", "")[:20])


def list_context(path: str, wanted: Wanted, page: Page[Any], filters: Mapping[str, str] | None = None) -> dict[str, object]:
    """What a list's template needs: the page, what was searched for, and the addresses of the other pages with the same filters."""
    kept = {"q": wanted.query, "order": wanted.order, **(filters or {})}
    inside = {"in": "names" if page.searched == "inside" else ""}
    return {
        "page": page,
        "query": wanted.query,
        "order": wanted.order,
        "next_url": address(path, {**kept, **inside, "after": page.after}) if page.after else "",
        "first_url": address(path, {**kept, **inside}) if wanted.after else "",
        "inside_url": address(path, {**kept, "in": "names"}) if page.searched == "beginnings" else "",
    }
