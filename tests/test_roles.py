"""The roles: their order, the lesser of two, and when an account would lack an admin."""

from typing import cast

import pytest

from webapp.roles import MEANINGS, ROLES, Role, is_at_most, keeps_an_admin, lesser, role_of, stops_inviting


def test_they_stand_in_their_order_and_each_says_what_it_may() -> None:
    assert ROLES == ("viewer", "editor", "admin")
    assert set(MEANINGS) == set(ROLES)


@pytest.mark.parametrize("text", ROLES)
def test_a_role_is_found_by_its_name(text: str) -> None:
    assert role_of(text) == text


@pytest.mark.parametrize("text", ["", "root", "Admin", " admin", "adminn", "view"])
def test_nothing_else_is_a_role(text: str) -> None:
    assert role_of(text) is None


def test_what_is_no_role_is_below_all_of_them() -> None:
    root = cast("Role", "root")
    for role in ROLES:
        assert is_at_most(root, role)
        assert not is_at_most(role, root)
        assert lesser(root, role) == lesser(role, root) == root


@pytest.mark.parametrize(
    ("role", "other", "at_most"),
    [
        ("viewer", "viewer", True),
        ("viewer", "editor", True),
        ("viewer", "admin", True),
        ("editor", "viewer", False),
        ("editor", "editor", True),
        ("editor", "admin", True),
        ("admin", "viewer", False),
        ("admin", "editor", False),
        ("admin", "admin", True),
    ],
)
def test_a_role_may_no_more_than_those_above_it(role: Role, other: Role, *, at_most: bool) -> None:
    assert is_at_most(role, other) is at_most
    assert lesser(role, other) == (role if at_most else other)
    assert lesser(other, role) == lesser(role, other)


@pytest.mark.parametrize(
    ("role", "becomes", "others", "keeps"),
    [
        ("admin", None, 0, False),
        ("admin", "viewer", 0, False),
        ("admin", "editor", 0, False),
        ("admin", "admin", 0, True),
        ("admin", None, 1, True),
        ("admin", "viewer", 1, True),
        ("admin", "editor", 2, True),
        ("editor", None, 0, True),
        ("editor", "viewer", 0, True),
        ("viewer", None, 0, True),
        ("viewer", "admin", 0, True),
    ],
)
def test_an_account_keeps_an_admin(role: Role, becomes: Role | None, others: int, *, keeps: bool) -> None:
    assert keeps_an_admin(role, becomes, others) is keeps


@pytest.mark.parametrize(
    ("role", "becomes", "stops"),
    [
        ("admin", None, True),
        ("admin", "editor", True),
        ("admin", "viewer", True),
        ("admin", "admin", False),
        ("editor", None, False),
        ("editor", "admin", False),
        ("viewer", "viewer", False),
    ],
)
def test_who_is_no_admin_any_more_invites_nobody(role: Role, becomes: Role | None, *, stops: bool) -> None:
    assert stops_inviting(role, becomes) is stops
