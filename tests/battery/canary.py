"""Secrets are planted, used and mistyped, and then looked for everywhere that they must not be: none is found.

`python -m tests.battery.canary --count 10` is the long form; a short one is in the suite. The search is proven as well: a secret that is
planted in each kind of place, in each form that it may have there, is found.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.battery.canary_story import Scene, tell
from tests.battery.places import PLACES, Find, Place, leave_a_core, search
from tests.real.canary import forms_of

CANARY = "Kanarie+7f3a/é<&=%\"9c'Zwitschert"
"""With all signs that are written otherwise in another form."""


@dataclass
class Findings:
    """How many secrets were planted, and bytes and files were searched; what was found; and how the proof of the search went."""

    planted: int
    used: int
    files: int
    size: int
    cores: int
    cores_possible: bool
    found: list[Find]
    proofs: int
    missed: list[str]


def run(rounds: int, *, forms: int | None = None) -> Findings:
    """Tell the story with so many rounds of secrets, search, and prove the search with so many forms in each place (all of them)."""
    with tempfile.TemporaryDirectory(prefix="battery-") as name, _cores_allowed():
        scene = Scene(Path(name) / "scene")
        scene.folder.mkdir()
        tell(scene, rounds)
        sizes = [len(content) for place in PLACES for _, content in place.contents(scene.folder)]
        empty = [place.name for place in PLACES if place.fill.__name__ != "<lambda>" and not any(place.contents(scene.folder))]
        assert not empty, f"nothing was there to be searched: {empty}"
        found = search(scene.folder, scene.planted)
        proofs, missed = prove(scene.folder, Path(name), forms)
        possible = leave_a_core(Path(name), b"")
        return Findings(len(scene.planted), scene.used, len(sizes), sum(sizes), scene.cores, possible, found, proofs, missed)


def prove(scene: Path, folder: Path, most: int | None, places: Sequence[Place] = PLACES) -> tuple[int, list[str]]:
    """Plant each form of a secret in each kind of place of a copy of the scene; returns how many, and which were not found."""
    chosen, missed, proofs = forms_of(CANARY)[:most], [], 0
    for place in places:
        for number, form in enumerate(chosen):
            copy = folder / "proof"
            shutil.copytree(scene / place.folder, copy / place.folder, ignore=shutil.ignore_patterns("*.sock"))
            place.plant(copy / place.folder, b"acme-bot:" + form + b"@")
            proofs += 1
            if not any(find.where.startswith(f"{place.name}:") for find in search(copy, {"planted": CANARY})):
                missed.append(f"form {number} in the {place.name}")
            shutil.rmtree(copy)
    return proofs, missed


@contextmanager
def _cores_allowed() -> Iterator[None]:
    """The system may write cores, so that it is the program that prevents them."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def main() -> int:
    """Run the long form; 1 when a secret was found, or a planted one was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.canary", description=__doc__)
    parser.add_argument("--count", type=int, default=10, help="rounds")
    options = parser.parse_args()
    started, found = time.monotonic(), run(options.count)
    print(
        f"{found.planted} secrets planted in {options.count} rounds ({time.monotonic() - started:.0f} s), {found.used} times handed to whom"
        f" they are for; searched {found.files:,} files, {found.size / 1e6:.1f} MB: {len(found.found)} found, {found.cores} cores left"
        f" ({'a process that prevents none leaves one here' if found.cores_possible else 'this system makes none'}); of"
        f" {found.proofs} planted for proof {found.proofs - len(found.missed)} found",
        *(f"found: {find.what} in {find.where}" for find in found.found[:20]),
        *(f"missed: {sentence}" for sentence in found.missed[:20]),
        sep="\n",
    )
    return 1 if found.found or found.missed or found.cores or not found.used else 0


if __name__ == "__main__":
    sys.exit(main())
