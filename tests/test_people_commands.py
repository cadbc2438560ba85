"""Accounts and passwords from the server's command line: each act in the account that it is about."""

import asyncio
import re

import pytest

from tests.personas import PASSWORD, House
from webapp.accounts.password import verify
from webapp.cli import main
from webapp.command import DONE, REFUSED, Command, Outcome
from webapp.commands import execute
from webapp.database import Row
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

NEW = "tin roof rusted in the rain"
UID = 2**31 - 3  # nobody's


async def run(house: House, command: str, given: str | None = None, /, **arguments: str | int | bool) -> Outcome:
    return await execute(house.store, Command(command, arguments, None if given is None else Secret(given.encode())), UID)


def refused(outcome: Outcome, says: str) -> bool:
    return (outcome.exit, outcome.stdout) == (REFUSED, "") and says in outcome.stderr and outcome.stderr.count("\n") == 1


async def member(house: House, email: str) -> Row | None:
    return await house.store.database.fetch_one("SELECT * FROM members WHERE email = :email", {"email": email})


async def test_with_several_accounts_an_admin_is_made_in_the_one_that_is_named(house: House) -> None:
    for account, email in (("acme", "ana@example.com"), (house.charlie.account_id, "cy@example.com")):
        assert (await run(house, "create-admin", PASSWORD, email=email, account=account)).exit == DONE
    for email, account_id in (("ana@example.com", house.alice.account_id), ("cy@example.com", house.charlie.account_id)):
        row = await member(house, email)
        assert row is not None
        assert (row["account_id"], row["role"]) == (account_id, "admin")
    assert [row["account_id"] for row in await house.audit()] == [house.alice.account_id, house.charlie.account_id]


@pytest.mark.parametrize("command", ["create-admin", "bootstrap-token"])
async def test_with_several_accounts_none_is_guessed(house: House, command: str) -> None:
    arguments: dict[str, str | int | bool] = {"email": "ana@example.com"}
    if command == "bootstrap-token":
        arguments = {"lifetime": 600_000, "description": "", "allow_reenrolment": False}
    outcome = await run(house, command, PASSWORD, **arguments)
    assert refused(outcome, "There are several accounts here. Say which: --account NAME_OR_ID.")
    assert f"Acme ({house.alice.account_id}), Other ({house.charlie.account_id})" in outcome.stderr
    assert refused(await run(house, command, PASSWORD, **arguments, account="Nowhere"), "There is no account with this name or id.")
    assert await house.audit() == []


async def test_a_bootstrap_token_is_the_named_accounts(house: House) -> None:
    outcome = await run(house, "bootstrap-token", lifetime=600_000, description="", allow_reenrolment=False, account="Other")
    assert outcome.exit == DONE, outcome.stderr
    assert await house.store.bootstrap_tokens.newest(house.alice.actor) == []
    assert len(await house.store.bootstrap_tokens.newest(house.charlie.actor)) == 1


async def test_a_further_account_has_its_first_admin_and_nothing_of_the_others(house: House) -> None:
    outcome = await run(house, "create-account", PASSWORD, name="  Third ", email="tess@example.com")
    row = await member(house, "tess@example.com")
    assert row is not None
    assert outcome == Outcome(DONE, f"Made the account Third ({row['account_id']}) and its admin tess@example.com.\n")
    assert row["account_id"] not in {house.alice.account_id, house.charlie.account_id}
    assert [(event["action"], event["account_id"]) for event in await house.audit()] == [
        ("account.create", row["account_id"]),
        ("member.create", row["account_id"]),
    ]
    tess = await house.client()
    assert (await tess.post("/login", data={"email": "tess@example.com", "password": PASSWORD})).status_code == 303
    page = (await tess.get("/settings/members")).text
    assert "alice@example.com" not in page
    assert "Third" in page


