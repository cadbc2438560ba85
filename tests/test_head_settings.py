"""Where signed heads go: the settings of it."""

from pathlib import Path

import pytest

from tests.test_settings import refusal
from webapp.settings import Settings


@pytest.mark.parametrize(
    ("text", "sink"),
    [
        ("", "{folder}/data-heads/heads.jsonl"),
        ("logs/heads", "{folder}/logs/heads"),
        ("none", ""),
        ("None", ""),
        ("https://logs.example.com/heads?of=acme", "https://logs.example.com/heads?of=acme"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/"),
    ],
)
def test_heads_go_to_a_file_a_collector_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sink: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environ({"WEBAPP_AUDIT_HEADS": text}).audit_heads == sink.format(folder=tmp_path)


@pytest.mark.parametrize(
    "text",
    ["http://logs.example.com/", "ftp://logs.example.com/", "https://me:secret@logs.example.com/", "https://", "https://a b/", "s3://x"],
)
def test_it_refuses_a_collector_that_is_none_and_does_not_quote_it(text: str) -> None:
    line = refusal(WEBAPP_AUDIT_HEADS=text)
    assert line.startswith("WEBAPP_AUDIT_HEADS: ")
    assert "secret" not in line


def test_the_collectors_token_is_for_a_collector_and_is_never_shown(tmp_path: Path) -> None:
    token = "a-token-for-the-collector"
    assert refusal(WEBAPP_AUDIT_HEADS_TOKEN=token).startswith("WEBAPP_AUDIT_HEADS_TOKEN: it is for a URL")
    assert token not in refusal(WEBAPP_AUDIT_HEADS_TOKEN=f"{token} {token}")
    (tmp_path / "token").write_text(f"{token}\n")
    settings = Settings.from_environ(
        {"WEBAPP_AUDIT_HEADS": "https://logs.example.com/", "WEBAPP_AUDIT_HEADS_TOKEN_FILE": str(tmp_path / "token")}
    )
    assert settings.audit_heads_token == token
    assert token not in repr(settings)
