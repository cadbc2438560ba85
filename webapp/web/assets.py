"""Static files, named by their content, so that a browser may keep them for a year."""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from starlette.staticfiles import StaticFiles

from webapp.web.places import place

_HTMX = ("django_htmx", "static/django_htmx")


def _folders() -> list[Path]:
    spec = importlib.util.find_spec(_HTMX[0])
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package django-htmx, which ships htmx, is not installed")
    return [place("static"), Path(spec.origin).parent / _HTMX[1]]


def static_files() -> StaticFiles:
    """The application that serves our static files and htmx, which comes from a package."""
    return StaticFiles(directory=place("static"), packages=[_HTMX])


@cache
def asset(name: str) -> str:
    """The address of a static file, with a hash of its content. Raises FileNotFoundError."""
    for folder in _folders():
        path = folder / name
        if path.is_file():
            return f"/static/{name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    raise FileNotFoundError(f"there is no static file {name}")
