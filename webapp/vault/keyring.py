"""The keyring: the keys that the root key wraps, each with an id, a purpose and a check value.

Keys are chosen by their id, never by trial. The functions here take and give rows, so that a keyring can be
verified from a read-only connection before anything writes to the database.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webapp.errors import ConfigurationError
from webapp.vault.envelope import KEY_BYTES, SealBroken, UnknownKey, associated_data, unwrap, wrap
from webapp.vault.root_key import RootKey
from webapp.vault.secret import Secret

PURPOSES = ("kek", "audit", "head", "token")
"""What each key is for: wrapping data keys; the audit log's MACs; signing its heads; MACs of tokens."""

KeyringRow = dict[str, Any]


class KeyringBroken(ConfigurationError):
    """The root key is the right one, and a key of the keyring does not open all the same: its row was changed."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys, unwrapped: the KEKs by id, the one that seals now, and one key for each other purpose."""

    keks: Mapping[int, Secret]
    active_kek: int
    others: Mapping[str, Secret]

    def kek(self, kek_id: int) -> Secret:
        """The KEK with this id. Raises UnknownKey."""
        if kek_id not in self.keks:
            raise UnknownKey(f"the keyring has no key {kek_id}")
        return self.keks[kek_id]


def new_keyring(root: RootKey, instance_id: str, now: int) -> list[KeyringRow]:
    """The rows of a first keyring: one key for each purpose. `now` is in Unix milliseconds."""
    return [_new_row(root, instance_id, number, purpose, now) for number, purpose in enumerate(PURPOSES, 1)]


def next_kek(rows: Sequence[Mapping[str, Any]], root: RootKey, instance_id: str, now: int) -> KeyringRow:
    """The row of a KEK that seals from now on. `now` is in Unix milliseconds."""
    return _new_row(root, instance_id, max(int(row["id"]) for row in rows) + 1, "kek", now)


def rewrap_keyring(rows: Sequence[Mapping[str, Any]], root: RootKey, new_root: RootKey, instance_id: str) -> list[KeyringRow]:
    """The keyring's rows under another root key. Raises as `open_keyring` does."""
    open_keyring(rows, root, instance_id)
    return [_rewrapped(dict(row), root, new_root, instance_id) for row in rows]


def _rewrapped(row: KeyringRow, root: RootKey, new_root: RootKey, instance_id: str) -> KeyringRow:
    number, purpose = int(row["id"]), str(row["purpose"])
    key = _open_row(row, root, instance_id, number, purpose).reveal()
    place = associated_data("keyring", [instance_id, purpose, number])
    return row | {"wrapped": wrap(new_root.key.reveal(), key, place), "root_fingerprint": new_root.fingerprint}


def _new_row(root: RootKey, instance_id: str, number: int, purpose: str, now: int) -> KeyringRow:
    key = secrets.token_bytes(KEY_BYTES)
    return {
        "id": number,
        "purpose": purpose,
        "state": "active",
        "wrapped": wrap(root.key.reveal(), key, associated_data("keyring", [instance_id, purpose, number])),
        "check_value": _check_value(key, instance_id, purpose, number),
        "root_fingerprint": root.fingerprint,
        "created_at": now,
    }


def open_keyring(rows: Sequence[Mapping[str, Any]], root: RootKey, instance_id: str) -> Keyring:
    """Unwrap every key of the keyring and verify its check value.

    Raises ConfigurationError when the root key is another one, naming the expected and the found
    fingerprint and where it was read from; KeyringBroken when a row was changed.
    """
    expected = expected_fingerprint(rows)
    if expected != root.fingerprint:
        raise ConfigurationError(
            f"{root.setting}: expected the root key with fingerprint {expected}, found {root.fingerprint} in {root.source}."
        )
    keks: dict[int, Secret] = {}
    others: dict[str, Secret] = {}
    active = 0
    for row in rows:
        number, purpose = int(row["id"]), str(row["purpose"])
        key = _open_row(row, root, instance_id, number, purpose)
        if purpose == "kek":
            keks[number] = key
            active = number if row["state"] == "active" else active
        else:
            others[purpose] = key
    missing = [purpose for purpose in PURPOSES if purpose != "kek" and purpose not in others]
    if missing or not active:
        raise KeyringBroken(f"WEBAPP_DATABASE_URL: the keyring has no {missing[0] if missing else 'active kek'} key.")
    if active != max(keks):  # a rotation makes the newest one the one that seals, and nothing ever goes back
        raise KeyringBroken("WEBAPP_DATABASE_URL: the newest key of the keyring is not the one that seals. Restore a backup.")
    return Keyring(keks, active, others)


def expected_fingerprint(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The fingerprint of the root key that wrapped the keyring; None for no keyring."""
    return str(rows[0]["root_fingerprint"]) if rows else None


def _open_row(row: Mapping[str, Any], root: RootKey, instance_id: str, number: int, purpose: str) -> Secret:
    broken = KeyringBroken(
        f"WEBAPP_DATABASE_URL: key {number} ({purpose}) of the keyring does not open; its row was changed. Restore a backup."
    )
    try:
        key = unwrap(root.key.reveal(), row["wrapped"], associated_data("keyring", [instance_id, purpose, number]))
        whole = hmac.compare_digest(row["check_value"], _check_value(key, instance_id, purpose, number))
    except (SealBroken, TypeError):  # TypeError: SQLite keeps text in a column of bytes, too
        raise broken from None
    if not whole:
        raise broken
    return Secret(key)


def _check_value(key: bytes, instance_id: str, purpose: str, number: int) -> bytes:
    return hmac.new(key, associated_data("check", [instance_id, purpose, number]), hashlib.sha256).digest()
