"""A secret in memory: something that cannot be printed, formatted or pickled by accident.

Python cannot wipe memory, and this does not pretend to. It only makes every accident loud.
"""

import hmac
from typing import NoReturn, SupportsIndex


class Secret:
    """Wraps bytes. Only `reveal` gives them out, so that a search for it finds every place where a secret leaves."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves: called as late as possible."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dictionary

    def __repr__(self) -> str:
        return "<Secret withheld>"

    def __str__(self) -> str:
        raise TypeError("a Secret has no text; reveal() gives its bytes")

    def __format__(self, spec: str) -> str:
        raise TypeError("a Secret cannot be formatted; reveal() gives its bytes")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")
