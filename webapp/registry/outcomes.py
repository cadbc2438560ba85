"""What became of pulls and checks, as a credential and an image show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webapp.registry.kinds import Kind

NO_KIND = "Failed"
"""Of an error that none of the kinds was recognised in."""


def kind_label(kind: str | None) -> str:
    """What a failure is called: its kind in the page's words, or "Failed"."""
    return Kind(kind).label if kind in list(Kind) else NO_KIND


@dataclass(frozen=True, slots=True)
class Pulls:
    """What agents said last of their pulls. Times are the hand-overs' (Unix milliseconds), None for never.

    Whatever is reported late has the time of its own hand-over, so that it does not hide what a later one came to. `replaced_at` is when
    a credential got the value that it has.
    """

    last_pulled_at: int | None = None
    last_failed_at: int | None = None
    last_failure_kind: str | None = None
    last_failed_agent: str | None = None
    replaced_at: int = field(default=0, compare=False)

    @property
    def failing(self) -> bool:
        """Whether the last of them failed. What came of a value that has been replaced since says nothing of the new one."""
        times = self.last_failed_at, self.last_pulled_at or 0, self.replaced_at
        if not all(isinstance(at, int) for at in times):  # the database keeps anything in any column
            return False
        failed, pulled, replaced = times
        return failed is not None and failed >= replaced and failed > pulled

    @property
    def failure(self) -> str:
        """What the last failure is called."""
        return kind_label(self.last_failure_kind)


def pulls_of(row: Mapping[str, Any]) -> Pulls:
    """The pulls in a row of activity; a credential's has `replaced_at`, too."""
    return Pulls(**{name: row[name] for name in Pulls.__dataclass_fields__ if name in row})


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: when (Unix milliseconds), of which reference, a kind and a sentence, and the manifest's digest."""

    at: int
    reference: str
    kind: Kind
    sentence: str
    digest: str | None

    @property
    def works(self) -> bool:
        """Whether an agent can expect the same to work."""
        return self.kind is Kind.WORKS
