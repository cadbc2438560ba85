"""Tokens: a kind, an accessor that may be shown, 256 random bits, and a check that catches a slip of the hand."""

import pytest

from webapp.vault.tokens import KINDS, base62, mint, parse


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_token_is_read_back(kind: str) -> None:
    token = mint(kind)
    text = token.text.reveal().decode()
    assert text.startswith(f"rc_{kind}_{token.accessor}_")
    read = parse(text, kind)
    assert read is not None
    assert (read.kind, read.accessor, read.text) == (token.kind, token.accessor, token.text)
    assert text.rpartition("_")[2] not in repr(token)


def test_no_two_are_alike() -> None:
    tokens = [mint("a") for _ in range(100)]
    assert len({token.accessor for token in tokens}) == 100
    assert len({token.text.reveal() for token in tokens}) == 100


def test_there_is_no_other_kind() -> None:
    with pytest.raises(ValueError, match="no token kind x"):
        mint("x")


def test_one_kind_is_no_other() -> None:
    assert parse(mint("a").text.reveal().decode(), "b") is None


def test_every_slip_of_one_character_is_caught() -> None:
    text = mint("a").text.reveal().decode()
    for position in range(len(text)):
        slip = "A" if text[position] != "A" else "B"
        assert parse(text[:position] + slip + text[position + 1 :], "a") is None


@pytest.mark.parametrize("wrong", ["", "rc_a_", "x" * 71, "rc_a_" + "_" * 66, "rc_a_" + "é" * 66])
def test_what_is_no_token_is_none(wrong: str) -> None:
    assert parse(wrong, "a") is None
    text = mint("a").text.reveal().decode()
    for changed in (text[:-1], text + "0", f" {text}", text.upper(), text.replace("_", "-")):
        assert parse(changed, "a") is None


def test_base62_counts_in_digits_and_letters() -> None:
    assert [base62(number, 1) for number in (0, 9, 10, 35, 36, 61)] == ["0", "9", "A", "Z", "a", "z"]
    assert base62(62, 4) == "0010"
    assert len(base62(2**256 - 1, 43)) == 43
