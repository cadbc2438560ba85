"""The sealed form of a value: it opens at its own place, under its own key, unchanged, and nowhere else."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.vault.envelope import (
    BUCKET,
    KEY_BYTES,
    SHORTEST,
    SealBroken,
    UnknownKey,
    associated_data,
    key_id,
    open_sealed,
    place_of,
    seal,
    unwrap,
    wrap,
)

KEK = bytes(range(KEY_BYTES))
PARTS: list[str | int] = ["instance", "account", "registry_credentials", "record", "sealed", 3, 2, "ghcr.io", "password"]
PLACE = place_of(PARTS)


DEK, WRAP_NONCE, NONCE = b"d" * 32, b"w" * 12, b"n" * 12


def prefixed(*parts: str) -> bytes:
    return b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)


def sealed_by_hand(padded: bytes) -> bytes:
    """What is documented, said once more: sealed values outlive the program that made them."""
    place = prefixed("instance", "account", "registry_credentials", "record", "sealed", "3", "2", "ghcr.io", "password")
    wrapped = AESGCM(KEK).encrypt(WRAP_NONCE, DEK, prefixed("wrap", "7") + place)
    return b"SB1\x01\x00\x00\x00\x07" + WRAP_NONCE + wrapped + NONCE + AESGCM(DEK).encrypt(NONCE, padded, prefixed("data") + place)


def test_what_was_sealed_as_documented_opens() -> None:
    assert open_sealed(KEK, sealed_by_hand(b"hunter2\x80" + bytes(248)), PLACE) == b"hunter2"


@pytest.mark.parametrize(
    "padded",
    [bytes(256), b"\x80" + bytes(511), b"hunter2" + bytes(249), b"x" * 256, b"x" * 255 + b"\x01"],
    ids=["no end", "a bucket too many", "no mark", "none at all", "another mark"],
)
def test_padding_that_nobody_here_makes_is_refused(padded: bytes) -> None:
    with pytest.raises(SealBroken, match="padding"):
        open_sealed(KEK, sealed_by_hand(padded), PLACE)


@given(st.binary(max_size=1000))
@settings(max_examples=50, deadline=None)
def test_every_value_comes_back(value: bytes) -> None:
    assert open_sealed(KEK, seal(KEK, 7, value, PLACE), PLACE) == value


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 511, 512, 513])
def test_the_length_tells_only_the_bucket(length: int) -> None:
    value = b"\x80" * length  # what the padding itself begins with
    sealed = seal(KEK, 7, value, PLACE)
    assert len(sealed) == SHORTEST + length // BUCKET * BUCKET
    assert open_sealed(KEK, sealed, PLACE) == value


def test_the_layout_is_the_documented_one() -> None:
    sealed = seal(KEK, 0x01020304, b"x", PLACE)
    assert sealed[:8] == b"SB1\x01\x01\x02\x03\x04"
    assert len(sealed) == 8 + 12 + 48 + 12 + 256 + 16
    assert key_id(sealed) == 0x01020304


def test_no_two_seals_are_alike() -> None:
    first, second = seal(KEK, 7, b"x", PLACE), seal(KEK, 7, b"x", PLACE)
    assert first[8:20] != second[8:20], "the wrap's nonce"
    assert first[68:80] != second[68:80], "the value's nonce"


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_it_opens_at_no_other_place(part: int) -> None:
    sealed = seal(KEK, 7, b"value", PLACE)
    other = [*PARTS]
    other[part] = 4 if isinstance(other[part], int) else f"{other[part]}x"
    with pytest.raises(SealBroken):
        open_sealed(KEK, sealed, place_of(other))


@pytest.mark.parametrize("part", [1.5, 1.0, None, b"1", "\udcff"], ids=repr)
def test_what_is_neither_text_nor_a_whole_number_is_no_place(part: Any) -> None:
    with pytest.raises(SealBroken):
        place_of(["account", part])


def test_parts_do_not_run_into_each_other() -> None:
    assert associated_data("data", ["a", "bc"]) != associated_data("data", ["ab", "c"])
    assert associated_data("data", ["a"]) != associated_data("wrap", ["a"])
    assert associated_data("data", [1, 2]) != associated_data("data", [12])


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
@settings(max_examples=100, deadline=None)
def test_only_the_same_parts_encode_alike(first: list[str], second: list[str]) -> None:
    assert (associated_data("data", first) == associated_data("data", second)) is (first == second)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 70_000])
def test_a_part_of_any_length_has_its_length_before_it(length: int) -> None:
    assert associated_data("data", ["x" * length]) == b"\x00\x00\x00\x04data" + length.to_bytes(4) + b"x" * length


def test_not_one_bit_of_it_may_differ() -> None:
    sealed = seal(KEK, 7, b"value", PLACE)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        with pytest.raises(SealBroken):
            open_sealed(KEK, bytes(changed), PLACE)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 79, 80, 95, SHORTEST - 1, SHORTEST - BUCKET])
def test_it_refuses_a_piece(cut: int) -> None:
    with pytest.raises(SealBroken, match="length"):
        open_sealed(KEK, seal(KEK, 7, b"value", PLACE)[:cut], PLACE)


@pytest.mark.parametrize("start", [b"SB2\x01", b"sb1\x01", b"SB1\x00", b"SB1\x02"])
def test_it_refuses_another_format(start: bytes) -> None:
    sealed = start + seal(KEK, 7, b"value", PLACE)[4:]
    with pytest.raises(SealBroken, match="unknown format"):
        key_id(sealed)


@pytest.mark.parametrize("value", ["x" * SHORTEST, None, 7], ids=["text", "null", "a number"])
def test_it_refuses_what_is_not_of_bytes(value: Any) -> None:
    with pytest.raises(SealBroken, match="not of bytes"):
        open_sealed(KEK, value, PLACE)


@given(st.binary(max_size=3 * SHORTEST) | st.binary(min_size=SHORTEST - 4, max_size=SHORTEST - 4).map(lambda rest: b"SB1\x01" + rest))
@settings(max_examples=50, deadline=None)
def test_rubbish_is_refused_and_nothing_else_happens(rubbish: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(KEK, rubbish, PLACE)


@pytest.mark.parametrize("more", [1, BUCKET - 1, BUCKET])
def test_it_refuses_more(more: int) -> None:
    with pytest.raises(SealBroken):
        open_sealed(KEK, seal(KEK, 7, b"value", PLACE) + bytes(more), PLACE)


def test_it_opens_under_no_other_key() -> None:
    with pytest.raises(SealBroken):
        open_sealed(bytes(KEY_BYTES), seal(KEK, 7, b"value", PLACE), PLACE)


def test_a_data_key_of_one_value_opens_no_other() -> None:
    first, second = seal(KEK, 7, b"first", PLACE), seal(KEK, 7, b"second", PLACE)
    with pytest.raises(SealBroken):
        open_sealed(KEK, first[:68] + second[68:], PLACE)


def test_a_wrapped_key_opens_only_as_it_was_wrapped() -> None:
    wrapped = wrap(KEK, b"k" * KEY_BYTES, b"place")
    assert unwrap(KEK, wrapped, b"place") == b"k" * KEY_BYTES
    for wrong in (wrapped[:-1], wrapped + b"x", b"", wrapped[:-1] + bytes([wrapped[-1] ^ 1])):
        with pytest.raises(SealBroken):
            unwrap(KEK, wrong, b"place")
    with pytest.raises(SealBroken):
        unwrap(KEK, wrapped, b"elsewhere")


def test_an_error_says_nothing_of_the_value_or_the_key() -> None:
    sealed = seal(KEK, 7, b"hunter2", PLACE)
    with pytest.raises(SealBroken) as error:
        open_sealed(bytes(KEY_BYTES), sealed, PLACE)
    assert str(error.value) == "a wrapped key does not open"
    assert error.value.__cause__ is None
    assert issubclass(UnknownKey, SealBroken)
