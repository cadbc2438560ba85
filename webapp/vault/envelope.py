"""The sealed form of a value, and nothing else: AES-256-GCM (NIST SP 800-38D) twice.

A random data key (DEK) seals the value; a key-encryption key (KEK) wraps the DEK. Layout, strict on decode:

    magic "SB1" | format u8 | kek_id u32 | wrap_nonce 12 | wrapped DEK 48 | nonce 12 | ciphertext + tag 16

The numbers are big-endian. The plaintext is padded to a multiple of 256 bytes (0x80, then zeros: ISO/IEC
9797-1, padding method 2), so that its length does not tell a token from a password. The associated data is a
sequence of length-prefixed parts that begins with the purpose (`wrap` or `data`), so that no two contexts
encode alike.
"""

import os
import struct
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"SB1"
FORMAT = 1
BUCKET = 256
KEY_BYTES = 32

_NONCE = 12
_TAG = 16
_WRAPPED = KEY_BYTES + _TAG
_LENGTHS = [length.to_bytes(4) for length in range(256)]  # of nearly all parts; four MACs and a seal are made at every hand-over
_HEAD = struct.Struct(f">3sBI{_NONCE}s{_WRAPPED}s{_NONCE}s")
SHORTEST = _HEAD.size + BUCKET + _TAG


class SealBroken(Exception):
    """A sealed value does not open here: it was changed, or it belongs to another place. Says nothing of the value."""


class UnknownKey(SealBroken):
    """The key that a sealed value names is not in the keyring."""


def associated_data(purpose: str, parts: Sequence[str | int]) -> bytes:
    """The parts as associated data: each in UTF-8 behind its length (u32), the purpose first."""
    return place_of([purpose]) + place_of(parts)


def place_of(parts: Sequence[str | int]) -> bytes:
    """A place, ready to be sealed to and opened at: its parts, each in UTF-8 behind its length (u32).

    Raises SealBroken for a part that is neither text nor a whole number: SQLite keeps anything in any column, and 1.5 is not 1.
    """
    pieces: list[bytes] = []
    for part in parts:
        if isinstance(part, str):
            try:
                encoded = part.encode()
            except UnicodeEncodeError:
                raise SealBroken("a sealed value is filed under what is no text") from None
        elif isinstance(part, int):
            encoded = b"%d" % part
        else:
            raise SealBroken("a sealed value is filed under what is neither text nor a whole number")
        length = len(encoded)
        pieces.append(_LENGTHS[length] if length < len(_LENGTHS) else length.to_bytes(4))
        pieces.append(encoded)
    return b"".join(pieces)


_DATA = associated_data("data", ())


def wrap(key: bytes, inner: bytes, data: bytes) -> bytes:
    """Encrypt a 32-byte key under another one: nonce and 48 bytes."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, inner, data)


def unwrap(key: bytes, wrapped: bytes, data: bytes) -> bytes:
    """The key inside. Raises SealBroken."""
    if len(wrapped) != _NONCE + _WRAPPED:
        raise SealBroken("a wrapped key has the wrong length")
    try:
        return AESGCM(key).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], data)
    except InvalidTag:
        raise SealBroken("a wrapped key does not open") from None


def seal(kek: bytes, kek_id: int, plaintext: bytes, place: bytes) -> bytes:
    """Seal a value of any length to its place (see `place_of`)."""
    dek, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE)
    wrapped = wrap(kek, dek, associated_data("wrap", (kek_id,)) + place)
    ciphertext = AESGCM(dek).encrypt(nonce, _pad(plaintext), _DATA + place)
    return _HEAD.pack(MAGIC, FORMAT, kek_id, wrapped[:_NONCE], wrapped[_NONCE:], nonce) + ciphertext


def rewrap(old_kek: bytes, new_kek: bytes, new_id: int, sealed: bytes, place: bytes) -> bytes:
    """The same sealed value with its data key under another KEK; the value itself is not opened. Raises SealBroken."""
    old_id = key_id(sealed)
    _, _, _, wrap_nonce, wrapped, nonce = _HEAD.unpack_from(sealed)
    dek = unwrap(old_kek, wrap_nonce + wrapped, associated_data("wrap", (old_id,)) + place)
    rewrapped = wrap(new_kek, dek, associated_data("wrap", (new_id,)) + place)
    return _HEAD.pack(MAGIC, FORMAT, new_id, rewrapped[:_NONCE], rewrapped[_NONCE:], nonce) + sealed[_HEAD.size :]


def key_id(sealed: bytes) -> int:
    """The id of the KEK that the sealed value names. Raises SealBroken when it is none."""
    try:
        if len(sealed) < SHORTEST or (len(sealed) - _HEAD.size - _TAG) % BUCKET:
            raise SealBroken("a sealed value has the wrong length")
        magic, form, kek_id, *_ = _HEAD.unpack_from(sealed)
    except TypeError:  # SQLite keeps text and numbers in a column of bytes, too, and what it holds is untrusted
        raise SealBroken("a sealed value is not of bytes") from None
    if magic != MAGIC or form != FORMAT:
        raise SealBroken("a sealed value has an unknown format")
    return int(kek_id)


@lru_cache(maxsize=64)
def _cipher(kek: bytes) -> AESGCM:
    """A KEK's cipher: there are few KEKs, in memory anyway, and each is used at every hand-over."""
    return AESGCM(kek)


def open_sealed(kek: bytes, sealed: bytes, place: bytes) -> bytes:
    """Open a value that was sealed to this place (see `place_of`) under this KEK. Raises SealBroken."""
    kek_id = key_id(sealed)
    _, _, _, wrap_nonce, wrapped, nonce = _HEAD.unpack_from(sealed)
    try:  # the data of both begins with a purpose and ends with the place
        dek = _cipher(kek).decrypt(wrap_nonce, wrapped, associated_data("wrap", (kek_id,)) + place)
    except InvalidTag:
        raise SealBroken("a wrapped key does not open") from None
    try:
        padded = AESGCM(dek).decrypt(nonce, sealed[_HEAD.size :], _DATA + place)
    except InvalidTag:
        raise SealBroken("a sealed value does not open") from None
    return _unpad(padded)


def _pad(plaintext: bytes) -> bytes:
    padded = plaintext + b"\x80"
    return padded + bytes(-len(padded) % BUCKET)


def _unpad(padded: bytes) -> bytes:
    end = padded.rstrip(b"\x00")
    if not end.endswith(b"\x80") or len(padded) - len(end) >= BUCKET:
        raise SealBroken("a sealed value has broken padding")
    return end[:-1]
