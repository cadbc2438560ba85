"""Tokens: `rc_<kind>_<accessor>_<256 random bits><CRC32>`, all of it in base62.

The kinds are `a` (agent), `b` (bootstrap), `i` (invitation), `p` (API) and `s` (session). The accessor names a token and may
be shown and logged. The CRC only catches typing errors before anything is looked up.
"""

import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from webapp.vault.secret import Secret

KINDS = frozenset("abips")

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ACCESSOR = 16
_SECRET = 43  # 62 ** 43 > 2 ** 256
_CRC = 6
_FORM = re.compile(rf"rc_([{''.join(sorted(KINDS))}])_([0-9A-Za-z]{{{_ACCESSOR}}})_[0-9A-Za-z]{{{_SECRET + _CRC}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that has the right form. Whether it is a valid one, only its MAC in the database says."""

    kind: str
    accessor: str
    text: Secret = field(repr=False)


def mint(kind: str) -> Token:
    """A new token of this kind."""
    if kind not in KINDS:
        raise ValueError(f"there is no token kind {kind}")
    accessor = "".join(secrets.choice(_ALPHABET) for _ in range(_ACCESSOR))
    body = f"rc_{kind}_{accessor}_{base62(secrets.randbits(256), _SECRET)}"
    return Token(kind, accessor, Secret((body + _crc(body)).encode("ascii")))


def parse(text: str, kind: str) -> Token | None:
    """The token in this text, unverified; None when it has not the form of its kind. Raises nothing."""
    form = _FORM.fullmatch(text)
    if form is None or form[1] != kind or _crc(text[:-_CRC]) != text[-_CRC:]:
        return None
    return Token(kind, form[2], Secret(text.encode("ascii")))


def base62(number: int, width: int) -> str:
    """The number in base62 (digits, upper case, lower case) with leading zeros up to this width."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(width, "0")


_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def _crc(text: str) -> str:
    rest, last = divmod(zlib.crc32(text.encode("ascii")), len(_PAIRS))
    first, middle = divmod(rest, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]
