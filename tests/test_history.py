"""The checker of histories finds what it is there to find."""

import pytest

from tests.real.history import Read, Write, violations

WRITES = [Write("r", 1, 1.0, 2.0), Write("r", 2, 3.0, None), Write("r", 3, 5.0, 6.0)]


@pytest.mark.parametrize(
    "reads",
    [
        [Read("r", 0, 0.0, 0.5)],
        [Read("r", 0, 0.5, 9.0)],  # it began before the first write was acknowledged
        [Read("r", 1, 0.5, 1.5), Read("r", 1, 1.4, 1.6), Read("r", 0, 1.4, 1.6)],
        [Read("r", 1, 3.5, 4.0), Read("r", 2, 3.5, 4.0)],
        [Read("r", 1, 4.5, 4.6), Read("r", 2, 4.7, 4.8), Read("r", 3, 6.5, 6.6)],
        [Read("r", 1, 5.5, 6.5)],  # nobody acknowledged the second write, nor the third one yet
        [Read("other", 0, 9.0, 9.1)],
    ],
)
def test_what_one_order_explains_is_right(reads: list[Read]) -> None:
    assert violations(WRITES, reads) == []


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([Read("r", 0, 2.5, 2.6)], "after 1 had been acknowledged"),
        ([Read("r", 2, 6.1, 6.2)], "after 3 had been acknowledged"),
        ([Read("r", 2, 3.2, 3.4), Read("r", 1, 3.5, 3.6)], "after 2 had been read"),
        ([Read("r", 3, 4.0, 4.9)], "before anybody wrote it"),
        ([Read("r", 4, 9.0, 9.1)], "before anybody wrote it"),
        ([Read("other", 1, 9.0, 9.1)], "before anybody wrote it"),
    ],
)
def test_what_no_order_explains_is_told(reads: list[Read], words: str) -> None:
    assert [words in sentence for sentence in violations(WRITES, reads)] == [True]
