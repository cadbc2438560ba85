"""The transit engine, asked for real; and what answers in its place when something else stands there."""

import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.real.control_plane import ControlPlane, control_plane
from tests.real.openbao import MOUNT, OpenBao
from tests.real.process import free_port
from webapp.errors import ConfigurationError, Unavailable
from webapp.kms_key import TransitKey
from webapp.vault import Secret, transit
from webapp.vault.kms import WrappedKeyRefused
from webapp.vault.transit import Transit

CONTEXT = {"installation": "one"}
TOKEN = "s.hunter2-but-long"
ROOT = Secret(secrets.token_bytes(32))


def engine(bao: OpenBao, name: str, token: str | None = None) -> Transit:
    """The key of this name, with a token that may encrypt and decrypt with it."""
    given = bao.new_token(name) if token is None else token
    return Transit(TransitKey(bao.origin, MOUNT, name), lambda: given, bao.ca_file)


@pytest.fixture
def other() -> Iterator[ControlPlane]:
    """A server that is no transit engine."""
    with control_plane() as plane:
        yield plane


def at(other: ControlPlane) -> Transit:
    return Transit(TransitKey(other.url, MOUNT, "root"), lambda: TOKEN, None)


def said(kind: type[Exception], ask: Callable[[], object]) -> str:
    """The sentence of the error, which has neither the token nor the key in it."""
    with pytest.raises(kind) as caught:
        ask()
    assert caught.type is kind
    sentence = str(caught.value)
    assert len(sentence.splitlines()) == 1
    assert TOKEN not in sentence
    return sentence


@pytest.mark.parametrize("kind", ["aes256-gcm96", "chacha20-poly1305"])
def test_what_it_wraps_it_unwraps_in_the_same_context_only(bao: OpenBao, kind: str) -> None:
    kms = engine(bao, bao.new_key(kind))
    wrapped = kms.wrap(ROOT, CONTEXT)
    assert wrapped.startswith(b"vault:v1:")
    assert kms.unwrap(wrapped, CONTEXT) == ROOT
    for context in ({"installation": "two"}, {}):
        with pytest.raises(WrappedKeyRefused, match="was asked to unwrap the root key, and it refuses what the database holds"):
            kms.unwrap(wrapped, context)


def test_what_was_changed_or_is_another_keys_is_refused(bao: OpenBao) -> None:
    kms = engine(bao, bao.new_key())
    wrapped = kms.wrap(ROOT, CONTEXT)
    another = engine(bao, bao.new_key()).wrap(ROOT, CONTEXT)
    middle = len(wrapped) // 2
    changed = wrapped[:middle] + (b"A" if wrapped[middle : middle + 1] != b"A" else b"B") + wrapped[middle + 1 :]
    for blob in (another, changed, b"", b"vault:v1:", wrapped + b"\n", b'"}' * 40):
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(blob, CONTEXT)


def test_it_still_unwraps_after_the_key_was_rotated_there(bao: OpenBao) -> None:
    name = bao.new_key()
    kms = engine(bao, name)
    wrapped = kms.wrap(ROOT, CONTEXT)
    bao.write(f"{MOUNT}/keys/{name}/rotate")
    assert kms.unwrap(wrapped, CONTEXT) == ROOT
    assert kms.wrap(ROOT, CONTEXT).startswith(b"vault:v2:")


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_wrong_token_is_named_and_not_shown(bao: OpenBao, token: str | None) -> None:
    name = bao.new_key()
    kms = engine(bao, name, token or bao.new_token(name, "rewrap"))
    for ask in (lambda: kms.wrap(ROOT, CONTEXT), lambda: kms.unwrap(b"vault:v1:" + b"A" * 80, CONTEXT)):
        assert "it refuses WEBAPP_TRANSIT_TOKEN (403)" in said(ConfigurationError, ask)


def test_without_a_token_it_is_not_asked(bao: OpenBao) -> None:
    kms = engine(bao, "any", "")
    assert said(ConfigurationError, lambda: kms.wrap(ROOT, CONTEXT)).startswith("WEBAPP_TRANSIT_TOKEN: it is missing")


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [("rsa-2048", {}, "non-AEAD cipher suite"), ("aes256-gcm96", {"derived": True}, "missing 'context' for key derivation")],
)
def test_a_key_that_authenticates_no_context_is_refused(bao: OpenBao, kind: str, options: dict[str, object], reason: str) -> None:
    kms = engine(bao, bao.new_key(kind, **options))
    assert reason in said(ConfigurationError, lambda: kms.wrap(ROOT, CONTEXT))


