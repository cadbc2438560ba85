"""The real registries as fixtures, one of each in a run. `tests/conftest.py` and `e2e/conftest.py` import them by name."""

from collections.abc import Iterator

import pytest

from tests.real import registry
from tests.real.registry import Registry


@pytest.fixture(scope="session")
def htpasswd_registry() -> Iterator[Registry]:
    """A private registry with a username and a password."""
    with registry.htpasswd_registry() as running:
        yield running


@pytest.fixture(scope="session")
def token_registry() -> Iterator[Registry]:
    """A private registry with token auth, `_json_key` and a service-account key file."""
    with registry.token_registry() as running:
        yield running


@pytest.fixture(scope="session")
def open_registry() -> Iterator[Registry]:
    """A public registry."""
    with registry.open_registry() as running:
        yield running
