"""The keyring and the vault: the right root key opens them, and every MAC is bound to what it is for."""

from typing import Any

import pytest

from webapp.errors import ConfigurationError
from webapp.vault import KeyringBroken, RootKey, SealBroken, SealContext, Secret, UnknownKey, Vault, mint, new_keyring, open_keyring
from webapp.vault.keyring import PURPOSES

INSTANCE = "0" * 32
ROOT = RootKey(Secret(b"r" * 32), "/keys/root.key")
PLACE = SealContext("account", "registry_credentials", "record", "sealed", 1, ("ghcr.io", "password"))


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return new_keyring(ROOT, INSTANCE, 0)


@pytest.fixture
def vault(rows: list[dict[str, Any]]) -> Vault:
    return Vault(open_keyring(rows, ROOT, INSTANCE), INSTANCE)


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


def test_a_value_opens_at_its_place_and_under_the_key_that_it_names(vault: Vault) -> None:
    sealed = vault.seal(Secret(b"hunter2"), PLACE)
    assert sealed.kek_id == 1
    assert vault.open(sealed.blob, PLACE) == Secret(b"hunter2")
    with pytest.raises(SealBroken):
        vault.open(sealed.blob, SealContext("account", "registry_credentials", "record", "sealed", 2, ("ghcr.io", "password")))
    with pytest.raises(UnknownKey, match="no key 9"):
        vault.open(sealed.blob[:4] + (9).to_bytes(4) + sealed.blob[8:], PLACE)


def test_a_binding_does_not_run_into_what_stands_before_it(vault: Vault) -> None:
    sealed = vault.seal(Secret(b"x"), SealContext("a", "t", "r", "f", 1, ("b", "c")))
    with pytest.raises(SealBroken):
        vault.open(sealed.blob, SealContext("a", "t", "r", "f", 1, ("b",)))
    with pytest.raises(SealBroken):
        vault.open(sealed.blob, SealContext("a", "t", "r", "f", 1))


def test_a_tokens_mac_is_over_its_owner_account_and_expiry(vault: Vault) -> None:
    token = mint("a")
    mac = vault.token_mac(token, owner="agent", account_id="account", expires_at=None)
    assert vault.token_matches(token, mac, owner="agent", account_id="account", expires_at=None)
    assert not vault.token_matches(token, mac, owner="other", account_id="account", expires_at=None)
    assert not vault.token_matches(token, mac, owner="agent", account_id="other", expires_at=None)
    assert not vault.token_matches(token, mac, owner="agent", account_id="account", expires_at=1)
    assert not vault.token_matches(mint("a"), mac, owner="agent", account_id="account", expires_at=None)


def test_one_purposes_mac_is_no_others(vault: Vault) -> None:
    macs = {
        vault.audit_mac(b"x"),
        vault.cookie_mac("device", b"x"),
        vault.cookie_mac("notice", b"x"),
        vault.row_mac("member", ["x"]),
        vault.row_mac("memberx", []),
    }
    assert len(macs) == 5


def test_the_set_up_token_is_this_installations(vault: Vault, rows: list[dict[str, Any]]) -> None:
    assert vault.setup_token() == Vault(open_keyring(rows, ROOT, INSTANCE), INSTANCE).setup_token()
    other = Vault(open_keyring(new_keyring(ROOT, INSTANCE, 0), ROOT, INSTANCE), INSTANCE)
    assert vault.setup_token() != other.setup_token()
    assert len(vault.setup_token()) == 43


def test_a_repr_shows_no_key(vault: Vault) -> None:
    assert repr(vault) == f"<Vault of {INSTANCE}>"
