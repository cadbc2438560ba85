"""The commands both ways: in the process that has the store open, through its socket, and alone with the lock."""

import asyncio
import os
import pwd
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import Engine, engine_of
from tests.personas import PASSWORD, settings_in
from tests.stories import TOKEN
from webapp.accounts.password import verify
from webapp.actor import Actor
from webapp.clock import DAY, HOUR, MINUTE
from webapp.command import DONE, FAULT, REFUSED, TRY_LATER, Command, Outcome
from webapp.control import control_socket, run_command
from webapp.credentials.credential import AuthMethod, CredentialFields
from webapp.database import AccountTransaction, Row
from webapp.names import parse_name
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import Secret, parse

pytestmark = pytest.mark.anyio

EMAIL = "ana@example.com"
CANARY = b"hunter2-but-long"


@dataclass
class Operator:
    """Somebody at a shell of the machine; `running` is the server's store, when a server runs."""

    settings: Settings
    running: Store | None

    async def runs(self, name: str, given: bytes | None = None, **arguments: str | int | bool) -> Outcome:
        """Run a command as the command line does. The server answers from the test's own event loop, and holds the lock."""
        command = Command(name, arguments, None if given is None else Secret(given))
        return await asyncio.to_thread(run_command, self.settings, command)

    async def makes_an_admin(self, email: str = EMAIL, password: bytes = PASSWORD.encode()) -> Outcome:
        return await self.runs("create-admin", password, email=email)

    async def makes_a_token(self, lifetime: int = 10 * MINUTE, description: str = "", *, allow_reenrolment: bool = False) -> Outcome:
        return await self.runs("bootstrap-token", lifetime=lifetime, description=description, allow_reenrolment=allow_reenrolment)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store that the commands work on; not while one works alone."""
        if self.running is not None:
            yield self.running
            return
        async with open_store(self.settings) as store:
            yield store

    async def rows(self, table: str) -> list[Row]:
        async with self.store() as store:
            return await store.database.fetch_all(f"SELECT * FROM {table}")

    async def stores_credentials(self, *names: str) -> None:
        """Store registry credentials in the account of the first admin."""
        async with self.store() as store:
            actor = Actor(await store.accounts.only_account_id() or "", "member", "1", EMAIL)
            for name in names:
                fields = CredentialFields(name, name, "", "ghcr.io", AuthMethod.PASSWORD, "acme-bot")
                await store.credentials.add(actor, fields, Secret(CANARY))


MODES = {"in-the-server": "sqlite", "alone": "sqlite", "beside-the-server": "postgresql"}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """How a command runs: on PostgreSQL it is one process more, beside the servers."""
    return str(request.param)


@pytest.fixture
def engine(mode: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    yield from engine_of(MODES[mode], request, tmp_path)


@pytest.fixture
async def operator(mode: str, tmp_path: Path, anyio_backend: str, engine: Engine) -> AsyncIterator[Operator]:
    settings = settings_in(tmp_path, WEBAPP_DATABASE_URL=await engine.migrated_url())
    async with AsyncExitStack() as stack:
        store = None
        if mode == "alone":
            async with open_store(settings):
                pass
        else:
            store = await stack.enter_async_context(open_store(settings, first=True))
            await stack.enter_async_context(control_socket(store))
        yield Operator(settings, store)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """A command that runs alone sets the umask of its process, which is the tests' here."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def refused(outcome: Outcome, says: str) -> bool:
    """Whether it was refused with one line on standard error that says this."""
    lines = outcome.stderr.splitlines()
    return (
        (outcome.exit, outcome.stdout, len(lines)) == (REFUSED, "", 1)
        and lines[0].startswith("registry-credentials: ")
        and says in lines[0]
    )


