"""The settings of an OpenID Connect issuer."""

from pathlib import Path

import pytest

from tests.test_settings import refusal
from webapp.settings import Settings

ISSUER = {"WEBAPP_OIDC_ISSUER": "https://id.example.com/realms/acme/", "WEBAPP_OIDC_CLIENT_ID": "keys"}


def test_no_issuer_is_none() -> None:
    assert Settings.from_environ({}).oidc is None


def test_an_issuer_is_kept_to_the_letter(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret\n")
    oidc = Settings.from_environ({**ISSUER, "WEBAPP_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret")}).oidc
    assert oidc is not None
    assert (oidc.issuer, oidc.client_id, oidc.client_secret, oidc.name, oidc.ca_file) == (
        "https://id.example.com/realms/acme/",
        "keys",
        "a secret",
        "id.example.com",
        None,
    )
    assert "a secret" not in repr(oidc)
    named = Settings.from_environ({**ISSUER, "WEBAPP_OIDC_NAME": "Acme ID"}).oidc
    assert named is not None
    assert (named.name, named.client_secret) == ("Acme ID", "")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5556", "http://localhost:5556/dex", "https://[2001:db8::1]:8443"])
def test_it_takes_an_issuer_on_this_machine_without_tls(url: str) -> None:
    oidc = Settings.from_environ({**ISSUER, "WEBAPP_OIDC_ISSUER": url}).oidc
    assert oidc is not None
    assert oidc.issuer == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("id.example.com", "it is no URL of an issuer."),
        ("ftp://id.example.com", "it is no URL of an issuer."),
        ("https://", "it is no URL of an issuer."),
        ("https://alice:hunter2@id.example.com", "it is no URL of an issuer."),
        ("https://id.example.com?tenant=1", "it is no URL of an issuer."),
        ("https://id.example.com#x", "it is no URL of an issuer."),
        ("https://id.example.com:99999", "it is no URL of an issuer."),
        ("https://id example.com", "it is no URL of an issuer."),
        ("http://id.example.com", "over https:// only"),
        ("https://id.example.com/.well-known/openid-configuration", "take off /.well-known/openid-configuration"),
    ],
)
def test_it_refuses_what_is_no_issuer(url: str, reason: str) -> None:
    line = refusal(WEBAPP_OIDC_ISSUER=url, WEBAPP_OIDC_CLIENT_ID="keys")
    assert line.startswith("WEBAPP_OIDC_ISSUER: ")
    assert reason in line
    assert "hunter2" not in line


def test_it_refuses_one_without_the_other(tmp_path: Path) -> None:
    assert refusal(WEBAPP_OIDC_ISSUER="https://id.example.com").startswith("WEBAPP_OIDC_CLIENT_ID: it is missing;")
    for name in ("WEBAPP_OIDC_CLIENT_ID", "WEBAPP_OIDC_CLIENT_SECRET", "WEBAPP_OIDC_NAME"):
        assert refusal(**{name: "x"}) == f"{name}: it is for an OpenID Connect issuer, and WEBAPP_OIDC_ISSUER names none."
    (tmp_path / "secret").write_text("x")
    assert refusal(WEBAPP_OIDC_CLIENT_SECRET_FILE=str(tmp_path / "secret")).startswith("WEBAPP_OIDC_CLIENT_SECRET_FILE: it is for")


def test_it_refuses_what_cannot_be_sent_or_shown() -> None:
    assert refusal(**{**ISSUER, "WEBAPP_OIDC_CLIENT_ID": "kéys"}).startswith("WEBAPP_OIDC_CLIENT_ID: ")
    line = refusal(**{**ISSUER, "WEBAPP_OIDC_CLIENT_SECRET": "hunter\n2"})
    assert line.startswith("WEBAPP_OIDC_CLIENT_SECRET: ")
    assert "hunter" not in line
    assert refusal(**{**ISSUER, "WEBAPP_OIDC_NAME": "x" * 41}).startswith("WEBAPP_OIDC_NAME: ")
