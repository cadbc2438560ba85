"""What a browser keeps of a sign-in that goes away and comes back: read by this server, once begun, and for this only."""

import base64

import orjson
import pytest

from webapp.accounts.ceremony import LIFETIME, Kind, begin_ceremony, ceremony_of, ceremony_text
from webapp.clock import MINUTE
from webapp.vault import Vault

BEGUN = 1_793_714_700_000
ACCESSOR = "A" * 16


def test_it_comes_back_as_it_was_begun(vault: Vault) -> None:
    assert LIFETIME == 10 * MINUTE
    begun = begin_ceremony("oidc-link", BEGUN, accessor=ACCESSOR, facts={"nonce": "n", "next": "/images?q=ü"})
    text = ceremony_text(vault, begun).reveal().decode("ascii")
    for now in (BEGUN, BEGUN + LIFETIME - 1):
        assert ceremony_of(vault, text, "oidc-link", now, accessor=ACCESSOR) == begun
    assert ceremony_of(vault, text, "oidc-link", BEGUN + LIFETIME, accessor=ACCESSOR) is None
    assert ceremony_of(vault, text, "oidc-link", BEGUN + 2 * LIFETIME, accessor=ACCESSOR) is None


def test_one_of_nobody_yet_is_of_nobody(vault: Vault) -> None:
    begun = begin_ceremony("passkey-sign-in", BEGUN)
    text = ceremony_text(vault, begun).reveal().decode("ascii")
    assert (begun.accessor, begun.facts) == ("", {})
    assert ceremony_of(vault, text, "passkey-sign-in", BEGUN) == begun
    assert ceremony_of(vault, text, "passkey-sign-in", BEGUN, accessor=ACCESSOR) is None


def test_it_is_of_one_kind_and_one_session(vault: Vault) -> None:
    kinds: list[Kind] = ["passkey-confirm", "oidc-confirm"]
    for kind, other in zip(kinds, reversed(kinds), strict=True):
        text = ceremony_text(vault, begin_ceremony(kind, BEGUN, accessor=ACCESSOR)).reveal().decode("ascii")
        assert ceremony_of(vault, text, other, BEGUN, accessor=ACCESSOR) is None
        for accessor in ("", "B" * 16, ACCESSOR[1:], "0" * 16, "Z" * 16):
            assert ceremony_of(vault, text, kind, BEGUN, accessor=accessor) is None


def test_no_two_have_the_same_challenge() -> None:
    challenges = [begin_ceremony("passkey-create", BEGUN).challenge for _ in range(3)]
    assert len(set(challenges)) == 3
    assert {len(base64.urlsafe_b64decode(challenge + "=")) for challenge in challenges} == {32}


def test_what_somebody_else_wrote_is_none(vault: Vault) -> None:
    text = ceremony_text(vault, begin_ceremony("oidc-sign-in", BEGUN)).reveal().decode("ascii")
    body, _, mac = text.partition(".")
    later = base64.urlsafe_b64encode(orjson.dumps([*orjson.loads(base64.urlsafe_b64decode(body))[:2], BEGUN * 2, "", {}])).decode("ascii")
    device = vault.cookie_mac("device", body.encode("ascii")).hex()
    for forged in (
        "",
        ".",
        body,
        f"{body}.",
        f".{mac}",
        f"{later}.{mac}",
        f"{body}.{device}",
        f"{body}.{'0' * 64}",
        f"{text}0",
        "\ud800",
        "ü.ü",
    ):
        assert ceremony_of(vault, forged, "oidc-sign-in", BEGUN) is None


@pytest.mark.parametrize("body", [b"", b"A", b"AAAA", b"bnVsbA==", *(base64.urlsafe_b64encode(orjson.dumps([""] * n)) for n in (2, 6))])
def test_one_of_another_version_of_this_program_is_none(vault: Vault, body: bytes) -> None:
    text = (body + b"." + vault.cookie_mac("ceremony", body).hex().encode("ascii")).decode("ascii")
    assert ceremony_of(vault, text, "oidc-sign-in", BEGUN) is None


def test_what_no_cookie_holds_is_refused_before_it_is_lost(vault: Vault) -> None:
    shorter = len(orjson.dumps(["oidc-sign-in", "c" * 43, BEGUN + LIFETIME, "", {"next": ""}]))
    longest = 3500 // 4 * 3 - shorter  # base64 makes four bytes of three
    assert len(ceremony_text(vault, begin_ceremony("oidc-sign-in", BEGUN, facts={"next": "x" * longest}))) == 3500 + 1 + 64
    for length in (longest + 1, 4000):
        with pytest.raises(ValueError, match="longer than a cookie"):
            ceremony_text(vault, begin_ceremony("oidc-sign-in", BEGUN, facts={"next": "x" * length}))
