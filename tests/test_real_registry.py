"""The private registries that other tests pull from are private: checked here, so that a pull elsewhere proves something."""

from pathlib import Path

import pytest

from tests.real import registry
from tests.real.registry import Registry
from tests.real.service_account import service_account_key


@pytest.fixture(params=["htpasswd_registry", "token_registry"])
def private_registry(request: pytest.FixtureRequest) -> Registry:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Registry)
    return found


def test_the_right_password_pulls_the_image(private_registry: Registry, tmp_path: Path) -> None:
    digest = private_registry.push("acme/ubuntu", "24.04")
    pulled = private_registry.pull("acme/ubuntu", "24.04", private_registry.username, private_registry.password, tmp_path / "layout")
    assert pulled.returncode == 0, pulled.stderr
    assert digest in (tmp_path / "layout" / "index.json").read_text()


def test_a_wrong_password_pulls_nothing(private_registry: Registry, tmp_path: Path) -> None:
    private_registry.push("acme/ubuntu", "24.04")
    pulled = private_registry.pull("acme/ubuntu", "24.04", private_registry.username, private_registry.password + " ", tmp_path / "layout")
    assert pulled.returncode != 0
    assert "unauthorized" in pulled.stderr or "authentication required" in pulled.stderr or "invalid username/password" in pulled.stderr


def test_nobody_pulls_without_a_password(private_registry: Registry, tmp_path: Path) -> None:
    private_registry.push("acme/ubuntu", "24.04")
    pulled = private_registry.pull("acme/ubuntu", "24.04", "", "", tmp_path / "layout")
    assert pulled.returncode != 0
    assert "unauthorized" in pulled.stderr or "authentication required" in pulled.stderr or "invalid username/password" in pulled.stderr


def test_a_key_file_must_come_byte_for_byte(tmp_path: Path) -> None:
    key = service_account_key(crlf=True)
    with registry.token_registry(key=key) as strict:
        strict.push("acme/ubuntu", "24.04")
        exact = strict.pull("acme/ubuntu", "24.04", "_json_key", key.decode(), tmp_path / "exact")
        tidied = strict.pull("acme/ubuntu", "24.04", "_json_key", key.decode().replace("\r\n", "\n"), tmp_path / "tidied")
    assert exact.returncode == 0, exact.stderr
    assert tidied.returncode != 0


def test_a_public_registry_asks_for_nothing(open_registry: Registry, tmp_path: Path) -> None:
    open_registry.push("acme/base", "1")
    pulled = open_registry.pull("acme/base", "1", "", "", tmp_path / "layout")
    assert pulled.returncode == 0, pulled.stderr
