"""A connection that writes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """A connection that writes, as long as it is open. No other one has its number meanwhile, in no process."""

    number: int
