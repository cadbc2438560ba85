"""A history of writes and reads of versioned registers, and whether one order explains it in which every read is up to date.

Each register has one writer, whose values are 1, 2, 3 …; 0 is what was there before. So the histories that are linearisable (Herlihy and
Wing, 1990) are those in which no read is behind a write that was acknowledged before it began, none is ahead of every write that had begun
when it ended, and none is behind another read that had ended before it began.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass
class Write:
    """A write of a register. Times are seconds of one clock; `acknowledged` is None when no answer came: it may have happened or not."""

    register: str
    value: int
    began: float
    acknowledged: float | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What a read of a register answered."""

    register: str
    value: int
    began: float
    ended: float


def violations(writes: Iterable[Write], reads: Iterable[Read]) -> list[str]:
    """A sentence for each read that no order explains."""
    of_writes: dict[str, list[Write]] = defaultdict(list)
    of_reads: dict[str, list[Read]] = defaultdict(list)
    for write in writes:
        of_writes[write.register].append(write)
    for read in reads:
        of_reads[read.register].append(read)
    return [sentence for register, several in of_reads.items() for sentence in _of_register(of_writes[register], several)]


def _of_register(writes: list[Write], reads: list[Read]) -> Iterator[str]:
    acknowledged = sorted((write.acknowledged, write.value) for write in writes if write.acknowledged is not None)
    ended = sorted((read.ended, read.value) for read in reads)
    began = {write.value: write.began for write in writes}
    latest, seen, position, before = 0, 0, 0, 0
    for read in sorted(reads, key=lambda one: one.began):
        while position < len(acknowledged) and acknowledged[position][0] < read.began:
            latest, position = max(latest, acknowledged[position][1]), position + 1
        while before < len(ended) and ended[before][0] < read.began:
            seen, before = max(seen, ended[before][1]), before + 1
        if read.value < latest:
            yield f"{read.register}: {read.value} was read at {read.began:.6f}, after {latest} had been acknowledged"
        if read.value < seen:
            yield f"{read.register}: {read.value} was read at {read.began:.6f}, after {seen} had been read"
        if read.value > 0 and (read.value not in began or began[read.value] > read.ended):
            yield f"{read.register}: {read.value} was read at {read.began:.6f}, before anybody wrote it"
