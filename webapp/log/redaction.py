"""The last line of defence: nothing that is logged should hold a secret, and what has the shape of one is taken out."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict, WrappedLogger

_WITHHELD = "[withheld]"

# The beginning of a name has a limit, or the time for a text like `a-a-a-…` would be the square of its length.
_SECRET_NAME = r"[A-Za-z_.-]{0,64}(?:token|password|passwd|passphrase|secret|private_key|session|_auth|service_account_key)"  # noqa: S105  a pattern

_REDACTIONS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), _WITHHELD),
    # A header: `Authorization: Basic …`, or in the repr of a mapping or of a pair.
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*)(b?(['\"])(?:\\.|(?!\4).)*\4|[^\r\n]*)"),
        rf"\1\2{_WITHHELD}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}"), rf"\1 {_WITHHELD}"),
    # All kinds of token; the accessor, which may be logged, stays.
    (re.compile(r"(?:\b|(?<=%[0-9A-Fa-f]{2}))rc_([a-z])_([0-9A-Za-z]{16}_)?[0-9A-Za-z_%-]+"), rf"rc_\1_\2{_WITHHELD}"),
    # `name=value`, in a query or as Python shows an object.
    (re.compile(rf"(?i)\b({_SECRET_NAME})=(?!=)(?:b?(['\"])(?:\\.|(?!\2).)*\2|[^&;\s'\"]+)"), rf"\1={_WITHHELD}"),
    (re.compile(rf"(?i)(['\"]{_SECRET_NAME}['\"]\s*[:,]\s*)b?(['\"])(?:\\.|(?!\2).)*\2"), rf"\1{_WITHHELD}"),
    (re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s/@:'\"]*:)[^\s/@'\"]+@"), rf"\1{_WITHHELD}@"),
)

_NAME = re.compile(rf"(?i)(?:{_SECRET_NAME}|(?:proxy-)?authorization|(?:set-)?cookie)s?")

_PLAIN = (int, float, bool, type(None))

_DEEPEST = 6
"""How far into what holds other things is looked; what is deeper is not logged."""


def redact(text: str) -> str:
    """The text without anything that has the shape of a token, a password or a private key."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The record without secrets, as a processor of structlog: what has the name of one is withheld, all other values are redacted.

    What it makes is text, numbers, lists and mappings; anything else is turned into text.
    """
    return _clean_mapping(event, 0)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether what has this name in a record is withheld, whatever it is."""
    return _NAME.fullmatch(name) is not None


def _clean_mapping(value: Mapping[Any, object], depth: int) -> dict[str, Any]:
    return {redact(str(name)): _WITHHELD if is_secret_name(str(name)) else _clean(each, depth) for name, each in value.items()}


def _clean(value: object, depth: int) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return redact(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if depth == _DEEPEST:
            return _WITHHELD
        if isinstance(value, Mapping):
            return _clean_mapping(value, depth + 1)
        return [_clean(each, depth + 1) for each in value]
    try:
        return redact(str(value))
    except Exception as error:
        return f"{type(value).__name__} that cannot be shown ({type(error).__name__})"
