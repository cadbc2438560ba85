"""The sockets that the server listens on: bound before anything is opened, so that a port that is taken is said at once."""

import errno
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from webapp.errors import ConfigurationError

_SPREADS = sys.platform == "linux"
"""Whether the system spreads connections over the sockets of one port."""


@contextmanager
def bound(host: str, port: int, *, several: bool) -> Iterator[list[socket.socket]]:
    """A socket for each address of the host, bound, and closed at the end; `several` processes may take it to `own_sockets`.

    Raises ConfigurationError.
    """
    sockets: list[socket.socket] = []
    try:
        refused: OSError | None = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            try:
                sockets.append(_bind(family, kind, protocol, address))
                if several and _SPREADS:
                    # Only now, so that a port on which another program listens is refused even where that one would share it.
                    sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as error:
                # `localhost` may name ::1 on a machine without IPv6; another process on one of them is an error.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise cannot_listen(host, port, error) from None
                refused = error
        if refused is not None and not sockets:
            raise cannot_listen(host, port, refused)
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextmanager
def own_sockets(host: str, port: int, bound_sockets: Sequence[socket.socket]) -> Iterator[list[socket.socket]]:
    """The sockets on which one process of several listens: on Linux its own, elsewhere those that all of them have.

    Where all wait at one socket, the first to wake takes nearly all of a burst: of 64 connections one of four processes got none, and of 8
    one got all. Linux spreads connections over the sockets of a port (SO_REUSEPORT in socket(7)); not every system does.

    Raises ConfigurationError.
    """
    if not _SPREADS:
        yield list(bound_sockets)
        return
    own: list[socket.socket] = []
    try:
        for each in bound_sockets:
            try:
                own.append(_bind(each.family, each.type, each.proto, each.getsockname(), shared=True))
            except OSError as error:
                raise cannot_listen(host, port, error) from None
        yield own
    finally:
        for each in own:
            each.close()


def cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    """Why, and what would be right."""
    where = f"{host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(f"WEBAPP_PORT: another program listens on {where}. Choose another port, or stop that program.")
    if error.errno == errno.EACCES:
        return ConfigurationError(f"WEBAPP_PORT: this user may not listen on {where}. Choose a port of 1024 or more.")
    return ConfigurationError(f"WEBAPP_HOST: listening on {where} is not possible ({error.strerror or error}).")


def _bind(family: int, kind: int, protocol: int, address: tuple[object, ...], *, shared: bool = False) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener
