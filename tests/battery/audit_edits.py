"""Whatever somebody who owns the database does to the audit log, `audit verify` finds it.

`python -m tests.battery.audit_edits --count 1000` is the long form; a short one is in the suite. What was cut off at the very end fits, and
shows only against a head that was kept elsewhere: that is what the second one of JUDGES has.
"""

import argparse
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from tests.battery.furnished import Furnished, furnished, in_a_loop
from tests.battery.kept_open import loop
from tests.battery.row_edits import EDITS
from tests.battery.tampering import Cell, cells, loosen, owner, put_back
from webapp.audit.heads import Head, current, line_of, parse_line
from webapp.audit.verification import PAGE, verify

ROWS = 2 * PAGE + 37
"""So that the log is looked at in three pages."""

Problems = tuple[str, ...]


async def verified(house: Furnished) -> Problems:
    """What `audit verify` says."""
    return (await verify(house.store.database, house.store.vault, lambda done, total: None)).problems


KEPT: dict[str, Head] = {}
"""The head that was kept, by installation."""


async def keep_head(house: Furnished) -> None:
    """Keep a signed head of the log as it is, as a line that is read again."""
    line = line_of(await current(house.store.database, house.store.vault, house.store.clock), house.store.vault)
    KEPT[house.store.vault.instance_id] = parse_line(line, house.store.vault)


async def verified_with_head(house: Furnished) -> Problems:
    """What `audit verify` says with that head."""
    heads = [KEPT[house.store.vault.instance_id]]
    return (await verify(house.store.database, house.store.vault, lambda done, total: None, heads)).problems


async def nothing(house: Furnished) -> None:
    """There is nothing to keep."""


@dataclass(frozen=True)
class Judge:
    """Looks at the log, and says what does not fit; `keep` has kept something of it elsewhere before, such as a signed head.

    `to_the_end` is one who finds a cut at the end, too.
    """

    name: str
    look: Callable[[Furnished], Coroutine[None, None, Problems]]
    keep: Callable[[Furnished], Coroutine[None, None, None]] = nothing
    to_the_end: bool = False


JUDGES = [Judge("verify", verified), Judge("verify with a head", verified_with_head, keep_head, to_the_end=True)]


@dataclass
class Findings:
    """How many edits there were, by kind; the cuts at the end among them; and sentences about those that nobody found."""

    edits: Counter[str] = field(default_factory=Counter)
    tail_cuts: int = 0
    missed: list[str] = field(default_factory=list)


def run(count: int, seed: int, rows: int = ROWS) -> Findings:
    """Make so many edits and some cuts at the end, one at a time, half of them in a table without keys and constraints.

    Untouched, both are whole.
    """
    house, chance, findings = furnished(), random.Random(seed), Findings()  # noqa: S311  not a secret
    try:
        in_a_loop(house, rows, seed)
        for judge in JUDGES:
            loop().run(judge.keep(house))
        with owner(house.opened) as connection:
            for loose in (False, True):
                if loose:
                    loosen(connection, "audit_log")
                before = _log(connection)
                while findings.edits.total() - findings.tail_cuts < (count if loose else count // 2):
                    _edit(house, connection, chance, before, findings)
                assert [_problems(house, judge) for judge in JUDGES] == [()] * len(JUDGES), "put back, the log is whole"
    finally:
        house.opened.end()
    return findings


def _edit(
    house: Furnished, connection: sqlite3.Connection, chance: random.Random, before: list[tuple[Cell, ...]], findings: Findings
) -> None:
    name = chance.choice([*EDITS, *["change"] * (4 if "change" in EDITS else 0)])
    connection.execute("BEGIN IMMEDIATE")
    try:
        EDITS[name](connection, chance)
    except sqlite3.IntegrityError:
        connection.execute("ROLLBACK")
        return  # the table does not take it
    connection.execute("COMMIT")
    after = _log(connection)
    if after == before:
        return
    findings.edits[name] += 1
    cut = after == before[: len(after)]
    findings.tail_cuts += cut
    for judge in JUDGES:
        problems = _problems(house, judge)
        if not problems and (judge.to_the_end or not cut):
            findings.missed.append(f"{judge.name} finds nothing: {name}, {_difference(before, after)}")
        elif problems and problems[0].startswith(FELL):
            findings.missed.append(f"{judge.name} {problems[0]}: {name}, {_difference(before, after)}")
    put_back(connection, "audit_log", before)


FELL = "fell over"


def _problems(house: Furnished, judge: Judge) -> Problems:
    try:
        return loop().run(judge.look(house))
    except Exception as error:
        return (f"{FELL} ({type(error).__name__}: {error})",)


def _log(connection: sqlite3.Connection) -> list[tuple[Cell, ...]]:
    return cells(connection, "audit_log", "chain, seq, rowid")


def _difference(before: list[tuple[Cell, ...]], after: list[tuple[Cell, ...]]) -> str:
    new = [row for row in after if row not in before]
    return f"{len(before)} rows before, {len(after)} after; new: {new[:1]}"


def main() -> int:
    """Run the long form; 1 when an edit was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.audit_edits", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    found = run(options.count, options.seed)
    to_the_end = any(judge.to_the_end for judge in JUDGES)
    judged = found.edits.total() - (0 if to_the_end else found.tail_cuts)
    cuts = "only a head finds" if to_the_end else "nobody looks for"
    kinds = ", ".join(f"{number} {name}" for name, number in sorted(found.edits.items()))
    print(
        f"{found.edits.total():,} edits of a log of {ROWS} rows (seed {options.seed}; {kinds}): {judged - len(found.missed):,} of"
        f" {judged:,} found; {found.tail_cuts} were only cuts at the end, which {cuts}",
        *found.missed[:20],
        sep="\n",
    )
    return 1 if found.missed else 0


if __name__ == "__main__":
    sys.exit(main())
