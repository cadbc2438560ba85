"""The short way of the hand-over, at the server that people run: what it answers is what the application answers, whatever comes."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from e2e.server import Server, serve

PASSWORD = "correct horse battery staple"
VALUE = "hunter2-but-long"


@dataclass
class Fleet:
    """A server with an agent that has an image, one that has none, and one that is revoked: their tokens."""

    server: Server
    served: str
    bare: str
    revoked: str

    def connect(self) -> socket.socket:
        """A new connection to the server."""
        host, _, port = self.server.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=10)


def ask(token: str, *, path: str = "/api/v1/provision", method: str = "GET", version: str = "1.1", more: str = "", body: str = "") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n{body}".encode()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with serve(tmp_path_factory.mktemp("direct")) as server:
        yield furnished(server)


def furnished(server: Server) -> Fleet:
    with httpx2.Client(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}) as alice:

        def post(path: str, **data: str) -> httpx2.Response:
            answer = alice.post(path, data=data)
            assert answer.status_code in (200, 201, 303), answer.text
            return answer

        def id_of(path: str) -> str:
            found = re.search(rf'href="{path}/([0-9a-f]{{32}})"', alice.get(path).text)
            assert found is not None
            return found[1]

        post("/setup", token=server.setup_link.partition("token=")[2], email="alice@example.com", password=PASSWORD)
        post("/registry-credentials", name="ghcr", registry_url="ghcr.io", auth_method="password", username="acme-bot", password=VALUE)
        credential = id_of("/registry-credentials")
        post("/images", name="ubuntu", docker_image_url="ghcr.io/acme/ubuntu:24.04", registry_credential_id=credential)
        image, tokens = id_of("/images"), []
        for name in ("served", "bare", "revoked"):
            shown = re.search(r"rc_b_\w+", post("/agents/bootstrap-tokens", lifetime="10m").text)
            assert shown is not None
            made = alice.post("/api/v1/enroll", json={"name": name}, headers={"Authorization": f"Bearer {shown[0]}"}).json()
            tokens.append(made["agent_token"])
            if name == "served":
                post(f"/agents/{made['agent_id']}", image_id=image)
            if name == "revoked":
                post(f"/agents/{made['agent_id']}/revoke")
    return Fleet(server, *tokens)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


def read(connection: socket.socket, left: bytes = b"", *, head_only: bool = False) -> tuple[Answer, bytes]:
    """One answer, and what came behind it."""
    while b"\r\n\r\n" not in left:
        part = connection.recv(65536)
        assert part, f"the connection was closed after {left[:200]!r}"
        left += part
    head, _, left = left.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = 0 if head_only else int(headers["content-length"])
    while len(left) < length:
        left += connection.recv(65536)
    return Answer(int(status.split()[1]), headers, left[:length]), left[length:]


def exchange(fleet: Fleet, request: bytes, *, head_only: bool = False) -> Answer:
    with closing(fleet.connect()) as connection:
        connection.sendall(request)
        return read(connection, head_only=head_only)[0]


def alike(first: Answer, second: Answer) -> None:
    """But for what is new in each answer, and `connection`, which is not of the application."""
    assert first.status == second.status
    differs = {"date", "x-request-id", "provision-id", "connection", "content-length"}
    assert {name: value for name, value in first.headers.items() if name not in differs} == {
        name: value for name, value in second.headers.items() if name not in differs
    }
    assert first.headers.keys() - {"connection"} == second.headers.keys() - {"connection"}
    documents = [json.loads(answer.body) for answer in (first, second)]
    for document in documents:
        for new in ("provision_id", "request_id", "instance"):
            document.pop(new, None)
    assert documents[0] == documents[1]


def test_it_answers_what_the_application_answers(fleet: Fleet) -> None:
    short, usual = exchange(fleet, ask(fleet.served)), exchange(fleet, ask(fleet.served, path="/api/v1/provision?format=json"))
    alike(short, usual)
    document = json.loads(short.body)
    assert document["registry_auth"]["password"] == VALUE
    assert short.headers["provision-id"] == document["provision_id"]
    assert short.headers["cache-control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{16}", short.headers["x-request-id"])
    assert "answered method=GET path=/api/v1/provision status=200 " in fleet.server.log.read_text()


@pytest.mark.parametrize(("who", "status"), [("bare", 409), ("revoked", 401), ("nobody", 401), ("", 401)])
def test_it_refuses_as_the_application_refuses(fleet: Fleet, who: str, status: int) -> None:
    token = {"bare": fleet.bare, "revoked": fleet.revoked, "nobody": fleet.served[:-1] + ("0" if fleet.served[-1] != "0" else "1")}.get(
        who, ""
    )
    short, usual = exchange(fleet, ask(token)), exchange(fleet, ask(token, path="/api/v1/provision?format=json"))
    alike(short, usual)
    assert short.status == status
    assert short.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"more": "Connection: close\r\n"}, 200),
        ({"version": "1.0"}, 200),
        ({"more": "Content-Length: 4\r\n", "body": "body"}, 200),
        ({"more": "Transfer-Encoding: chunked\r\n", "body": "4\r\nbody\r\n0\r\n\r\n"}, 200),
        ({"more": "Expect: 100-continue\r\n"}, 200),
        ({"more": "Connection: upgrade\r\nUpgrade: websocket\r\n"}, 200),
        ({"path": "/api/v1/provision?"}, 200),
        ({"path": "/api/v1/provision?format=docker-config"}, 200),
        ({"path": "/api/v1/provisio%6e"}, 200),
        ({"path": "/api/v1/provision?format=nonsense"}, 422),
        ({"path": "/api/v1/provision/"}, 307),
        ({"path": "//api/v1/provision"}, 404),
        ({"method": "HEAD"}, 405),
        ({"method": "POST", "more": "Content-Length: 0\r\n"}, 405),
        ({"method": "DELETE"}, 405),
    ],
    ids=str,
)
def test_what_is_unusual_is_answered_by_the_application(fleet: Fleet, request_: dict[str, str], status: int) -> None:
    answer = exchange(fleet, ask(fleet.served, **request_), head_only=request_.get("method") == "HEAD")
    assert answer.status == status
    assert "x-request-id" in answer.headers


def test_a_connection_serves_one_after_the_other(fleet: Fleet) -> None:
    with closing(fleet.connect()) as connection:
        seen = set()
        for _ in range(20):
            connection.sendall(ask(fleet.served))
            answer, left = read(connection)
            assert (answer.status, left) == (200, b"")
            seen.add(answer.headers["provision-id"])
        connection.sendall(ask(fleet.bare))
        assert read(connection)[0].status == 409
        connection.sendall(ask(fleet.served))
        assert read(connection)[0].status == 200
        assert len(seen) == 20


@pytest.mark.parametrize("count", [2, 10])
def test_requests_that_come_together_are_answered_in_their_order(fleet: Fleet, count: int) -> None:
    tokens = [fleet.served if number % 3 else fleet.bare for number in range(count)]
    with closing(fleet.connect()) as connection:
        connection.sendall(
            b"".join(ask(token, path="/livez" if number == 4 else "/api/v1/provision") for number, token in enumerate(tokens))
        )
        left, statuses = b"", []
        for _ in tokens:
            answer, left = read(connection, left)
            statuses.append(answer.status)
        assert statuses == [200 if number == 4 or token == fleet.served else 409 for number, token in enumerate(tokens)]
        connection.sendall(ask(fleet.served))
        assert read(connection, left)[0].status == 200, "and the connection goes on"


def test_a_request_may_come_byte_by_byte(fleet: Fleet) -> None:
    with closing(fleet.connect()) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ask(fleet.served):
            connection.sendall(bytes([byte]))
        assert read(connection)[0].status == 200


def test_header_names_may_be_written_in_any_case(fleet: Fleet) -> None:
    answer = exchange(fleet, f"GET /api/v1/provision HTTP/1.1\r\nHOST: x\r\naUTHORIZATION: bearer {fleet.served}\r\n\r\n".encode())
    assert answer.status == 200


def test_a_client_that_hangs_up_hurts_nobody(fleet: Fleet) -> None:
    for _ in range(30):
        with closing(fleet.connect()) as connection:
            connection.sendall(ask(fleet.served) + ask(fleet.bare))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert exchange(fleet, ask(fleet.served)).status == 200
    log = fleet.server.log.read_text()
    assert "Traceback" not in log
    assert "failed" not in log


def test_a_client_that_never_reads_is_not_served_for_ever(fleet: Fleet) -> None:
    with closing(fleet.connect()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1)
        sent = 0
        with pytest.raises(OSError, match=r"timed out|reset|Broken pipe"):
            while sent < 200_000:
                connection.sendall(ask(fleet.served) * 100)
                sent += 100
        assert exchange(fleet, ask(fleet.served)).status == 200, "others are served meanwhile"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to tell what a process has in memory")
def test_who_sends_far_ahead_is_refused_and_takes_no_memory(fleet: Fleet) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{fleet.server.process.pid}/statm").read_text().split()[1]) * 4096

    before = resident()
    for _ in range(3):
        with closing(fleet.connect()) as connection, suppress(OSError):
            for _ in range(40):
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 11_000)
    assert exchange(fleet, ask(fleet.served)).status == 200
    assert resident() - before < 64 * 1024 * 1024


def test_a_trailer_is_no_header(fleet: Fleet) -> None:
    body = "4\r\nbody\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    answer = exchange(fleet, ask(fleet.served, more="Transfer-Encoding: chunked\r\n", body=body))
    assert answer.status == 200


def test_who_waits_while_the_server_stops_gets_an_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serve(tmp_path_factory.mktemp("stopping")) as server, ExitStack() as stack:
        fleet = furnished(server)
        waiting = [stack.enter_context(closing(fleet.connect())) for _ in range(20)]
        for connection in waiting:  # each is accepted: what is in the listener's queue ends with it
            connection.sendall(ask(fleet.served))
            assert read(connection)[0].status == 200
        for connection in waiting:
            connection.sendall(ask(fleet.served))
        time.sleep(0.2)  # until they have been read: what a server has not read when it closes, it has not taken
        server.process.send_signal(signal.SIGTERM)
        for connection in waiting:
            assert read(connection)[0].status == 200
        assert server.process.wait(10) == 0
