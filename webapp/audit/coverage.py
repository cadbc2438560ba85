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


@dataclass(slots=True)
class Seen:
    """What a walk over the rows has seen: each chain's last row, the MACs of the rows that heads name, and what restores say."""

    named: Mapping[str, Mapping[int, str]]
    lasts: dict[str, int] = field(default_factory=dict)
    macs: dict[tuple[str, int], str] = field(default_factory=dict)
    restores: list[tuple[int, Last]] = field(default_factory=list)

    def note(self, chain: str, row: Row) -> None:
        """A row that is as it was written."""
        if row["seq"] in self.named.get(chain, {}):
            self.macs[chain, row["seq"]] = row["mac"].hex()
        if row["action"] == RESTORED:
            found = _ENDS_AT.finditer(row["detail"] or "")
            self.restores += [(row["at"], Last(each[2], int(each[1]), each[3])) for each in found]


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
            found = seen.macs.get((chain, seq))
            if found is not None and found != mac:
                yield f"Row {seq:,} of chain {printable(chain)} is another one than the head of {_when(_naming(heads, chain, seq))} names."
            elif found is None and seq > last and not _is_removed(chain, seq, cuts) and not _is_left_behind(seen, chain, seq):
                lost.append(seq)
        if lost:
            where = f"the head of {_when(_naming(heads, chain, lost[-1]))}"
            yield f"Rows {last + 1:,} to {lost[-1]:,} of chain {printable(chain)}, which {where} names, were cut off at the end."
    for _, end in seen.restores:
        if seen.lasts.get(end.chain, 0) < end.seq and not _is_removed(end.chain, end.seq, cuts):
            yield f"Chain {printable(end.chain)} ends before row {end.seq:,}, with which it was restored."
    for chain, made in cuts.items():
        if chain not in seen.lasts:
            yield f"Chain {printable(chain)} is missing: its rows up to {made.seq:,} were removed, and the others kept."


def notes(seen: Seen, cuts: Mapping[str, Cut]) -> Iterator[str]:
    """What is missing, and is no tampering."""
    for chain, made in cuts.items():
        yield f"Rows up to {made.seq:,} of chain {printable(chain)} were removed on {_when(made.at)}, with a signed note."
    for at, last in seen.restores:
        lost = max([*seen.named.get(last.chain, {}), last.seq])
        left = f" Rows {last.seq + 1:,} to {lost:,} of it were left behind." if lost > last.seq else ""
        yield f"A backup was restored on {_when(at)}: chain {printable(last.chain)} ends at row {last.seq:,}.{left}"


def uncovered(seen: Seen, heads: Sequence[Head]) -> int | None:
    """How many rows no head covers yet; None without heads."""
    if not heads:
        return None
    return sum(max(0, last - max(seen.named.get(chain, {}), default=0)) for chain, last in seen.lasts.items())


def _is_removed(chain: str, seq: int, cuts: Mapping[str, Cut]) -> bool:
    return chain in cuts and seq <= cuts[chain].seq


def _is_left_behind(seen: Seen, chain: str, seq: int) -> bool:
    return any(last.chain == chain and last.seq < seq for _, last in seen.restores)


def _naming(heads: Sequence[Head], chain: str, seq: int) -> int:
    return next(head.at for head in heads if any(last.chain == chain and last.seq == seq for last in head.chains))


def _when(at: int) -> str:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
