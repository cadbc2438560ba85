"""Names that people give: what may stand in one, and the key that it is unique and sorted by.

A name is NFC (Unicode Standard Annex #15), trimmed, and holds no control, bidirectional, zero-width or other
invisible character, so that no two names look alike only because one holds something that nobody sees. Its key is
the casefolded name, stored in binary collation, so that every database engine agrees on order and uniqueness.
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
"""General categories (The Unicode Standard, section 4.5). What Unicode does not define yet has no stable NFC and no stable casefold."""

INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)
"""What is drawn as nothing although its category does not say so: the other assigned characters of
Default_Ignorable_Code_Point (Unicode Character Database, DerivedCoreProperties.txt), and the blank Braille cell."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is shown, and the key that it is found, sorted and unique by."""

    text: str
    key: str


def parse_name(text: str, *, limit: int = 63) -> Name:
    """The name in this text, of 1 to `limit` characters (code points of its NFC form). Raises ValueError with a sentence."""
    name = _composed(text, limit, "name")
    if not name:
        raise ValueError("Enter a name.")
    _refuse_characters(name, "name", allowed="")
    return Name(name, key_of(name))


def parse_description(text: str, *, limit: int = 500) -> str:
    """The description in this text, of at most `limit` characters, maybe none; line breaks, made LF, and tabs may stand in it.

    Raises ValueError with a sentence.
    """
    description = _composed(text.replace("\r\n", "\n").replace("\r", "\n"), limit, "description")
    _refuse_characters(description, "description", allowed="\n\t")
    return description


def key_of(text: str) -> str:
    """The text for comparing without case: equal for two texts exactly when they are a canonical caseless match.

    That is D145 of The Unicode Standard, section 3.13, NFD(toCasefold(NFD(text))), then composed, which keeps what is
    equal equal and what differs different. The key of a key is that key.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _composed(text: str, limit: int, what: str) -> str:
    """The text trimmed and in NFC. Raises ValueError when it is longer than the limit."""
    trimmed = text.strip()
    # A character decomposes into 4 at most (UAX #15), so what is longer than that cannot come within the limit. Composing
    # it first to see would cost the square of its length when it is nothing but combining marks.
    composed = unicodedata.normalize("NFC", trimmed).strip() if len(trimmed) <= 4 * limit else trimmed
    if len(composed) > limit:
        raise ValueError(f"The {what} has {len(composed)} characters. Use at most {limit}.")
    return composed


def _refuse_characters(text: str, what: str, *, allowed: str) -> None:
    for position, character in enumerate(text, 1):
        category = unicodedata.category(character)
        if character in allowed or (category not in _REFUSED and character not in INVISIBLE):
            continue
        kind = _REFUSED.get(category, "an invisible character")
        raise ValueError(f"Character {position} of the {what} (U+{ord(character):04X}) is {kind}. Take it out.")


def printable(text: str) -> str:
    """What the database holds, on a terminal: whoever can write to it could put escapes there."""
    return "".join(character if character.isprintable() else "?" for character in text)
