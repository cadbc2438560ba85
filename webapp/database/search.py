"""Searching a stored name for a part of it, on every engine alike."""

from webapp.names import key_of

LAST_CHARACTER = "\U0010ffff"
"""Behind it nothing comes in binary collation: what begins with a key is not behind the key and this."""


def contains(query: str) -> str:
    """The pattern for `name_key LIKE :pattern ESCAPE '!'` that finds the query anywhere in a casefolded key."""
    key = key_of(query.strip())
    for special in "!%_":
        key = key.replace(special, "!" + special)
    return f"%{key}%"
