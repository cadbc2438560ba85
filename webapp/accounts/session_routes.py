"""Settings → Sessions: where the member is signed in."""

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