async def test_the_first_admin_gets_an_account_and_can_sign_in(operator: Operator) -> None:
    assert await operator.makes_an_admin() == Outcome(DONE, "Made the admin ana@example.com.\n")
    (member,) = await operator.rows("members")
    assert (member["email"], member["role"]) == (EMAIL, "admin")
    assert await verify(member["password_hash"], Secret(PASSWORD.encode()))
    assert [account["id"] for account in await operator.rows("accounts")] == [member["account_id"]]


async def test_one_line_end_is_no_part_of_the_password_and_a_blank_is(operator: Operator) -> None:
    for email, line_end in (("unix@example.com", b"\n"), ("dos@example.com", b"\r\n"), ("blank@example.com", b" \n")):
        assert (await operator.makes_an_admin(email, PASSWORD.encode() + line_end)).exit == DONE
    hashes = {row["email"]: row["password_hash"] for row in await operator.rows("members")}
    for email, password in (("unix@example.com", PASSWORD), ("dos@example.com", PASSWORD), ("blank@example.com", PASSWORD + " ")):
        assert await verify(hashes[email], Secret(password.encode())), email


async def test_the_audit_log_says_who_ran_the_command(operator: Operator) -> None:
    await operator.makes_an_admin()
    await operator.makes_a_token(2 * DAY, "rack 1", allow_reenrolment=True)
    rows = await operator.rows("audit_log")
    user = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall()}.get(os.getuid(), str(os.getuid()))
    assert [(row["action"], row["actor_kind"], row["actor_id"], row["actor_label"]) for row in rows] == [
        (action, "command_line", str(os.getuid()), f"command line ({user})")
        for action in ("account.set_up", "member.create", "bootstrap_token.create")
    ]
    assert len({row["account_id"] for row in rows}) == 1


async def test_it_refuses_an_admin_and_saves_nothing(operator: Operator) -> None:
    for given, email, says in (
        (b"too short\n", EMAIL, "Use at least 15"),
        (b"", EMAIL, "Use at least 15"),
        (None, EMAIL, "Give it on standard input."),
        (b"\xff\xfe" + PASSWORD.encode(), EMAIL, "no UTF-8 text"),
        (PASSWORD.encode() + b"\n\n", EMAIL, "a line break"),
        (b"x" * 20, EMAIL, "one character, repeated"),
        (PASSWORD.encode(), "ana", "one @"),
        (PASSWORD.encode(), "ana@example.com\n\x1b[31m@", "U+000A"),
        (PASSWORD.encode(), "", "Enter an email address."),
    ):
        outcome = await operator.runs("create-admin", given, email=email)
        assert refused(outcome, says)
        assert not given or given.strip().decode("latin-1") not in outcome.stderr
    assert [await operator.rows(table) for table in ("accounts", "members", "audit_log")] == [[], [], []]


async def test_an_address_is_given_to_one_member_only(operator: Operator) -> None:
    await operator.makes_an_admin()
    assert refused(await operator.makes_an_admin("ANA@example.com"), "ANA@example.com already")
    assert (await operator.makes_an_admin("bo@example.com")).exit == DONE
    assert [(row["email"], row["role"]) for row in await operator.rows("members")] == [(EMAIL, "admin"), ("bo@example.com", "admin")]
    assert len(await operator.rows("accounts")) == 1


@pytest.mark.parametrize("lifetime", [MINUTE, 365 * DAY])
async def test_the_token_is_alone_on_standard_output_and_enrols(operator: Operator, lifetime: int) -> None:
    await operator.makes_an_admin()
    outcome = await operator.makes_a_token(lifetime, "rack 1", allow_reenrolment=True)
    assert outcome.exit == DONE
    assert TOKEN.fullmatch(outcome.stdout.removesuffix("\n"))
    assert re.fullmatch(r"It enrols agents until \d+ \w{3} \d{4}, \d\d:\d\d UTC\. It is not shown again\.\n", outcome.stderr)
    assert outcome.stdout.strip() not in repr(outcome)
    (row,) = await operator.rows("bootstrap_tokens")
    assert (row["expires_at"] - row["created_at"], row["description"], row["allow_reenrolment"]) == (lifetime, "rack 1", 1)
    token = parse(outcome.stdout.strip(), "b")
    assert token is not None
    async with operator.store() as store:
        bearer, reason = await store.enrolment.find_bearer(token) or (None, "unknown")
        assert bearer is not None
        assert reason is None
        agent_id, _ = await store.enrolment.enroll(bearer, parse_name("rack1-node07"))
    assert [agent["id"] for agent in await operator.rows("agents")] == [agent_id]


