"""What the operator says of registries: the settings, and what follows from them."""

from pathlib import Path

import pytest

from tests.test_settings import refusal
from webapp.registry.allowed import Origin, is_allowed, origin_of, parse_realms, parse_registries, realms_of
from webapp.settings import Settings

ALLOWED = parse_registries(" registry.lan:5000, http://127.0.0.1:5000,, HTTP://Plain.LAN ,[fd00::1]:5000 ")


def test_registries_are_read() -> None:
    named = ["http://127.0.0.1:5000", "http://plain.lan", "https://[fd00::1]:5000", "https://registry.lan:5000"]
    assert sorted(map(str, ALLOWED)) == named
    assert Settings.from_environ({}).allowed_registries == frozenset()


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("registry.lan:5000", "https://registry.lan:5000", True),
        ("registry.lan", "https://registry.lan", False),
        ("registry.lan:5001", "https://registry.lan:5001", False),
        ("127.0.0.1:5000", "http://127.0.0.1:5000", True),
        ("plain.lan", "http://plain.lan", True),
        ("plain.lan:443", "https://plain.lan", False),
        ("[fd00::1]:5000", "https://[fd00::1]:5000", True),
        ("[fd00::1]", "https://[fd00::1]", False),
        ("ghcr.io", "https://ghcr.io", False),
        ("docker.io", "https://registry-1.docker.io", False),
    ],
)
def test_a_registry_is_allowed_by_its_exact_host_and_port(host: str, origin: str, allowed: bool) -> None:
    assert str(origin_of(host, ALLOWED)) == origin
    assert is_allowed(host, ALLOWED) is allowed


def test_realms_are_read_and_are_their_registrys_alone() -> None:
    named = parse_realms("registry.example.com=auth.example.com, registry.example.com=http://127.0.0.1:6000,docker.io=hub.lan")
    assert realms_of("registry.example.com", named) == {Origin("https", "auth.example.com", 443), Origin("http", "127.0.0.1", 6000)}
    assert realms_of("other.example.com", named) == set()
    hub = {Origin("https", "auth.docker.io", 443), Origin("https", "hub.lan", 443)}
    assert realms_of("registry-1.docker.io", named) == realms_of("docker.io", named) == hub
    assert realms_of("registry.gitlab.com", {}) == {Origin("https", "gitlab.com", 443)}


@pytest.mark.parametrize(
    "text", ["registry", "ftp://registry.lan", "registry.lan/v2", "a b.lan", "registry.lan:0", "*.lan", "10.0.0.0/8", "http://"]
)
def test_it_says_what_is_wrong_with_a_registry(text: str) -> None:
    line = refusal(WEBAPP_ALLOWED_REGISTRIES=f"registry.lan:5000, {text}")
    assert line.startswith("WEBAPP_ALLOWED_REGISTRIES: ")
    assert repr(text) in line
    assert line.endswith("Write registries with commas between, such as registry.lan:5000, http://127.0.0.1:5000.")


@pytest.mark.parametrize("text", ["registry.example.com", "registry.example.com=", "=auth.example.com", "a.lan=b.lan/x", "a.lan=b.lan=c"])
def test_it_says_what_is_wrong_with_a_realm(text: str) -> None:
    line = refusal(WEBAPP_ALLOWED_REALMS=text)
    assert line.startswith("WEBAPP_ALLOWED_REALMS: ")
    assert line.endswith("Write pairs with commas between, such as registry.example.com=auth.example.com.")


@pytest.mark.parametrize("name", ["WEBAPP_ALLOWED_REGISTRIES", "WEBAPP_ALLOWED_REALMS"])
def test_a_password_in_a_setting_is_not_quoted(name: str) -> None:
    assert "hunter2" not in refusal(**{name: "a.lan=https://me:hunter2@registry.lan"})


def test_a_file_of_certificates_has_to_be_there(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(WEBAPP_REGISTRY_CA_FILE=str(tmp_path / "none.pem"))
