"""Which account a command is about, and why an invitation is over."""

from dataclasses import replace

import pytest

from webapp.accounts.account import NamedAccount, chosen_account
from webapp.accounts.invitation import EXPIRED, LIFETIME, REVOKED, USED, Invitation, why_over
from webapp.clock import DAY

ACME, OTHER = NamedAccount("a" * 32, "Acme"), NamedAccount("b" * 32, "Other")
TWIN = NamedAccount("c" * 32, "ACME")
THIEF = NamedAccount("d" * 32, "a" * 32)
ALL = [ACME, OTHER, TWIN, THIEF]

MADE = Invitation("1" * 32, "a" * 32, "accessor", "dana@example.com", "editor", 0, "alice@example.com", "2" * 32, LIFETIME, None, None)


@pytest.mark.parametrize(
    ("accounts", "text", "chosen"),
    [
        ([], "", ""),
        ([ACME], "", ACME.id),
        ([ACME], "acme", ACME.id),
        ([ACME, OTHER], " other ", OTHER.id),
        (ALL, OTHER.id, OTHER.id),
        (ALL, ACME.id, ACME.id),  # and not the one that is named so
        (ALL, TWIN.id, TWIN.id),
    ],
)
def test_an_account_is_chosen(accounts: list[NamedAccount], text: str, chosen: str) -> None:
    assert chosen_account(accounts, text) == chosen


@pytest.mark.parametrize(
    ("accounts", "text", "says"),
    [
        ([ACME, OTHER], "", f"Say which: --account NAME_OR_ID. There are: Acme ({ACME.id}), Other ({OTHER.id})."),
        (ALL, "acme", f"Say which by its id. There are: Acme ({ACME.id}), ACME ({TWIN.id})."),
        ([ACME], "Acm", f"There is no account with this name or id. There is: Acme ({ACME.id})."),
        ([], "Acme", "There is none at all yet."),
        ([NamedAccount(str(number), f"n{number}") for number in range(12)], "", "n9 (9), and 2 more."),
    ],
)
def test_it_says_which_there_are(accounts: list[NamedAccount], text: str, says: str) -> None:
    with pytest.raises(ValueError, match="account") as refused:
        chosen_account(accounts, text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "now", "inviter_may", "why"),
    [
        ({}, 0, True, None),
        ({}, LIFETIME - 1, True, None),
        ({}, LIFETIME, True, EXPIRED),
        ({}, LIFETIME + 1, True, EXPIRED),
        ({}, 0, False, REVOKED),
        ({"revoked_at": 0}, 1, True, REVOKED),
        ({"accepted_at": 0}, 1, True, USED),
        ({"accepted_at": 0}, LIFETIME, False, USED),
        ({"revoked_at": 0}, LIFETIME, True, REVOKED),
    ],
)
def test_an_invitation_is_over(changes: dict[str, int], now: int, why: str | None, *, inviter_may: bool) -> None:
    assert LIFETIME == 7 * DAY
    assert why_over(replace(MADE, **changes), now, inviter_may=inviter_may) == why  # type: ignore[arg-type]  # only times are changed
