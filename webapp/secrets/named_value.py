"""Named values for machine configuration: a secret is sealed and write-only, a variable is plain text."""

import re
from dataclasses import dataclass

from webapp.names import Name
from webapp.vault import SealContext

MOST_NAME = 63
MOST_VALUE = 64 * 1024
"""Bytes of UTF-8."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Kind:
    """Secrets or variables: what they are called, and where they are."""

    noun: str
    plural: str
    sealed: bool
    icon: str

    @property
    def table(self) -> str:
        """Their table; its name is what templates of user data say, too."""
        return self.plural

    @property
    def path(self) -> str:
        """The address of their list."""
        return f"/{self.plural}"

    @property
    def title(self) -> str:
        """The heading of their list."""
        return self.plural.capitalize()


SECRET = Kind("secret", "secrets", sealed=True, icon="seal")
VARIABLE = Kind("variable", "variables", sealed=False, icon="braces")
KINDS = (SECRET, VARIABLE)


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A secret or a variable as its row shows it. Times are Unix milliseconds; `images` is how many images use it.

    `value` is a variable's text. Of a secret it is always None: no statement that makes one of these reads what is sealed.
    """

    id: str
    name: str
    description: str
    value: str | None
    version: int
    updated_by: str
    replaced_at: int
    replaced_by: str
    images: int


@dataclass(frozen=True, slots=True)
class ValueFields:
    """What a member may set, parsed; the value is handed over beside it."""

    name: str
    name_key: str
    description: str


def parse_value_name(text: str) -> Name:
    """The name in this text: letters (a to z), digits and underscores, beginning with a letter. Raises ValueError with a sentence."""
    name = text.strip()
    if not name:
        raise ValueError("Enter a name, such as DB_PASSWORD.")
    if len(name) > MOST_NAME:
        raise ValueError(f"The name has {len(name)} characters. Use at most {MOST_NAME}.")
    if not _NAME.fullmatch(name):
        raise ValueError("A name has letters (a to z), digits and underscores, and begins with a letter, such as DB_PASSWORD.")
    return Name(name, name.lower())


def check_value(value: bytes) -> None:
    """Refuse what cannot stand in user data. Raises ValueError with a sentence that repeats nothing of the value."""
    if len(value) > MOST_VALUE:
        raise ValueError(f"The value has {len(value)} bytes. Use at most {MOST_VALUE}.")
    if b"\0" in value:
        raise ValueError("The value holds a NUL byte, which user data cannot. Encode it as base64, and enter that.")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        position = error.start + 1
    else:
        return
    # Raised out here, so that no context carries the value along.
    raise ValueError(f"The value is not UTF-8: byte {position} is not a part of it. Encode it as base64, and enter that.")


def seal_context(account_id: str, record_id: str, secret_version: int) -> SealContext:
    """The place that a secret's value is sealed to: its row and its version."""
    return SealContext(account_id, SECRET.table, record_id, "sealed", secret_version)
