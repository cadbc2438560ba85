"""Addresses of lists with their filters."""

from collections.abc import Mapping
from urllib.parse import urlencode


def address(path: str, values: Mapping[str, str | None]) -> str:
    """The path with these parameters; what is empty is left out."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path
