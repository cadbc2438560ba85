"""The roles and their order."""

from itertools import product

import pytest

from webapp.roles import MEANINGS, ROLES, Role, is_at_most, lesser, role_of


def test_they_are_in_the_order_of_what_they_may() -> None:
    assert ROLES == ("viewer", "editor", "admin")
    assert set(MEANINGS) == set(ROLES)


@pytest.mark.parametrize(("role", "other"), list(product(ROLES, ROLES)))
def test_the_lesser_one_is_the_one_that_may_less(role: Role, other: Role) -> None:
    rank = {"viewer": 0, "editor": 1, "admin": 2}
    assert is_at_most(role, other) is (rank[role] <= rank[other])
    assert lesser(role, other) == min(role, other, key=rank.__getitem__)


@pytest.mark.parametrize("text", ["", "root", "Admin", "admin ", "viewe", "viewer\n"])
def test_what_is_no_role_is_none(text: str) -> None:
    assert role_of(text) is None
    assert [role_of(role.encode().decode()) for role in ROLES] == list(ROLES)
