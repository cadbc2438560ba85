"""Settings → Members: who is in the account, and who is invited."""

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
