"""The keyring: the right root key opens every key of it, and a row that was changed, moved or lost is refused."""

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from webapp.errors import ConfigurationError
from webapp.vault import KeyringBroken, RootKey, Secret, UnknownKey, expected_fingerprint, new_keyring, open_keyring
from webapp.vault.keyring import PURPOSES

INSTANCE = "0" * 32
ROOT = RootKey(Secret(b"r" * 32), "/keys/root.key")


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return new_keyring(ROOT, INSTANCE, 0)


def test_a_row_that_an_earlier_program_wrote_opens(rows: list[dict[str, Any]]) -> None:
    """The form of a row, said once more: a keyring outlives the program that made it."""
    place = b"\0\0\0\x20" + INSTANCE.encode() + b"\0\0\0\x03kek" + b"\0\0\0\x011"
    key, nonce = b"k" * 32, b"n" * 12
    rows[0]["wrapped"] = nonce + AESGCM(ROOT.key.reveal()).encrypt(nonce, key, b"\0\0\0\x07keyring" + place)
    rows[0]["check_value"] = hmac.digest(key, b"\0\0\0\x05check" + place, hashlib.sha256)
    assert open_keyring(rows, ROOT, INSTANCE).kek(1) == Secret(key)


def test_a_keyring_has_a_key_for_each_purpose_and_none_of_them_in_the_clear(rows: list[dict[str, Any]]) -> None:
    keyring = open_keyring(rows, ROOT, INSTANCE)
    keys = [*keyring.keks.values(), *keyring.others.values()]
    assert len(keys) == len(PURPOSES)
    assert len({key.reveal() for key in keys}) == len(PURPOSES)
    assert not any(key.reveal() in repr(rows).encode() or key.reveal() in row["wrapped"] for key in keys for row in rows)


def test_another_root_key_is_refused_by_both_fingerprints_and_its_place(rows: list[dict[str, Any]]) -> None:
    other = RootKey(Secret(b"s" * 32), "/elsewhere/root.key")
    with pytest.raises(ConfigurationError) as error:
        open_keyring(rows, other, INSTANCE)
    assert ROOT.fingerprint in str(error.value)
    assert other.fingerprint in str(error.value)
    assert "/elsewhere/root.key" in str(error.value)


@pytest.mark.parametrize("column", ["wrapped", "check_value"])
@pytest.mark.parametrize("number", range(len(PURPOSES)))
def test_a_row_that_was_changed_is_refused(rows: list[dict[str, Any]], number: int, column: str) -> None:
    rows[number][column] = rows[number][column][:-1] + bytes([rows[number][column][-1] ^ 1])
    with pytest.raises(KeyringBroken, match=f"key {number + 1} "):
        open_keyring(rows, ROOT, INSTANCE)


def test_rows_that_were_swapped_or_renamed_are_refused(rows: list[dict[str, Any]]) -> None:
    swapped = [{**rows[0], "wrapped": rows[1]["wrapped"], "check_value": rows[1]["check_value"]}, *rows[1:]]
    renamed = [{**rows[0], "purpose": "audit"}, *rows[1:]]
    numbered = [{**rows[0], "id": 9}, *rows[1:]]
    for wrong in (swapped, renamed, numbered):
        with pytest.raises(KeyringBroken):
            open_keyring(wrong, ROOT, INSTANCE)
    with pytest.raises(KeyringBroken):
        open_keyring(rows, ROOT, "1" * 32)


@pytest.mark.parametrize("missing", range(len(PURPOSES)))
def test_a_row_that_is_missing_is_refused(rows: list[dict[str, Any]], missing: int) -> None:
    with pytest.raises(KeyringBroken, match="has no"):
        open_keyring(rows[:missing] + rows[missing + 1 :], ROOT, INSTANCE)


def test_one_without_a_key_that_seals_is_refused(rows: list[dict[str, Any]]) -> None:
    rows[0]["state"] = "retired"
    with pytest.raises(KeyringBroken, match="has no active kek"):
        open_keyring(rows, ROOT, INSTANCE)


def test_an_id_that_it_has_not_is_an_error_of_its_own(rows: list[dict[str, Any]]) -> None:
    keyring = open_keyring(rows, ROOT, INSTANCE)
    assert keyring.active_kek == 1
    assert len(keyring.kek(1)) == 32
    with pytest.raises(UnknownKey, match="no key 2"):  # which is there, and is no KEK
        keyring.kek(2)


@pytest.mark.parametrize("column", ["wrapped", "check_value"])
@pytest.mark.parametrize("value", ["text", b"", None, 7], ids=["text", "nothing", "null", "a number"])
def test_a_row_with_something_else_than_bytes_is_refused(rows: list[dict[str, Any]], column: str, value: object) -> None:
    rows[0][column] = value
    with pytest.raises(KeyringBroken, match="key 1 "):
        open_keyring(rows, ROOT, INSTANCE)


def test_it_names_the_root_key_that_it_wants(rows: list[dict[str, Any]]) -> None:
    assert expected_fingerprint(rows) == ROOT.fingerprint
    assert expected_fingerprint([]) is None


def test_a_repr_shows_no_key(rows: list[dict[str, Any]]) -> None:
    keyring = open_keyring(rows, ROOT, INSTANCE)
    for key in [*keyring.keks.values(), *keyring.others.values()]:
        assert repr(key.reveal())[2:-1] not in repr(keyring)
    assert "withheld" in repr(keyring)
