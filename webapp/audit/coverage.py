"""What signed heads say of the audit log: which rows were there, and are not there any more, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from webapp.audit.heads import Head
from webapp.audit.restores import Restore
from webapp.audit.retention import Cut
from webapp.clock import in_words
from webapp.database import Row
from webapp.names import printable

Named = Mapping[int, Mapping[str, int]]
"""Of a chain, the MACs that heads name, by the row's number; and when the last head was made that names it (Unix milliseconds)."""


@dataclass(slots=True)
class Seen:
    """What a walk over the rows has seen: each chain's last row, and the MACs of the rows that heads name."""

    named: Mapping[str, Named]
    restores: Sequence[Restore]
    lasts: dict[str, int] = field(default_factory=dict)
    macs: dict[tuple[str, int], str] = field(default_factory=dict)

    def note(self, chain: str, row: Row) -> None:
        """A row that is as it was written."""
        if row["seq"] in self.named.get(chain, {}):
            self.macs[chain, row["seq"]] = row["mac"].hex()


def named_by(heads: Sequence[Head]) -> dict[str, dict[int, dict[str, int]]]:
    """What heads name, by chain."""
    named: dict[str, dict[int, dict[str, int]]] = {}
    for head in heads:
        for last in head.chains:
            macs = named.setdefault(last.chain, {}).setdefault(last.seq, {})
            macs[last.mac] = max(head.at, macs.get(last.mac, 0))
    return named


def problems(seen: Seen, cuts: Mapping[str, Cut]) -> Iterator[str]:
    """A sentence for each chain whose rows are not those that a head names, unless the installation itself has said why."""
    for chain, named in seen.named.items():
        last, lost = seen.lasts.get(chain, 0), dict[int, int]()
        for seq, mac, named_at in ((seq, mac, named_at) for seq, macs in sorted(named.items()) for mac, named_at in macs.items()):
            if _is_removed(chain, seq, cuts) or _is_left_behind(seen, chain, seq, named_at):
                continue
            found = seen.macs.get((chain, seq))
            if found is not None and found != mac:
                yield f"Row {seq:,} of chain {printable(chain)} is another one than the head of {in_words(named_at)} names."
            elif found is None and seq > last:
                lost[seq] = named_at
        if lost:
            end = max(lost)
            where = f"which the head of {in_words(lost[end])} names"
            yield f"Rows {last + 1:,} to {end:,} of chain {printable(chain)}, {where}, were cut off at the end."
    for chain, end in ((chain, end) for restore in seen.restores for chain, end in restore.ends.items()):
        last = seen.lasts.get(chain, 0)
        if last < end and not _is_removed(chain, end, cuts):
            yield f"Chain {printable(chain)} ends before row {end:,}, with which it was restored."
        elif last > end:
            yield f"Chain {printable(chain)} goes on behind row {end:,}, with which it was restored."
    for chain, made in cuts.items():
        if chain not in seen.lasts:
            yield f"Chain {printable(chain)} is missing: its rows up to {made.seq:,} were removed, and the others kept."


def notes(seen: Seen, cuts: Mapping[str, Cut]) -> Iterator[str]:
    """What is missing, and is no tampering when there are no `problems`."""
    for chain, made in cuts.items():
        yield f"Rows up to {made.seq:,} of chain {printable(chain)} were removed on {in_words(made.at)}, with a signed note."
    for restore in seen.restores:
        yield f"A backup was restored on {in_words(restore.at)}."
        for chain, end in restore.ends.items():
            lost = max(seen.named.get(chain, {}), default=0)
            if lost > end:
                yield f"Rows {end + 1:,} to {lost:,} of chain {printable(chain)} were written after the backup, and are not in it."
    for chain, named in seen.named.items():
        if chain not in seen.lasts and chain not in cuts and seen.restores:
            yield f"Chain {printable(chain)}, of {max(named):,} rows, was begun after a backup that was restored, and is not in it."


def uncovered(seen: Seen, heads: Sequence[Head]) -> int | None:
    """How many rows no head covers yet; None without heads."""
    if not heads:
        return None
    return sum(max(0, last - max(seen.named.get(chain, {}), default=0)) for chain, last in seen.lasts.items())


def _is_removed(chain: str, seq: int, cuts: Mapping[str, Cut]) -> bool:
    return chain in cuts and seq <= cuts[chain].seq


def _is_left_behind(seen: Seen, chain: str, seq: int, named_at: int) -> bool:
    # A head of after the restore names what the backup held, and this has to be there.
    return any(named_at <= restore.at and restore.ends.get(chain, 0) < seq for restore in seen.restores)
