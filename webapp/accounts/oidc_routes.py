"""Signing in with an OpenID Connect issuer, and showing again through it who somebody is."""

from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = []
