"""Where the root key comes from: a file, or a KMS that has wrapped it.

What a KMS wrapped stands in the database, so that a backup needs the KMS and nothing else. The database is untrusted: the KMS binds the
wrapped root key to the installation and to the key's fingerprint, and the keyring opens with no other.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.errors import ConfigurationError
from webapp.kms_key import KINDS, AwsKmsKey, KmsKey
from webapp.settings import Settings
from webapp.vault.aws_kms import AwsKms
from webapp.vault.envelope import KEY_BYTES
from webapp.vault.keyring import expected_fingerprint
from webapp.vault.kms import SETTING, Context, Kms
from webapp.vault.root_key import FILE_SETTING, RootKey, create_root_key, read_root_key
from webapp.vault.secret import Secret
from webapp.vault.transit import Transit

Place = Path | KmsKey
"""A file, or the key of a KMS that wraps the root key."""

_MOST_WRAPPED = 6144
"""Bytes: the longest that AWS KMS takes (API_Decrypt, CiphertextBlob)."""


@dataclass(frozen=True, slots=True)
class WrappedRootKey:
    """What the database holds of a root key that a KMS has wrapped."""

    fingerprint: str
    provider: str
    wrapped: bytes

    def row(self, now: int) -> dict[str, Any]:
        """As a row; `now` is in Unix milliseconds."""
        return {"fingerprint": self.fingerprint, "provider": self.provider, "wrapped": self.wrapped, "created_at": now}


@dataclass(frozen=True, slots=True)
class NewRootKey:
    """A root key that is going to be used: `wrapped` has to be stored with the keyring; `made` is False for a file that was there."""

    root: RootKey
    made: bool
    wrapped: WrappedRootKey | None = None


def place_of(settings: Settings) -> Place:
    """Where these settings say that the root key comes from."""
    return settings.root_key_file if settings.root_key is None else settings.root_key


def current_root_key(
    settings: Settings, keyring: Sequence[Mapping[str, Any]], wrapped: Sequence[Mapping[str, Any]], instance_id: str
) -> RootKey:
    """The root key that the keyring is wrapped with, as far as it can be read; whether it is that one, `open_keyring` says.

    May take some seconds with a KMS. Raises ConfigurationError with the fingerprint of the one that is wanted, and Unavailable.
    """
    fingerprint = str(expected_fingerprint(keyring))
    setting = FILE_SETTING if settings.root_key is None else SETTING
    expected = f"{setting}: expected the root key with fingerprint {fingerprint},"
    row = next((row for row in wrapped if row["fingerprint"] == fingerprint), None)
    try:
        if settings.root_key is None:
            return _in_file(settings, settings.root_key_file, expected, row)
        return _unwrapped(settings, settings.root_key, expected, row, _context(instance_id, fingerprint))
    except ConfigurationError as error:
        sentence = str(error)
        if sentence.startswith(expected) or not sentence.startswith(f"{setting}: "):  # another setting is wrong, and it names that
            raise
        raise ConfigurationError(f"{expected} but {sentence.partition(': ')[2]}") from None


def new_root_key(settings: Settings, place: Place, instance_id: str) -> NewRootKey:
    """A root key at this place: the file's when it is there, else a new one, in the file or wrapped by the KMS.

    May take some seconds with a KMS. Raises ConfigurationError and Unavailable.
    """
    if not isinstance(place, Path):
        return _wrapped(settings, place, instance_id)
    handed_over = _is_handed_over(settings, place)
    if place.exists():
        return NewRootKey(read_root_key(place, group_may_read=handed_over), made=False)
    if handed_over:
        raise ConfigurationError(f"{FILE_SETTING}: there is no root key at {place}, and none is made among systemd's credentials.")
    return NewRootKey(create_root_key(place), made=True)


def _is_handed_over(settings: Settings, path: Path) -> bool:
    return settings.credentials_dir is not None and path.is_relative_to(settings.credentials_dir)


def _in_file(settings: Settings, path: Path, expected: str, row: Mapping[str, Any] | None) -> RootKey:
    try:
        there = path.exists()
    except OSError as error:  # a folder that may not be looked into, a name that is too long
        raise ConfigurationError(f"{expected} but {path} cannot be read ({error.strerror}).") from None
    if not there:
        kind = str(row["provider"]).partition(":")[0] if row is not None else ""
        # Of what the database says only the kind: it is untrusted, and the token goes to whom the setting names.
        advice = f"It is wrapped by {kind}: name that in {SETTING}." if kind in KINDS else "Put the key back there, or name where it is."
        raise ConfigurationError(f"{expected} found no file at {path}. {advice}")
    return read_root_key(path, group_may_read=_is_handed_over(settings, path))


def _unwrapped(settings: Settings, key: KmsKey, expected: str, row: Mapping[str, Any] | None, context: Context) -> RootKey:
    if row is None:
        raise ConfigurationError(
            f"{expected} and the database holds none that a KMS wrapped. Where it is in a file, set {SETTING}=file and {FILE_SETTING};"
            " rewrap-root moves it."
        )
    kind, wrapped = str(row["provider"]).partition(":")[0], row["wrapped"]
    if kind != key.kind:
        other = kind if kind in KINDS else "something else"
        raise ConfigurationError(f"{expected} which is wrapped by {other}, and {SETTING} names {key}. Name the one that wrapped it.")
    if not isinstance(wrapped, bytes) or len(wrapped) > _MOST_WRAPPED:  # SQLite keeps text and numbers in a column of bytes, too
        raise ConfigurationError(f"{expected} but the database holds something else in its place. Restore a backup.")
    return RootKey(_whole(_kms(settings, key).unwrap(wrapped, context), key), str(key), SETTING)


def _wrapped(settings: Settings, key: KmsKey, instance_id: str) -> NewRootKey:
    root = RootKey(Secret(secrets.token_bytes(KEY_BYTES)), str(key), SETTING)
    kms, context = _kms(settings, key), _context(instance_id, root.fingerprint)
    wrapped = kms.wrap(root.key, context)
    # Before anything depends on it: whoever may only encrypt would find out at the next start.
    if len(wrapped) > _MOST_WRAPPED or kms.unwrap(wrapped, context) != root.key:
        raise ConfigurationError(f"{SETTING}: {key} does not give back the root key that it wrapped.")
    return NewRootKey(root, made=True, wrapped=WrappedRootKey(root.fingerprint, str(key), wrapped))


def _whole(key: Secret, where: KmsKey) -> Secret:
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{SETTING}: {where} unwrapped something that is no root key.")
    return key


def _context(instance_id: str, fingerprint: str) -> Context:
    return {"purpose": "registry-credentials root key", "installation": instance_id, "fingerprint": fingerprint}


def _kms(settings: Settings, key: KmsKey) -> Kms:
    if isinstance(key, AwsKmsKey):
        return AwsKms(key, settings.aws_kms_endpoint)
    return Transit(key, settings.transit_token, settings.transit_ca_file)
