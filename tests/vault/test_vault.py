"""The vault: a value opens at its own place only, and every MAC is bound to what it is for."""

from dataclasses import replace
from typing import Any

import pytest

from webapp.vault import Keyring, RootKey, SealBroken, SealContext, Secret, Token, UnknownKey, Vault, mint, new_keyring, open_keyring

INSTANCE = "0" * 32
ROOT = RootKey(Secret(b"r" * 32), "/keys/root.key")
PLACE = SealContext("account", "registry_credentials", "record", "sealed", 1, ("ghcr.io", "password"))


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return new_keyring(ROOT, INSTANCE, 0)


@pytest.fixture
def vault(rows: list[dict[str, Any]]) -> Vault:
    return Vault(open_keyring(rows, ROOT, INSTANCE), INSTANCE)


def test_a_value_opens_at_its_place(vault: Vault) -> None:
    sealed = vault.seal(Secret(b"hunter2"), PLACE)
    assert sealed.kek_id == 1
    assert vault.open(sealed.blob, PLACE) == Secret(b"hunter2")


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, account_id="other"),
        replace(PLACE, table="secrets"),
        replace(PLACE, record_id="other"),
        replace(PLACE, field="other"),
        replace(PLACE, version=2),
        replace(PLACE, binding=("evil.example", "password")),
        replace(PLACE, binding=("ghcr.io", "gcp_service_account_key")),
        replace(PLACE, binding=()),
    ],
    ids=["account", "table", "record", "field", "version", "host", "method", "no binding"],
)
def test_it_opens_at_no_other_place(vault: Vault, elsewhere: SealContext) -> None:
    with pytest.raises(SealBroken):
        vault.open(vault.seal(Secret(b"hunter2"), PLACE).blob, elsewhere)


def test_it_opens_in_no_other_installation(vault: Vault, rows: list[dict[str, Any]]) -> None:
    other = Vault(open_keyring(rows, ROOT, INSTANCE), "1" * 32)  # with the very same keys
    with pytest.raises(SealBroken):
        other.open(vault.seal(Secret(b"hunter2"), PLACE).blob, PLACE)


def test_keys_are_chosen_by_their_id_and_never_by_trial() -> None:
    keys = {number: Secret(bytes([number]) * 32) for number in (1, 9)}
    others = {"audit": Secret(b"a" * 32), "head": Secret(b"h" * 32), "token": Secret(b"t" * 32)}
    before, after = Vault(Keyring(keys, 1, others), INSTANCE), Vault(Keyring(keys, 9, others), INSTANCE)
    old, new = before.seal(Secret(b"old"), PLACE), after.seal(Secret(b"new"), PLACE)
    assert (old.kek_id, new.kek_id) == (1, 9)
    assert after.open(old.blob, PLACE) == Secret(b"old"), "a key that seals no longer still opens"
    with pytest.raises(SealBroken) as error:
        after.open(old.blob[:4] + (9).to_bytes(4) + old.blob[8:], PLACE)
    assert not isinstance(error.value, UnknownKey)


def test_a_key_that_is_not_in_the_keyring_is_an_error_of_its_own(vault: Vault) -> None:
    sealed = vault.seal(Secret(b"hunter2"), PLACE)
    with pytest.raises(UnknownKey, match="the keyring has no key 9"):
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


@pytest.mark.parametrize("stored", [b"", bytes(32), "text", None, 0])
def test_a_mac_that_is_another_one_or_none_at_all_holds_for_nothing(vault: Vault, stored: Any) -> None:
    token = mint("a")
    claim = vault.claim(token, owner="agent", account_id="account", expires_at=None)
    assert vault.claim_holds(token, stored, claim) is False
    assert vault.token_matches(token, stored, owner="agent", account_id="account", expires_at=None) is False
    assert vault.wrote_row("member", ["x"], stored) is False


def test_a_claim_holds_for_the_token_and_the_claim_that_it_was_made_of(vault: Vault) -> None:
    token, other = mint("a"), mint("a")
    claim = vault.claim(token, owner="agent", account_id="account", expires_at=None)
    mac = vault.token_mac(token, owner="agent", account_id="account", expires_at=None)
    assert vault.claim_holds(token, mac, claim) is True
    assert vault.claim_holds(other, mac, claim) is False, "with the claim of the token that it is none of"
    assert vault.claim_holds(token, mac, claim + b"x") is False
    assert vault.claim(token, owner="agent", account_id="account", expires_at=0) != claim, "the epoch is a time, too"
    assert vault.claim(replace(token, kind="b"), owner="agent", account_id="account", expires_at=None) != claim


def test_a_rows_mac_is_over_each_of_its_columns_and_their_order(vault: Vault, rows: list[dict[str, Any]]) -> None:
    mac = vault.row_mac("member", ["x", "y", 1])
    assert vault.wrote_row("member", ["x", "y", 1], mac) is True
    others: list[list[str | int]] = [["y", "x", 1], ["xy", "", 1], ["x", "y"], ["x", "y", 2], []]
    assert not any(vault.wrote_row("member", parts, mac) for parts in others)
    assert vault.wrote_row("passkey", ["x", "y", 1], mac) is False
    assert Vault(open_keyring(rows, ROOT, INSTANCE), "1" * 32).wrote_row("member", ["x", "y", 1], mac) is False


def test_what_is_in_cookies_and_rows_stays_good_in_the_next_version() -> None:
    others = {"audit": Secret(b"a" * 32), "head": Secret(b"h" * 32), "token": Secret(b"t" * 32)}
    vault, token = Vault(Keyring({1: Secret(b"k" * 32)}, 1, others), INSTANCE), Token("a", "A" * 16, Secret(b"x"))
    of_token = vault.token_mac(token, owner="o", account_id="c", expires_at=None)
    macs = [vault.cookie_mac("device", b"x"), vault.row_mac("member", ["x", 1]), of_token]
    assert [mac.hex()[:16] for mac in macs] == ["7804cd6df08569e6", "d80b9705fd02e03c", "accc29c07b110bdc"]


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
