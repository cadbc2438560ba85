"""Where heads go: a file that grows, and a collector that a real HTTP server is."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from webapp.audit.sinks import NotDelivered, append_to, post_to
from webapp.vault import Secret


@contextmanager
def collector(status: int = 204, **headers: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A collector on a free port, which answers like this; its URL, and what it was sent."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing is printed."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_lines_are_added_at_the_end_of_a_file_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "heads.jsonl"
    for line in ("one", "two"):
        append_to(path, line)
    assert path.read_text() == "one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("one\ncut o")
    append_to(path, "two")
    assert path.read_text() == "one\ncut o\ntwo\n"


def test_it_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(NotDelivered, match="cannot be written"):
        append_to(tmp_path / "link", "line")
    assert not (tmp_path / "target").exists()


def test_a_collector_gets_the_head_as_json_with_the_token() -> None:
    with collector() as (url, taken):
        post_to(f"{url}/heads?of=acme", '{"a": 1}', Secret(b"collector-token"))
        post_to(url, '{"a": 2}')
    assert [each["path"] for each in taken] == ["/heads?of=acme", "/"]
    assert [each["body"] for each in taken] == [{"a": 1}, {"a": 2}]
    assert taken[0]["headers"]["Authorization"] == "Bearer collector-token"
    assert taken[0]["headers"]["Content-Type"] == "application/json"
    assert "Authorization" not in taken[1]["headers"]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 500])
def test_an_answer_that_is_no_success_is_no_delivery(status: int) -> None:
    with collector(200) as (elsewhere, others), collector(status, Location=f"{elsewhere}/") as (url, _):
        with pytest.raises(NotDelivered, match=f"answered with {status}") as raised:
            post_to(url, "{}", Secret(b"collector-token"))
        assert "collector-token" not in str(raised.value)
        assert others == [], "the token goes to no other host"


def test_a_collector_that_is_not_there_is_said() -> None:
    with collector() as (url, _):
        pass
    with pytest.raises(NotDelivered, match=r"cannot be sent to 127\.0\.0\.1"):
        post_to(url, "{}")


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (proxy, asked), collector() as (url, taken):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        post_to(url, "{}")
        assert (len(taken), asked) == (1, [])
