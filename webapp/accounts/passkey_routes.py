"""Passkeys: adding and removing them, signing in with one, and showing again with one who somebody is."""

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