async def test_it_refuses_an_account_and_makes_nothing(house: House) -> None:
    for name, email, password, says in (
        ("ACME", "tess@example.com", PASSWORD, "There is an account named Acme already ("),
        ("", "tess@example.com", PASSWORD, "Enter a name."),
        ("Third", "tess", PASSWORD, "one @"),
        ("Third", "alice@example.com", PASSWORD, "There is a member with the address alice@example.com already."),
        ("Third", "tess@example.com", "too short", "Use at least 15"),
        ("Third", "tess@example.com", None, "Give it on standard input."),
    ):
        assert refused(await run(house, "create-account", password, name=name, email=email), says)
    assert len(await house.store.accounts.every()) == 2
    assert await house.audit() == []


async def test_two_at_once_make_one_account_of_a_name(house: House) -> None:
    outcomes = await asyncio.gather(*(run(house, "create-account", PASSWORD, name="Third", email=f"t{n}@example.com") for n in range(2)))
    assert sorted(outcome.exit for outcome in outcomes) == [DONE, REFUSED]


async def test_a_lost_password_is_given_anew_and_every_session_ends(house: House) -> None:
    bob, alice = await house.signed_in(house.bob), await house.signed_in(house.alice)
    async with house.store.database.account(house.bob.account_id).transaction() as transaction:
        await transaction.execute(
            "INSERT INTO passkeys (id, account_id, member_id, credential_id, public_key, mac, name, sign_count, backed_up, transports,"
            " created_at) VALUES ('1', :account_id, :member, 'x', :bytes, :bytes, 'phone', 0, 1, '', 1)",
            {"member": house.bob.member_id, "bytes": b"x"},
        )
    outcome = await run(house, "reset-password", NEW + "\n", email=" BOB@example.com")
    assert outcome.exit == DONE, outcome.stderr
    first, second = outcome.stdout.splitlines()
    assert first == "Changed the password of bob@example.com. Sessions that this ended: 1."
    assert second.startswith("These stay as they are, and work: passkeys: 1.")
    assert (await bob.get("/images")).status_code == 303
    assert (await alice.get("/images")).status_code == 200
    row = await member(house, "bob@example.com")
    assert row is not None
    assert await verify(row["password_hash"], Secret(NEW.encode()))
    again = await house.client()
    assert (await again.post("/login", data={"email": "bob@example.com", "password": NEW})).status_code == 303
    (event,) = [event for event in await house.audit() if event["action"] == "member.reset_password"]
    assert (event["account_id"], event["actor_kind"]) == (house.bob.account_id, "command_line")


async def test_it_resets_in_the_members_own_account(house: House) -> None:
    outcome = await run(house, "reset-password", NEW, email=house.charlie.email)
    assert outcome.stdout == "Changed the password of charlie@example.com. Sessions that this ended: 0.\n"
    assert (await house.audit())[-1]["account_id"] == house.charlie.account_id


async def test_it_refuses_a_reset_and_changes_nothing(house: House) -> None:
    before = await member(house, "bob@example.com")
    for email, password, says in (
        ("nobody@example.com", NEW, "No member has this address."),
        ("", NEW, "No member has this address."),
        ("\udcff@example.com", NEW, "No member has this address."),  # a byte that is no UTF-8, as Python has it among arguments
        ("bob@example.com", "too short", "Use at least 15"),
        ("bob@example.com", "bob@example.com", "is the email address"),
    ):
        outcome = await run(house, "reset-password", password, email=email)
        assert refused(outcome, says)
        assert NEW not in outcome.stderr
    assert await member(house, "bob@example.com") == before


async def test_a_reset_does_not_make_a_forged_row_genuine(house: House) -> None:
    await house.tamper("UPDATE members SET role = 'admin' WHERE id = :id", id=house.bob.member_id)
    assert refused(await run(house, "reset-password", NEW, email="bob@example.com"), "was not written by this program")


def test_the_command_line_knows_them(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["create-account", "--name", "N", "--email", "e@example.com"], ["reset-password", "--email", "e@example.com"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert re.search("required: .*--password-stdin", capsys.readouterr().err)


async def test_what_somebody_wrote_in_place_of_an_address_says_nothing_to_the_terminal(house: House) -> None:
    await house.tamper("UPDATE members SET email = 'bob@example.com' || :escape WHERE role = 'viewer'", escape="\x1b[2J")
    outcome = await run(house, "reset-password", NEW, email="bob@example.com")
    assert refused(outcome, "The row of bob@example.com?[2J was not written by this program")
