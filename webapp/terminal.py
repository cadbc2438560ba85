"""A command of the command line as a process: what it does first, and how it shows how far it is."""

import sys

from webapp.command import Progress, unseen
from webapp.log import set_up_logging
from webapp.settings import Settings
from webapp.vault.hygiene import forbid_core_dumps


def begin_command(settings: Settings) -> None:
    """No core dumps, and a log of warnings only, unless more is asked for: what a command says, it says on standard output."""
    forbid_core_dumps()
    set_up_logging("warning" if settings.log_level == "info" else settings.log_level, settings.log_format)


def progress_shown() -> Progress:
    """A bar where standard error is a terminal, and nothing elsewhere."""
    return progress_bar if sys.stderr.isatty() else unseen


def progress_bar(done: int, total: int) -> None:
    """A bar on the terminal, written over itself, that goes when all is done."""
    width = 40
    share = done / total if total else 1.0
    text = f"[{'#' * int(width * share):{width}}] {done:,} of {total:,}"
    sys.stderr.write("\r\x1b[K" + (text if done < total else ""))
    sys.stderr.flush()
