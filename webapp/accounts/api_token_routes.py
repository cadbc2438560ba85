"""Settings → API tokens."""

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
