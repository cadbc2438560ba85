"""What signed heads say of the audit log: which rows were there, and are not there any more, and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from webapp.audit.heads import Head, Last
from webapp.audit.retention import Cut
from webapp.database import Row
from webapp.names import printable

RESTORED = "store.restore"
"""The action of the first row after a restore."""

_ENDS_AT = re.compile(r"ends at row ([0-9]{1,18}) of chain (\S{1,64}) with MAC ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore: when (Unix milliseconds), and where each chain that the backup held ends in it."""

    at: int
    ends: Mapping[str, int]


@dataclass(slots=True)
class Seen:
    """What a walk over the rows has seen: each chain's last row, the MACs of the rows that heads name, and what restores say."""

    named: Mapping[str, Mapping[int, str]]
    lasts: dict[str, int] = field(default_factory=dict)
    macs: dict[tuple[str, int], str] = field(default_factory=dict)
    restores: list[Restore] = field(default_factory=list)

    def note(self, chain: str, row: Row) -> None:
        """A row that is as it was written."""
        if row["seq"] in self.named.get(chain, {}):
            self.macs[chain, row["seq"]] = row["mac"].hex()
        if row["action"] == RESTORED:
            found = [Last(each[2], int(each[1]), each[3]) for each in _ENDS_AT.finditer(row["detail"] or "")]
            self.restores.append(Restore(row["at"], {last.chain: last.seq for last in found}))


def ends_at(lasts: Sequence[Last]) -> str:
    """What the first row after a restore says of the chains that the backup held: its `detail`."""
    return "; ".join(f"the backup ends at row {last.seq} of chain {last.chain} with MAC {last.mac}" for last in lasts)


def named_by(heads: Sequence[Head]) -> dict[str, dict[int, str]]:
    """The MACs that heads name, by chain and number."""
    named: dict[str, dict[int, str]] = {}
    for last in (last for head in heads for last in head.chains):
        named.setdefault(last.chain, {})[last.seq] = last.mac
    return named


def problems(seen: Seen, cuts: Mapping[str, Cut], heads: Sequence[Head]) -> Iterator[str]:
    """A sentence for each chain whose rows are not those that a head names, unless the installation itself has said why."""
    for chain, macs in seen.named.items():
        last = seen.lasts.get(chain, 0)
        lost = []
        for seq, mac in sorted(macs.items()):
            found, named_at = seen.macs.get((chain, seq)), _naming(heads, chain, seq)
            if found is not None and found != mac:
                yield f"Row {seq:,} of chain {printable(chain)} is another one than the head of {_when(named_at)} names."
            elif found is None and seq > last and not _is_removed(chain, seq, cuts) and not _is_left_behind(seen, chain, seq, named_at):
                lost.append(seq)
        if lost:
            where = f"the head of {_when(_naming(heads, chain, lost[-1]))}"
            yield f"Rows {last + 1:,} to {lost[-1]:,} of chain {printable(chain)}, which {where} names, were cut off at the end."
    for chain, end in ((chain, end) for restore in seen.restores for chain, end in restore.ends.items()):
        if seen.lasts.get(chain, 0) < end and not _is_removed(chain, end, cuts):
            yield f"Chain {printable(chain)} ends before row {end:,}, with which it was restored."
    for chain, made in cuts.items():
        if chain not in seen.lasts:
            yield f"Chain {printable(chain)} is missing: its rows up to {made.seq:,} were removed, and the others kept."


def notes(seen: Seen, cuts: Mapping[str, Cut]) -> Iterator[str]:
    """What is missing, and is no tampering when there are no `problems`."""
    for chain, made in cuts.items():
        yield f"Rows up to {made.seq:,} of chain {printable(chain)} were removed on {_when(made.at)}, with a signed note."
    for restore in seen.restores:
        yield f"A backup was restored on {_when(restore.at)}."
        for chain, end in restore.ends.items():
            lost = max(seen.named.get(chain, {}), default=0)
            if lost > end:
                yield f"Rows {end + 1:,} to {lost:,} of chain {printable(chain)} were written after the backup, and are not in it."
    for chain, macs in seen.named.items():
        if chain not in seen.lasts and chain not in cuts:
            yield f"Chain {printable(chain)}, of {max(macs):,} rows, was begun after a backup that was restored, and is not in it."


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


def _naming(heads: Sequence[Head], chain: str, seq: int) -> int:
    """When the last of the heads that name this row was made."""
    return max(head.at for head in heads if any(last.chain == chain and last.seq == seq for last in head.chains))


def _when(at: int) -> str:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
