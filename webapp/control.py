"""Where a command runs: in the server, over a Unix socket in the data directory, or here when there is no server.

The socket has mode 0600 from its first moment on, and the peer has to be this very user or root. The server
says `{"ready": true}` first, so that one which hangs is told from one which works; then one line of JSON each
way: `{"command", "arguments", "secret"}` and `{"exit", "stdout", "stderr"}`; a long command says `{"progress": [done, total]}` before.
"""

import asyncio
import base64
import binascii
import io
import json
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from webapp.command import TRY_LATER, Command, Outcome, Progress, unseen
from webapp.commands import COMMANDS, LONG_COMMANDS, execute
from webapp.database import is_postgresql
from webapp.errors import ConfigurationError, StoreLocked
from webapp.log import get_logger
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.terminal import begin_command, progress_shown
from webapp.vault import Secret

SOCKET_NAME = "control.sock"

MOST_REQUEST = 128 * 1024  # bytes of a line; a secret is at most 64 KiB, in base64
MOST_ANSWER = 16 * 1024 * 1024

_REQUEST_SECONDS = 10.0
_ANSWER_SECONDS = 3600.0  # `check` opens every value that there is
_STOP_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0
_TELL_SECONDS = 0.2
_LONGEST_PATH = 100  # bytes; struct sockaddr_un has room for 108 on Linux (unix(7)) and for 104 on macOS

_logger = get_logger(__name__)


@asynccontextmanager
async def store_here(settings: Settings, *, patience: bool = False) -> AsyncIterator[Store]:
    """The store, open in this process, whose new files only this user can read. Raises ConfigurationError, StoreLocked, Unavailable.

    `patience` is for a command; see `Database.open`.
    """
    os.umask(0o077)
    settings.make_data_dir()
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings, notices=_notice, patience=patience))
        except OSError as error:
            raise ConfigurationError(f"WEBAPP_DATA_DIR: the store in {settings.data_dir} cannot be opened ({error}).") from None
        yield store


def run_command_line(settings: Settings, name: str, arguments: Mapping[str, str | int | bool], given: bytes | None) -> Outcome:
    """Run a command that is this whole process; `given` came on standard input. Raises ConfigurationError."""
    begin_command(settings)
    command = Command(name, arguments, None if given is None else Secret(given))
    return run_command(settings, command, progress=progress_shown())


def run_command(settings: Settings, command: Command, *, patience: float = _PATIENCE_SECONDS, progress: Progress = unseen) -> Outcome:
    """Run the command in the server, or here when none answers.

    Waits up to `patience` seconds for a server that is just starting or for another command, and for the
    first word of a server. Raises ConfigurationError.
    """
    if is_postgresql(settings.database_url):
        return asyncio.run(_run_here(settings, command, progress))  # there it is one process more
    deadline = time.monotonic() + patience
    while True:
        outcome = ask(settings.data_dir, command, patience, progress)
        if outcome is not None:
            return outcome
        try:
            return asyncio.run(_run_here(settings, command, progress))
        except StoreLocked as error:
            if time.monotonic() >= deadline:
                return _later(f"{error} It does not answer at {SOCKET_NAME} there. Try again, or see what holds the file named lock.")
        time.sleep(0.1)


def ask(data_dir: Path, command: Command, patience: float = _PATIENCE_SECONDS, progress: Progress = unseen) -> Outcome | None:
    """Have the server of that data directory run the command; None when there is none. Raises ConfigurationError."""
    try:
        connection = _connect(data_dir, patience)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError:
        raise ConfigurationError(
            f"WEBAPP_DATA_DIR: {data_dir} belongs to another user. Run this as the user that the server runs as."
        ) from None
    except OSError as error:
        return _later(f"The server that has the store in {data_dir} open cannot be reached ({error}).")
    with connection, connection.makefile("rwb") as stream:
        try:
            if not stream.readline(MOST_REQUEST):
                return None  # it was just ending
        except TimeoutError:
            return _later(f"The server that has the store in {data_dir} open does not answer. Try again.")
        except OSError:
            return None
        connection.settimeout(_ANSWER_SECONDS)
        try:
            stream.write(_request_line(command))
            stream.flush()
            return _outcome(stream, progress)
        except (OSError, ValueError):
            return _later("The server ended before it answered. Whether it was done, the audit log says.")


