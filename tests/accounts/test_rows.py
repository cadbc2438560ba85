"""Rows that say who may sign in, and as whom: a MAC over each of the columns that say so."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from webapp.accounts.identity import identity_mac, is_genuine_identity
from webapp.accounts.member import is_genuine, member_mac
from webapp.accounts.passkey import is_genuine_passkey, passkey_mac
from webapp.vault import Vault


class Kind(NamedTuple):
    """A kind of row: what this program writes into it, and how it looks at what is there."""

    row: dict[str, Any]
    mac: Callable[[Vault, Mapping[str, Any]], bytes]
    is_genuine: Callable[[Vault, Mapping[str, Any]], bool]


SAME = {"id": "1" * 32, "account_id": "2" * 32, "member_id": "3" * 32}
KINDS = {
    "member": Kind(
        {"id": "1" * 32, "account_id": "2" * 32, "email_key": "ana@example.com", "role": "viewer", "password_hash": "$argon2id$"},
        member_mac,
        is_genuine,
    ),
    "passkey": Kind({**SAME, "credential_id": "c", "public_key": b"\xa5\x01"}, passkey_mac, is_genuine_passkey),
    "identity": Kind({**SAME, "issuer": "https://id.example", "subject": "a-1"}, identity_mac, is_genuine_identity),
}
COLUMNS = [(name, column) for name, kind in KINDS.items() for column in kind.row]


def forged(value: Any) -> Any:
    """Another value of this type."""
    return value + (b"x" if isinstance(value, bytes) else "x")


@pytest.mark.parametrize("name", KINDS)
def test_a_row_of_ours_is_genuine(vault: Vault, name: str) -> None:
    row, mac, is_genuine = KINDS[name]
    written = {**row, "mac": mac(vault, row), "name": "what everybody may write"}
    assert is_genuine(vault, written) is True


@pytest.mark.parametrize(("name", "column"), COLUMNS)
def test_a_row_with_something_else_in_it_is_not(vault: Vault, name: str, column: str) -> None:
    row, mac, is_genuine = KINDS[name]
    assert is_genuine(vault, {**row, column: forged(row[column]), "mac": mac(vault, row)}) is False


@pytest.mark.parametrize(
    ("shown", "genuine"),
    [("ana@example.com", True), ("Ana@Example.COM", True), (None, True), ("eve@example.com", False), ("", False), (b"", False)],
)
def test_a_member_is_shown_with_the_address_of_their_key(vault: Vault, shown: object, genuine: bool) -> None:
    row, mac, is_genuine = KINDS["member"]
    assert is_genuine(vault, {**row, "mac": mac(vault, row), "email": shown}) is genuine
    assert is_genuine(vault, {**row, "mac": bytes(32), "email": shown}) is False


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("stored", [b"", bytes(32), "text", None, 0])
def test_a_row_with_another_mac_or_none_is_not(vault: Vault, name: str, stored: object) -> None:
    row, _, is_genuine = KINDS[name]
    assert is_genuine(vault, {**row, "mac": stored}) is False


def test_the_mac_of_one_kind_is_none_of_another(vault: Vault) -> None:
    columns = dict.fromkeys([column for _, column in COLUMNS], "") | {"public_key": b""}
    for name, (_, mac, _) in KINDS.items():
        taken = {**columns, "mac": mac(vault, columns)}
        assert [kind for kind, (_, _, is_genuine) in KINDS.items() if is_genuine(vault, taken)] == [name]
