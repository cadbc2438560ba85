"""What a command is: what is to be done, what came of it, and why it was not done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from webapp.errors import AppError
from webapp.vault import Secret

DONE, REFUSED, FAULT, TRY_LATER = 0, 1, 70, 75
"""Exit statuses, as sysexits.h has them: 70 is EX_SOFTWARE, 75 is EX_TEMPFAIL."""

Progress = Callable[[int, int], None]
"""Is told how many are done, and how many there are."""


def unseen(done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done: the command's name and arguments, and what was given on standard input, if anything was."""

    name: str
    arguments: Mapping[str, str | int | bool] = field(default_factory=dict)
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit status and what is to be printed. `stdout` may hold a token, so that it is never shown otherwise."""

    exit: int
    stdout: str = field(default="", repr=False)
    stderr: str = ""


class Refusal(AppError):
    """The command cannot be done, for the reason that the text gives."""


def lines(*sentences: str) -> str:
    """Sentences, each on a line of its own."""
    return "".join(f"{sentence}\n" for sentence in sentences)


def said(sentence: str) -> str:
    """A sentence on standard error, which says whose it is."""
    return f"registry-credentials: {sentence}\n"