async def test_without_an_account_there_is_no_token(operator: Operator) -> None:
    assert refused(await operator.makes_a_token(), "registry-credentials create-admin --email E --password-stdin")


async def test_it_refuses_a_token_and_saves_nothing(operator: Operator) -> None:
    await operator.makes_an_admin()
    for lifetime, description, says in (
        (MINUTE - 1, "", "between 1 minute and 365 days"),
        (365 * DAY + 1, "", "between 1 minute and 365 days"),
        (HOUR, "x" * 501, "at most 500"),
        (HOUR, "\x1b[31m", "U+001B"),
    ):
        assert refused(await operator.makes_a_token(lifetime, description), says)
    assert await operator.rows("bootstrap_tokens") == []


async def test_check_opens_every_value(operator: Operator) -> None:
    for stored in (0, 2):
        outcome = await operator.runs("check")
        assert (outcome.exit, outcome.stderr) == (DONE, "")
        assert f"registry credentials: {stored} open, 0 do not" in outcome.stdout.splitlines()
        if not stored:
            await operator.makes_an_admin()
            await operator.stores_credentials("ghcr-acme", "quay-acme")


async def test_check_names_every_value_that_does_not_open_and_shows_none(operator: Operator) -> None:
    changes: dict[str, Callable[[bytes], Mapping[str, object]]] = {
        "changed": lambda sealed: {"sealed": sealed[:-4] + bytes(4)},
        "emptied": lambda sealed: {"sealed": b""},
        "of-an-unknown-key": lambda sealed: {"sealed": b"SB1\x01" + (99).to_bytes(4) + sealed[8:]},
        "pointed-elsewhere": lambda sealed: {"host": "registry.example.com"},
        "rolled-on": lambda sealed: {"secret_version": 2},
    }
    await operator.makes_an_admin()
    await operator.stores_credentials("whole", *changes)
    async with operator.store() as store, store.database.transaction() as transaction:
        for row in await transaction.fetch_all("SELECT id, account_id, name, sealed FROM registry_credentials WHERE name <> 'whole'"):
            await AccountTransaction(transaction, row["account_id"]).update(
                "registry_credentials", row["id"], changes[row["name"]](row["sealed"])
            )
    outcome = await operator.runs("check")
    assert (outcome.exit, outcome.stderr) == (REFUSED, "")
    lines = outcome.stdout.splitlines()
    named = [re.fullmatch(r"registry credential (\S+) \([0-9a-z]+\) does not open: .+", line) for line in lines]
    assert sorted(line[1] for line in named if line) == sorted(changes)
    assert "registry credentials: 1 open, 5 do not" in lines
    assert CANARY.decode() not in outcome.stdout


async def test_what_can_be_done_later_says_so(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.accounts.password.MOST_WAITING", -1000)
    outcome = await operator.makes_an_admin()
    assert (outcome.exit, outcome.stdout) == (TRY_LATER, "")
    assert outcome.stderr.endswith("Try again.\n")
    assert await operator.rows("members") == []


async def test_a_fault_of_the_program_is_in_the_log_and_not_on_the_screen(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    outcome = await operator.runs("create-admin", PASSWORD.encode())  # without an address: no command line does that
    assert (outcome.exit, outcome.stdout) == (FAULT, "")
    assert outcome.stderr == "registry-credentials: This is a fault of the program and not of what you did. The log has it.\n"
    assert "a command failed" in caplog.text
    assert "KeyError" in caplog.text
    assert PASSWORD not in caplog.text
