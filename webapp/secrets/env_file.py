"""A .env file, read as dotenv has it: `export`, quotes and comments are understood, `${…}` stays as it is.

No message here repeats a value, or a line: what does not parse may well be a value.
"""

import io
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dotenv.parser import Binding, parse_stream

from webapp.names import Name
from webapp.secrets.named_value import check_value, parse_value_name
from webapp.vault import Secret

MOST_BYTES = 256 * 1024
MOST_ENTRIES = 1000
_BLANKS = re.compile(r"[^\S\n]{101}")
_KEY = re.compile(r"(?m)^[^'\"\n]*-----BEGIN ")
_SHOWN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")

MOST_REFUSED = 100
"""Beyond this nothing more is read: whatever it is, it is no .env file."""


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """A name with its value, and the line that it begins on."""

    line: int
    name: Name
    value: Secret


@dataclass(frozen=True, slots=True)
class EnvRefusal:
    """A line that is left out: the name as far as there is one, and why."""

    line: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What is in a .env file, in its order."""

    entries: tuple[EnvEntry, ...]
    refused: tuple[EnvRefusal, ...]


def parse_env_file(content: bytes, *, allow_empty: bool = True) -> EnvFile:
    """The names and values in a .env file of at most 256 KiB and 1,000 names; empty values only where they are allowed.

    A name that is there twice is refused in both places, since it is not sure which value is meant. Raises ValueError with a sentence
    when the file as a whole is none.
    """
    if not content.strip():
        raise ValueError("There is nothing in it. Paste the lines of a .env file, such as DB_PASSWORD=…, or choose the file.")
    if len(content) > MOST_BYTES:
        raise ValueError(f"It has {len(content)} bytes. Import at most {MOST_BYTES // 1024} KiB at a time.")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("It begins with a byte-order mark. Save it as UTF-8 without one.")
    text = _text(content)
    _refuse_what_is_slow_or_a_key(text)
    if "\0" in text:
        raise ValueError(f"Line {text[: text.index(chr(0))].count(chr(10)) + 1}: there is a NUL byte, which a .env file cannot hold.")
    entries: list[EnvEntry] = []
    refused: list[EnvRefusal] = []
    for line, binding in _bindings(text):
        try:
            entries.append(_entry(line, binding, allow_empty=allow_empty))
        except ValueError as error:
            refused.append(EnvRefusal(line, _shown(binding), str(error)))
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"It has more than {MOST_ENTRIES} names. Import at most {MOST_ENTRIES} at a time.")
        if len(refused) > MOST_REFUSED:
            raise ValueError(f"More than {MOST_REFUSED} lines are no NAME=value, the first at line {refused[0].line}. Is it a .env file?")
    once, twice = _told_apart(entries)
    return EnvFile(tuple(once), tuple(sorted([*refused, *twice], key=lambda refusal: refusal.line)))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        position = content[: error.start].count(b"\n") + 1
    # Raised out here, so that no context carries the content along.
    raise ValueError(f"Line {position} is not UTF-8. Save the file as UTF-8.")


def _refuse_what_is_slow_or_a_key(text: str) -> None:
    """Refuse long runs of blanks, which dotenv takes the square of their length for, and a key without quotes.

    A PEM block's lines would be read as names, and names are shown. Raises ValueError.
    """
    for pattern, reason in (
        (_BLANKS, "there are more than 100 blanks in a row. Take them out."),
        (_KEY, 'a value of several lines, such as a key, stands in quotes: NAME="-----BEGIN …".'),
    ):
        if found := pattern.search(text):
            raise ValueError(f"Line {text[: found.start()].count(chr(10)) + 1}: {reason}")


def _bindings(text: str) -> Iterable[tuple[int, Binding]]:
    """What the lines hold, but blank lines and comments, with the line on which it begins."""
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original.string
        # A binding's text begins with the blank lines before it.
        line = binding.original.line + original[: len(original) - len(original.lstrip())].count("\n")
        if binding.key is not None or binding.error:
            yield line, binding


def _entry(line: int, binding: Binding, *, allow_empty: bool) -> EnvEntry:
    if binding.error or binding.key is None:
        raise ValueError("This is no NAME=value, or a quote in it does not end.")
    name = parse_value_name(binding.key)
    if binding.value is None:
        raise ValueError("There is no value: it is written NAME=value.")
    if not binding.value and not allow_empty:
        raise ValueError("The value is empty.")
    value = binding.value.encode("utf-8", "surrogatepass")
    check_value(value)
    return EnvEntry(line, name, Secret(value))


def _told_apart(entries: list[EnvEntry]) -> tuple[list[EnvEntry], list[EnvRefusal]]:
    lines: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        lines[entry.name.key].append(entry.line)
    once = [entry for entry in entries if len(lines[entry.name.key]) == 1]
    twice = [
        EnvRefusal(entry.line, entry.name.text, f"This name is on lines {_listed(lines[entry.name.key])}. Keep one of them.")
        for entry in entries
        if len(lines[entry.name.key]) > 1
    ]
    return once, twice


def _listed(lines: list[int]) -> str:
    shown = [str(line) for line in lines[:10]]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _shown(binding: Binding) -> str:
    """The name, where there is one: a line without a value may itself be a piece of one."""
    return binding.key if binding.key is not None and binding.value is not None and _SHOWN.fullmatch(binding.key) else ""
