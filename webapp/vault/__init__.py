"""The vault: all that touches keys and ciphers. The database is untrusted, and this is why it may be."""

from webapp.vault.envelope import SealBroken, UnknownKey, key_id
from webapp.vault.keyring import (
    Keyring,
    KeyringBroken,
    KeyringRow,
    expected_fingerprint,
    new_keyring,
    next_kek,
    open_keyring,
    rewrap_keyring,
)
from webapp.vault.root_key import RootKey, create_root_key, read_root_key
from webapp.vault.root_keys import NewRootKey, Place, WrappedRootKey, current_root_key, new_root_key, place_of
from webapp.vault.secret import Secret
from webapp.vault.tokens import Token, mint, parse
from webapp.vault.vault import SealContext, Sealed, Vault, steady_clock

__all__ = [
    "Keyring",
    "KeyringBroken",
    "KeyringRow",
    "NewRootKey",
    "Place",
    "RootKey",
    "SealBroken",
    "SealContext",
    "Sealed",
    "Secret",
    "Token",
    "UnknownKey",
    "Vault",
    "WrappedRootKey",
    "create_root_key",
    "current_root_key",
    "expected_fingerprint",
    "key_id",
    "mint",
    "new_keyring",
    "new_root_key",
    "next_kek",
    "open_keyring",
    "parse",
    "place_of",
    "read_root_key",
    "rewrap_keyring",
    "steady_clock",
]
