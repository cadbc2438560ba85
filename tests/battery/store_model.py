"""The store's repositories against plain dictionaries: whatever is done in whatever order, both say the same.

`python -m tests.battery.store_model --count 10000` is the long form; a short one is in the suite.
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.battery.agent_rules import AgentRules, HouseRules, ImageRules
from tests.battery.machine import Machine
from tests.battery.model import TEMPLATES
from tests.battery.value_rules import CredentialRules, ValueRules
from webapp import rotation
from webapp.names import parse_name
from webapp.secrets.named_value import parse_value_name

STEPS = 50

CHUNK = 250
"""Sequences of one run of Hypothesis, which begins each from nothing: with other chances than the one before."""

Told = tuple[int, Counter[tuple[str, str]], str]
"""How many sequences there were, what was done in them and how it ended, and the first difference ("" for none)."""


class StoreMachine(CredentialRules, ValueRules, ImageRules, AgentRules, HouseRules):
    """All rules together. Most sequences begin in a house in which something can be handed over, and some in an empty one."""

    @initialize(furnished=st.integers(0, 3), template=st.sampled_from(list(TEMPLATES)))
    def move_in(self, furnished: int, template: str | None) -> None:
        if not furnished:
            return
        self.add_credential(parse_name("ghcr"), "ghcr.io", "password")
        for store, name in TEMPLATES[template]:
            self.add_value(store, parse_value_name(name))
        self.add_image_for_a_credential(parse_name("ubuntu"), 0, template)
        self.choose_default(0, 0)
        for number in range(furnished):
            self.enrol(parse_name(f"rack{number}"))


def run(sequences: int, seeded: int, *, shrink: bool = True) -> Told:
    """Run so many sequences. Hypothesis makes a difference as short as it can before it tells, and prints the steps that lead to it."""
    Machine.sequences = 0
    Machine.outcomes.clear()
    pause, rotation.PAUSE = rotation.PAUSE, 0.0  # it is there for hand-overs of others
    chosen = settings(
        max_examples=sequences,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(seeded)(StoreMachine), settings=chosen)
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        return Machine.sequences, Counter(Machine.outcomes), "\n".join([f"{type(error).__name__}: {error}", *notes])
    finally:
        rotation.PAUSE = pause
    return Machine.sequences, Counter(Machine.outcomes), ""


def _job(work: tuple[int, int]) -> Told:
    return run(*work)


def main() -> int:
    """Run the long form; 1 when the store and the model differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.store_model", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="sequences")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--verbose", action="store_true", help="say how often each thing was done, and how it ended")
    options = parser.parse_args()
    started, results = time.monotonic(), list[Told]()
    shares = [min(CHUNK, options.count - begun) for begun in range(0, options.count, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for result in pool.imap_unordered(_job, [(share, options.seed + number) for number, share in enumerate(shares)]):
            results.append(result)
            if sys.stderr.isatty() or options.verbose:
                print(f"{sum(told[0] for told in results):,} sequences, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        pool.close()
        pool.join()  # so that each takes its folder away
    differences = [difference for _, _, difference in results if difference]
    outcomes = sum((result[1] for result in results), Counter[tuple[str, str]]())
    differences = [difference for _, _, difference in results if difference]
    print(
        f"{sum(result[0] for result in results):,} sequences of at most {STEPS} steps, {outcomes.total():,} operations that"
        f" ended in {len(outcomes)} ways (seed {options.seed}, {time.monotonic() - started:.0f} s): {len(differences)} differences",
        *(f"{number:9,}  {what}: {word or 'done'}" for (what, word), number in sorted(outcomes.items()) if options.verbose),
        *differences,
        sep="\n",
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