def test_a_slip_in_the_keys_name_makes_no_key(bao: OpenBao) -> None:
    name = f"none-{secrets.token_hex(4)}"
    kms = engine(bao, name)
    assert "403" in said(ConfigurationError, lambda: kms.wrap(ROOT, CONTEXT)), "the policy lets nobody create one"
    assert "encryption key not found" in said(ConfigurationError, lambda: kms.unwrap(b"vault:v1:" + b"A" * 80, CONTEXT))


def test_a_server_with_another_certificate_is_not_told_the_token(bao: OpenBao, tmp_path: Path) -> None:
    key = TransitKey(bao.origin, MOUNT, "root")
    sentence = said(ConfigurationError, lambda: Transit(key, lambda: TOKEN, None).wrap(ROOT, CONTEXT))
    assert "its certificate is not one to trust" in sentence
    assert "WEBAPP_TRANSIT_CA_FILE" in sentence
    (tmp_path / "ca.pem").write_text("no certificate")
    sentence = said(ConfigurationError, lambda: Transit(key, lambda: TOKEN, tmp_path / "ca.pem").wrap(ROOT, CONTEXT))
    assert sentence == f"WEBAPP_TRANSIT_CA_FILE: {tmp_path / 'ca.pem'} holds no certificates in PEM."


def test_the_environments_proxy_is_not_asked(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    kms = engine(bao, bao.new_key())
    assert kms.unwrap(kms.wrap(ROOT, CONTEXT), CONTEXT) == ROOT


def test_where_nobody_listens_it_is_to_be_tried_again(bao: OpenBao) -> None:
    for origin in (f"https://127.0.0.1:{free_port()}", "https://nowhere.invalid"):
        kms = Transit(replace(TransitKey(bao.origin, MOUNT, "root"), origin=origin), lambda: TOKEN, bao.ca_file)
        sentence = said(Unavailable, lambda: kms.wrap(ROOT, CONTEXT))  # noqa: B023  called at once
        assert f"transit:{origin}/transit/root was asked to wrap the root key, and it cannot be reached (" in sentence


def test_a_redirect_is_not_followed(other: ControlPlane) -> None:
    other.answer("/v1/transit/encrypt/root", 307, None, Location=f"{other.url}/elsewhere")
    assert "a redirect (307), which is not followed" in said(ConfigurationError, lambda: at(other).wrap(ROOT, CONTEXT))
    assert [path for _, path, _, _ in other.requests] == ["/v1/transit/encrypt/root"]


@pytest.mark.parametrize("status", [412, 429, 500, 503])
def test_a_server_that_is_sealed_or_busy_is_to_be_tried_again(other: ControlPlane, status: int) -> None:
    other.answer("/v1/transit/encrypt/root", status, {"errors": ["Vault is sealed"]})
    assert f"({status}: Vault is sealed)" in said(Unavailable, lambda: at(other).wrap(ROOT, CONTEXT))


def test_what_a_server_echoes_is_withheld(other: ControlPlane) -> None:
    encoded = transit._encoded(ROOT.reveal())
    other.answer("/v1/transit/encrypt/root", 400, {"errors": [f"{TOKEN} {encoded} \x1b[31m\n" + "x" * 9000]})
    sentence = said(ConfigurationError, lambda: at(other).wrap(ROOT, CONTEXT))
    assert "[withheld] [withheld]" in sentence
    assert encoded not in sentence
    assert "\x1b" not in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize("document", [None, [], "x", {}, {"data": None}, {"data": {"ciphertext": "hunter2"}}, {"data": {"ciphertext": 7}}])
def test_an_answer_that_is_none_of_the_engines_is_refused(other: ControlPlane, document: object) -> None:
    other.answer("/v1/transit/encrypt/root", 200, document)
    sentence = said(ConfigurationError, lambda: at(other).wrap(ROOT, CONTEXT))
    assert "its answer is not one of a transit engine" in sentence
    assert "hunter2" not in sentence


def test_an_answer_that_does_not_end_is_cut_off(other: ControlPlane) -> None:
    other.answer("/v1/transit/encrypt/root", 200, {"data": {"ciphertext": "x" * 100_000}})
    assert "cannot be reached (HTTPException)" in said(Unavailable, lambda: at(other).wrap(ROOT, CONTEXT))


def test_an_answer_that_is_cut_off_on_its_way_is_to_be_tried_again(other: ControlPlane) -> None:
    other.answer("/v1/transit/encrypt/root", 200, {}, **{"Content-Length": "500"})
    assert "cannot be reached (IncompleteRead)" in said(Unavailable, lambda: at(other).wrap(ROOT, CONTEXT))


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        key = TransitKey(f"http://127.0.0.1:{silent.getsockname()[1]}", MOUNT, "root")
        assert "did not answer within" in said(Unavailable, lambda: Transit(key, lambda: TOKEN, None).wrap(ROOT, CONTEXT))
