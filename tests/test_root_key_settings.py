"""Where the root key comes from, as the settings say it."""

from pathlib import Path

import pytest

from tests.test_settings import refusal
from webapp.settings import Settings


def test_without_a_named_file_the_key_is_the_one_that_systemd_hands_over(tmp_path: Path) -> None:
    environ = {"WEBAPP_DATA_DIR": str(tmp_path / "data"), "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    beside = tmp_path / "data-key" / "root.key"
    assert Settings.from_environ(environ).root_key_file == beside, "there is none"
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "root.key").write_text("")
    assert Settings.from_environ(environ).root_key_file == tmp_path / "credentials" / "root.key"
    assert Settings.from_environ({**environ, "WEBAPP_ROOT_KEY_FILE": str(beside)}).root_key_file == beside
    assert Settings.from_environ({**environ, "CREDENTIALS_DIRECTORY": "credentials"}).credentials_dir is None


def test_the_root_key_is_in_a_file_or_with_a_kms(tmp_path: Path) -> None:
    assert Settings.from_environ({"WEBAPP_ROOT_KEY": "file"}).root_key is None
    (tmp_path / "token").write_text("hvs.hunter2\n")
    words = "transit:https://vault.example.com:8200/transit/root"
    settings = Settings.from_environ({"WEBAPP_ROOT_KEY": words, "WEBAPP_TRANSIT_TOKEN_FILE": str(tmp_path / "token")})
    assert str(settings.root_key) == words
    assert settings.transit_token() == "hvs.hunter2"
    assert "hunter2" not in repr(settings)
    (tmp_path / "token").write_text("hvs.newer")
    assert settings.transit_token() == "hvs.newer", "whoever renews it writes the file anew"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WEBAPP_ROOT_KEY", "vault"),
        ("WEBAPP_ROOT_KEY", "transit:https://ana:hunter2@vault.example.com/transit/root"),
        ("WEBAPP_AWS_KMS_ENDPOINT", "http://kms.example.com"),
        ("WEBAPP_TRANSIT_TOKEN", "hunter2\nX-Forged: 1"),
        ("WEBAPP_TRANSIT_TOKEN", "hunter2 é"),
        ("WEBAPP_TRANSIT_CA_FILE", "none.pem"),
    ],
)
def test_it_refuses_a_kms_that_cannot_be_asked_and_quotes_no_secret(name: str, text: str) -> None:
    line = refusal(**{name: text})
    assert line.startswith(f"{name}: ")
    assert "hunter2" not in line
