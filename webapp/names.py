"""Names that people give: what may stand in one, and the key that it is unique and sorted by.

A name is NFC (Unicode Standard Annex #15), trimmed, and holds no control, bidirectional, zero-width or other
invisible character, so that no two names look alike and differ. Its key is the casefolded name, stored in
binary collation, so that every database engine agrees on order and uniqueness.
"""

import unicodedata
from dataclasses import dataclass

_REFUSED = {
    "Cc": "a control character",
    "Cf": "an invisible or bidirectional formatting character",
    "Cs": "half of a surrogate pair",
    "Cn": "a character that Unicode does not define",
    "Co": "a private-use character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""What is drawn as nothing although its category does not say so (Default_Ignorable_Code_Point, and the blank Braille cell)."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is shown, and the key that it is found, sorted and unique by."""

    text: str
    key: str


def parse_name(text: str, *, limit: int = 63) -> Name:
    """The name in this text, of 1 to `limit` characters. Raises ValueError with a sentence."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ValueError("Enter a name.")
    if len(name) > limit:
        raise ValueError(f"The name has {len(name)} characters. Use at most {limit}.")
    _refuse(name, "name", allowed="")
    return Name(name, key_of(name))


def parse_description(text: str, *, limit: int = 500) -> str:
    """The description in this text, of at most `limit` characters; line breaks may stand in it. Raises ValueError."""
    description = unicodedata.normalize("NFC", text).strip()
    if len(description) > limit:
        raise ValueError(f"The description has {len(description)} characters. Use at most {limit}.")
    _refuse(description, "description", allowed="\n\t")
    return description


def key_of(text: str) -> str:
    """The text for comparing without case (The Unicode Standard, section 3.13, D145), in NFC."""
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", folded).casefold())


def _refuse(text: str, what: str, allowed: str) -> None:
    for position, character in enumerate(text, 1):
        category = unicodedata.category(character)
        if character in allowed or (category not in _REFUSED and character not in _INVISIBLE and not _is_variation(character)):
            continue
        kind = _REFUSED.get(category, "an invisible character")
        raise ValueError(f"Character {position} of the {what} (U+{ord(character):04X}) is {kind}. Take it out.")


def _is_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
