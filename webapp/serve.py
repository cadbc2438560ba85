"""`registry-credentials serve`: the web server, with the store and the control socket around it, in one process or several."""

import asyncio
import gc
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import uvicorn
import uvloop
from uvicorn.config import STARTUP_FAILURE

from webapp.app import create_app
from webapp.connections import HANDSHAKE_SECONDS, OpenConnections, room_for_connections
from webapp.control import control_socket, store_here
from webapp.errors import ConfigurationError
from webapp.http_protocol import HttpProtocol
from webapp.listening import bound, cannot_listen, own_sockets
from webapp.log import set_up_logging
from webapp.processes import Parent, supervise
from webapp.settings import Settings
from webapp.store import Store
from webapp.vault.hygiene import forbid_core_dumps

_SHUTDOWN_SECONDS = 5
_TICKS = 10  # of uvicorn's, which are a tenth of a second
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM comes; returns 0. Raises ConfigurationError, and Unavailable when the disk does not let it begin."""
    forbid_core_dumps()
    set_up_logging(settings.log_level, settings.log_format)
    tls = _tls(settings)  # made once: a client may resume at any process the session that it began at another
    with bound(settings.host, settings.port, several=settings.processes > 1) as sockets:
        if settings.processes == 1:
            _run(settings, tls, sockets, None)
        else:
            supervise(partial(_work, settings, tls, sockets), settings.processes, listeners=sockets, announce=_print)
    return 0


def _work(settings: Settings, tls: ssl.SSLContext | None, sockets: list[socket.socket], parent: Parent) -> None:
    """Be one process of several."""
    forbid_core_dumps()
    with own_sockets(settings.host, settings.port, sockets) as own:
        _run(settings, tls, own, parent)


def _run(settings: Settings, tls: ssl.SSLContext | None, sockets: list[socket.socket], parent: Parent | None) -> None:
    with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, tls, sockets, parent))


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and looks at its connections once a second.

    Its signals are handled here: uvicorn's own end the process with the signal.
    """

    def __init__(self, config: uvicorn.Config, when_listening: Callable[[], None], most_open: int) -> None:
        super().__init__(config)
        self.server_state: OpenConnections = OpenConnections(most_open, asyncio.get_running_loop().time())
        self._when_listening = when_listening

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it for sockets that are bound, with a limit on the time of a TLS handshake besides."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        loop, config = asyncio.get_running_loop(), self.config
        seconds = None if config.ssl is None else HANDSHAKE_SECONDS
        self.servers = [
            await loop.create_server(
                lambda: HttpProtocol(config, self.server_state, self.lifespan.state, loop),
                sock=each,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=seconds,
            )
            for each in sockets or ()
        ]
        self.started = True
        self._when_listening()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self.server_state.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)


async def _serve(settings: Settings, tls: ssl.SSLContext | None, sockets: list[socket.socket], parent: Parent | None) -> None:
    """Listening comes last: nobody is kept waiting by a store that does not open."""
    with _ends_when_told(parent) as stopped:
        async with store_here(settings) as store, control_socket(store):
            text = _announcement(settings, None if await store.members.has_members() else _setup_link(store))
            # What is there now stays to the end: the collector need not look at it again, nor look so often.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            most_open = room_for_connections()
            server = _Server(_config(settings, store, tls), partial(_print if parent is None else parent.ready, text), most_open)
            stopped(server)
            try:
                await server.serve(sockets=sockets)
            except OSError as error:
                raise cannot_listen(settings.host, settings.port, error) from None


def _config(settings: Settings, store: Store, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(settings, store=store),
        access_log=False,  # it would print the set-up link
        log_config=None,
        log_level=None,
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        proxy_headers=False,  # `web/answers.py` has its own rule for them
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    config.load()
    config.ssl = tls
    return config


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """What the certificate and its key make. Raises ConfigurationError."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password function OpenSSL would ask on the terminal, and the server would hang there.
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=lambda: "")
    except OSError as error:  # SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
        raise ConfigurationError(
            f"WEBAPP_TLS_CERT_FILE: {settings.tls_cert_file} and {settings.tls_key_file} (WEBAPP_TLS_KEY_FILE) are no certificate"
            f" with its private key, in PEM and without a passphrase ({reason})."
        ) from None
    return context


def _setup_link(store: Store) -> str:
    return f"{store.settings.public_url}/setup?token={store.vault.setup_token().reveal().decode('ascii')}"


def _announcement(settings: Settings, link: str | None) -> str:
    """Where the server is, and the set-up link."""
    where = f"Serving on {settings.public_url}\n"
    return where if link is None else f"{where}Set up the account and its first admin here (this works once): {link}\n"


def _print(announcement: str) -> None:
    """To standard output and not to the log: logs are kept, and the link is a key."""
    with suppress(OSError):
        sys.stdout.write(announcement)
        sys.stdout.flush()


@contextmanager
def _ends_when_told(parent: Parent | None) -> Iterator[Callable[[_Server], None]]:
    """SIGINT and SIGTERM end what runs: the server in order (at once when one comes again), or, before there is one, the start.

    A parent does, too, and then SIGINT is its own affair. So a start may be told twice, and closes nevertheless what it has opened. The
    function that the block gets names the server.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    servers: list[_Server] = []
    signals = _SIGNALS if parent is None else (signal.SIGTERM,)
    signalled = cancelled = False

    def end(at_once: bool) -> None:
        nonlocal cancelled
        if servers:  # one that is not there yet looks at this when it is
            servers[0].should_exit = True
            servers[0].force_exit = servers[0].force_exit or at_once
        elif task is not None and not cancelled:
            cancelled = task.cancel()

    def signal_came() -> None:
        nonlocal signalled
        end(at_once=signalled)
        signalled = True

    for each in signals:
        loop.add_signal_handler(each, signal_came)
    try:
        with nullcontext() if parent is None else parent.heard_by(end):
            yield servers.append
    finally:
        for each in signals:
            loop.remove_signal_handler(each)
