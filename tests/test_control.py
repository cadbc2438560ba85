"""The control socket: whom it lets in, what it makes of nonsense, and when a command says 'try again'."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.personas import PASSWORD, settings_in
from tests.real.machine import mode
from webapp.clock import HOUR
from webapp.command import DONE, TRY_LATER, Command, Outcome
from webapp.control import MOST_REQUEST, SOCKET_NAME, ask, control_socket, run_command
from webapp.database.lock import store_lock
from webapp.errors import ConfigurationError
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

CHECK = Command("check")
TOKEN = Command("bootstrap-token", {"lifetime": HOUR, "description": "", "allow_reenrolment": False})
ADMIN = Command("create-admin", {"email": "ana@example.com"}, Secret(PASSWORD.encode()))
SOON = 0.3  # seconds that a command waits in vain


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Store]:
    """What the server has open while its control socket answers."""
    async with open_store(settings_in(tmp_path)) as opened, control_socket(opened):
        yield opened


@pytest.fixture
def socket_file(store: Store) -> Path:
    return store.settings.data_dir / SOCKET_NAME


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The usual one, whatever the tests' own is; a command that runs alone sets it, too."""
    before = os.umask(0o022)
    yield
    os.umask(before)


async def runs(settings: Settings, command: Command = CHECK, patience: float = 5) -> Outcome:
    return await asyncio.to_thread(run_command, settings, command, patience=patience)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: mode(path) for path in folder.rglob("*")}


def change_mode(path: Path, to: int) -> None:
    path.chmod(to)


async def connected(socket_file: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as a program of this user may make one, on which the server has said that it works."""
    reader, writer = await asyncio.open_unix_connection(str(socket_file))
    assert await reader.readline() == b'{"ready": true}\n'
    return reader, writer


@contextmanager
def listening(data_dir: Path) -> Iterator[socket.socket]:
    """A server of the test's own at the control socket."""
    data_dir.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(data_dir / SOCKET_NAME))
        listener.listen()
        yield listener


@contextmanager
def store_lock_and_socket(settings: Settings) -> Iterator[socket.socket]:
    """A process that holds the lock and is about to end: whoever asks it is hung up on."""
    with listening(settings.data_dir) as listener, store_lock(settings.data_dir):
        yield listener
        (settings.data_dir / SOCKET_NAME).unlink()