@asynccontextmanager
async def control_socket(store: Store) -> AsyncIterator[None]:
    """Answer commands as long as the block runs; commands that run at its end get 5 seconds. Raises ConfigurationError.

    Not where a command opens the database beside the server.
    """
    if is_postgresql(store.settings.database_url):
        yield
        return
    path = store.settings.data_dir / SOCKET_NAME
    running: set[asyncio.Task[Any]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            running.add(task)
            task.add_done_callback(running.discard)
        await _answer(store, reader, writer)

    try:
        listener = _listen(store.settings.data_dir)
    except OSError as error:
        raise ConfigurationError(f"WEBAPP_DATA_DIR: {path} cannot be made ({error}).") from None
    server = await asyncio.start_unix_server(answer, sock=listener, limit=MOST_REQUEST)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        if running:
            await asyncio.wait(set(running), timeout=_STOP_SECONDS)
        for task in set(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run_here(settings: Settings, command: Command, progress: Progress) -> Outcome:
    async with store_here(settings, patience=True) as store:
        if not is_postgresql(settings.database_url):
            (settings.data_dir / SOCKET_NAME).unlink(missing_ok=True)  # whoever has the lock knows that nobody listens there
        return await execute(store, command, os.getuid(), progress)


async def _answer(store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        try:
            uid = _peer_uid(writer.get_extra_info("socket"))
            if uid not in {os.geteuid(), 0}:
                _logger.warning("a command was refused at the control socket", uid=uid)
                return
            writer.write(b'{"ready": true}\n')
            await writer.drain()
            command = _command(await asyncio.wait_for(_line(reader), _REQUEST_SECONDS))
            writer.write(_answer_line(await execute(store, command, uid, _teller(writer))))
            await asyncio.wait_for(writer.drain(), _REQUEST_SECONDS)
        except TimeoutError:
            _logger.warning("a command at the control socket was given up: it took too long to come or to go", seconds=_REQUEST_SECONDS)
        except ValueError as error:
            _logger.warning("a command at the control socket was refused", error=str(error))
            writer.write(_answer_line(Outcome(2, stderr=f"registry-credentials: The server did not take the command: {error}\n")))
        finally:
            writer.close()


def _teller(writer: asyncio.StreamWriter) -> Progress:
    """What tells the other end how far it is, a few times a second."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done >= total or time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            writer.write(json.dumps({"progress": [done, total]}).encode() + b"\n")

    return tell


def _peer_uid(peer: socket.socket) -> int:
    """Who is at the other end (SO_PEERCRED, unix(7)); where the system cannot tell, the socket's mode has let only this user in."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return os.geteuid()
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)


def _request_line(command: Command) -> bytes:
    secret = None if command.secret is None else base64.b64encode(command.secret.reveal()).decode("ascii")
    return json.dumps({"command": command.name, "arguments": dict(command.arguments), "secret": secret}).encode() + b"\n"


async def _line(reader: asyncio.StreamReader) -> bytes:
    """What came up to the end of the line. Raises ValueError for more than MOST_REQUEST."""
    try:
        return await reader.readline()
    except ValueError:
        raise ValueError("it is too long.") from None


def _command(line: bytes) -> Command:
    """The command of a line. Raises ValueError, which quotes nothing of it."""
    try:
        request = json.loads(line)
        secret = None if request["secret"] is None else Secret(base64.b64decode(request["secret"], validate=True))
        command = Command(str(request["command"]), dict(request["arguments"]), secret)
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        raise ValueError("it is not in the form of a command.") from None
    if command.name not in COMMANDS and command.name not in LONG_COMMANDS:
        raise ValueError("it does not know it. Is the server of the same version?")
    return command


def _answer_line(outcome: Outcome) -> bytes:
    return json.dumps({"exit": outcome.exit, "stdout": outcome.stdout, "stderr": outcome.stderr}).encode() + b"\n"


def _outcome(stream: io.BufferedRWPair, progress: Progress) -> Outcome:
    answer = json.loads(stream.readline(MOST_ANSWER))
    while "progress" in answer:
        done, total = answer["progress"]
        progress(int(done), int(total))
        answer = json.loads(stream.readline(MOST_ANSWER))
    return Outcome(int(answer["exit"]), str(answer["stdout"]), str(answer["stderr"]))


def _later(sentence: str) -> Outcome:
    return Outcome(TRY_LATER, stderr=f"registry-credentials: {sentence}\n")


def _connect(data_dir: Path, patience: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(patience)
        with _short(data_dir) as folder:
            connection.connect(str(folder / SOCKET_NAME))
    except BaseException:
        connection.close()
        raise
    return connection


def _listen(data_dir: Path) -> socket.socket:
    """The bound socket. Whoever calls holds the store's lock, so that a file which is there already is nobody's."""
    (data_dir / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(data_dir) as folder:  # made before the mask, under which a directory could not be entered
            mask = os.umask(0o177)  # not chmod afterwards: between the two it would be open to more
            try:
                listener.bind(str(folder / SOCKET_NAME))
            finally:
                os.umask(mask)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _short(data_dir: Path) -> Iterator[Path]:
    """The directory under a path short enough for a socket's address: a symbolic link in a private directory, if need be."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= _LONGEST_PATH:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="rc-") as private:
        link = Path(private, "d")
        link.symlink_to(data_dir)
        yield link


def _notice(line: str) -> None:
    sys.stderr.write(f"{line}\n")
