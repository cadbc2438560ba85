"""A hash over a table's rows: the same only for the same rows."""

from itertools import combinations

import pytest

from webapp.database.catalogue import Column, Table
from webapp.database.row_hash import RowHash, hash_of_all


def hash_of(*rows: tuple[object, ...], table: str = "a", column: str = "x") -> RowHash:
    columns = tuple(Column(name, "TEXT", required=False) for name in (column, "y"))
    digest = RowHash(Table(table, columns, ("x",), frozenset()))
    digest.add(rows)
    return digest


def test_no_two_contents_have_the_same_hash() -> None:
    hashes = [
        hash_of(),
        hash_of((None, None)),
        hash_of(("", "")),
        hash_of((b"", b"")),
        hash_of((1, 23)),
        hash_of((12, 3)),
        hash_of((-1, 23)),
        hash_of(("1", 23)),
        hash_of(("ab", "c")),
        hash_of(("a", "bc")),
        hash_of((b"ab", "c")),
        hash_of(("é", "c")),
        hash_of(("e\u0301", "c")),
        hash_of(("a", "b"), ("c", "d")),
        hash_of(("c", "d"), ("a", "b")),
        hash_of(("ab", "c"), table="b"),
        hash_of(("ab", "c"), column="z"),
    ]
    assert [pair for pair in combinations([each.hexdigest for each in hashes], 2) if pair[0] == pair[1]] == []


def test_it_does_not_depend_on_how_many_rows_are_added_at_a_time() -> None:
    digest = hash_of(("a", 1))
    digest.add([("b", 2), ("c", 3)])
    whole = hash_of(("a", 1), ("b", 2), ("c", 3))
    assert (digest.hexdigest, digest.rows) == (whole.hexdigest, 3)
    assert hash_of_all([("a", digest), ("b", hash_of())]) == hash_of_all([("b", hash_of()), ("a", whole)])
    assert hash_of_all([("a", digest), ("b", hash_of())]) != hash_of_all([("a", hash_of()), ("b", digest)])


def test_what_no_column_holds_is_refused() -> None:
    for value in (1.5, True, ["a"]):
        with pytest.raises(TypeError):
            hash_of((value, None))