@contextmanager
def another_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Root becomes nobody for a while. Who is not root cannot: then it is the server that believes to be somebody else."""
    if os.geteuid() != 0:
        with monkeypatch.context() as patched:
            patched.setattr("webapp.control.os.geteuid", lambda: os.getuid() + 1)
            yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_only_this_user_can_open_the_socket(socket_file: Path) -> None:
    assert (mode(socket_file), mode(socket_file.parent)) == (0o600, 0o700)
    assert os.umask(0o022) == 0o022, "and making it left the process's umask as it was"


async def test_the_peer_has_to_be_this_user_even_where_the_mode_lets_others_in(
    socket_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    change_mode(socket_file, 0o666)
    change_mode(socket_file.parent, 0o755)
    monkeypatch.chdir(socket_file.parent)  # pytest's own folders above it are closed to others
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        with another_user(monkeypatch):
            stranger.connect(SOCKET_NAME)
            if os.getuid() != 0:
                await asyncio.to_thread(stranger.recv, 100)
        stranger.settimeout(5)
        assert await asyncio.to_thread(stranger.recv, 100) == b"", "not even that it is ready"
    assert "refused at the control socket" in caplog.text


async def test_another_user_is_told_whose_it_is(store: Store, socket_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_mode(socket_file.parent, 0o755)
    monkeypatch.chdir(socket_file.parent)
    if os.getuid() != 0:
        change_mode(socket_file, 0)
    with another_user(monkeypatch), pytest.raises(ConfigurationError, match=r"^WEBAPP_DATA_DIR: \. belongs to another user"):
        ask(Path(), CHECK)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "form of a command"),
        (b"GET / HTTP/1.1", "form of a command"),
        (b"\xff\xfe", "form of a command"),
        (b"[" * 100_000, "form of a command"),
        (b'["check"]', "form of a command"),
        (b'{"command": "check"}', "form of a command"),
        (b'{"command": ["check"], "arguments": {}, "secret": null}', "same version"),
        (b'{"command": "check", "arguments": "hunter2", "secret": null}', "form of a command"),
        (b'{"command": "create-admin", "arguments": {}, "secret": "hunter2!"}', "form of a command"),
        (b'{"command": "hunter2", "arguments": {}, "secret": null}', "same version"),
        (b"x" * (MOST_REQUEST + 1), "too long"),
    ],
)
async def test_nonsense_is_answered_and_the_server_goes_on(
    store: Store, socket_file: Path, caplog: pytest.LogCaptureFixture, line: bytes, reason: str
) -> None:
    reader, writer = await connected(socket_file)
    writer.write(line + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    assert (answer["exit"], answer["stdout"]) == (2, "")
    assert reason in answer["stderr"]
    assert "hunter2" not in answer["stderr"] + caplog.text
    assert (await runs(store.settings)).exit == DONE


async def test_who_connects_and_says_nothing_is_let_go(
    store: Store, socket_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("webapp.control._REQUEST_SECONDS", 0.05)
    reader, writer = await connected(socket_file)
    assert await reader.read() == b""
    writer.close()
    assert "a command at the control socket was given up" in caplog.text
    assert (await runs(store.settings)).exit == DONE


async def test_several_at_once_are_all_done(store: Store) -> None:
    assert (await runs(store.settings, ADMIN)).exit == DONE
    outcomes = await asyncio.gather(*(runs(store.settings, TOKEN) for _ in range(8)))
    assert {outcome.exit for outcome in outcomes} == {DONE}
    assert len({outcome.stdout for outcome in outcomes}) == 8


async def test_when_the_server_has_ended_the_command_runs_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_store(settings) as opened:
        async with control_socket(opened):
            assert (await runs(settings)).exit == DONE
        assert not (settings.data_dir / SOCKET_NAME).exists()
    assert (await runs(settings)).exit == DONE


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_command_that_runs_when_the_server_ends_has_a_while_to_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    async with open_store(settings_in(tmp_path)) as opened:
        ending = control_socket(opened)
        await ending.__aenter__()
        assert (await runs(opened.settings, ADMIN)).exit == DONE
        reader, writer = await connected(opened.settings.data_dir / SOCKET_NAME)
        async with opened.database.transaction():  # as long as this is open, nothing else is written
            request = {"command": TOKEN.name, "arguments": dict(TOKEN.arguments), "secret": None}
            writer.write(json.dumps(request).encode() + b"\n")
            if not in_time:
                monkeypatch.setattr("webapp.control._STOP_SECONDS", 0.05)
                await ending.__aexit__(None, None, None)
        if in_time:
            await ending.__aexit__(None, None, None)
        answer = await reader.read()
        writer.close()
        assert [json.loads(line)["exit"] for line in answer.splitlines()] == ([DONE] if in_time else [])
        assert len(await opened.database.fetch_all("SELECT id FROM bootstrap_tokens")) == int(in_time)


async def test_a_server_that_ends_before_it_answers_leaves_the_command_in_doubt(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with listening(settings.data_dir) as listener:
        asked = asyncio.create_task(runs(settings))
        peer, _ = await asyncio.to_thread(listener.accept)
        peer.sendall(b'{"ready": true}\n')
        assert b"check" in await asyncio.to_thread(peer.recv, MOST_REQUEST)
        peer.close()
        outcome = await asked
    assert (outcome.exit, outcome.stdout) == (TRY_LATER, "")
    assert "Whether it was done, the audit log says." in outcome.stderr


async def test_a_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with listening(settings.data_dir), store_lock(settings.data_dir):  # connected by the kernel, and accepted by nobody
        outcome = await runs(settings, patience=SOON)
    assert (outcome.exit, outcome.stdout) == (TRY_LATER, "")
    assert "does not answer" in outcome.stderr


async def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.make_data_dir()
    with store_lock(settings.data_dir):
        outcome = await runs(settings, patience=SOON)
    assert (outcome.exit, outcome.stdout) == (TRY_LATER, "")
    assert str(settings.data_dir) in outcome.stderr
    assert not settings.root_key_file.exists()
    assert [path.name for path in settings.data_dir.iterdir()] == ["lock"]


async def test_a_command_waits_for_the_one_before_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with store_lock_and_socket(settings) as listener:
        asked = asyncio.create_task(runs(settings, patience=20))
        for _ in range(2):  # the second time shows that it found the lock held in between
            peer, _ = await asyncio.to_thread(listener.accept)
            peer.close()
    assert (await asked).exit == DONE


async def test_what_a_killed_server_left_is_in_nobodys_way(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.make_data_dir()
    with listening(settings.data_dir):
        pass
    assert (settings.data_dir / SOCKET_NAME).exists()
    assert (await runs(settings)).exit == DONE
    assert not (settings.data_dir / SOCKET_NAME).exists()
    with listening(settings.data_dir):
        pass
    async with open_store(settings) as opened, control_socket(opened):
        assert (await runs(settings)).exit == DONE


async def test_the_data_directory_may_have_a_long_path(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / ("long" * 30))
    assert len(str(settings.data_dir / SOCKET_NAME)) > 108, "more than a socket's address holds (unix(7))"
    async with open_store(settings) as opened, control_socket(opened):
        assert (settings.data_dir / SOCKET_NAME).is_socket()
        assert (await runs(settings)).exit == DONE
    assert (await runs(settings)).exit == DONE


async def test_what_a_command_makes_only_this_user_can_read(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    await runs(settings, ADMIN)
    made = modes(tmp_path)
    assert made.pop("root.key") == 0o400
    assert {made.pop("data"), made.pop("data-key")} == {0o700}
    assert "lock" in made
    assert set(made.values()) == {0o600}


async def test_a_data_directory_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_DATA_DIR: "):
        await runs(settings_in(tmp_path / "data"))
