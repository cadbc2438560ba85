"""The head of a request has a limit; what stands before and behind it has none of its own here."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.server import Server, serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_head_that_does_not_end_is_refused(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        answer = b""
        try:
            for number in range(2000):
                connection.sendall(b"X-Filler-%d: %s\r\n" % (number, b"x" * 1000))
            answer = connection.recv(65536)
        except OSError:
            pass  # closed while it was still sent
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    with connect(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_head_of_a_usual_length_in_pieces_is_served(server: Server) -> None:
    with connect(server) as connection:
        for piece in (b"GET /livez HT", b"TP/1.1\r\nHost: x\r\nX-Long: ", b"x" * 8000, b"\r\n", b"\r\n"):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_large_body_counts_towards_no_head_and_the_connection_goes_on(server: Server, tmp_path: Path) -> None:
    body = b"x" * 200_000
    with connect(server) as connection:
        for _ in range(2):
            head = b"POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            answer = b""
            while b"</html>" not in answer:
                part = connection.recv(65536)
                assert part, "the connection was closed"
                answer += part
            assert answer.startswith(b"HTTP/1.1 422 ")
