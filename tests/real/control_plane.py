"""The agent API, spoken by a tiny HTTP server: for tests of the agent without the application behind it."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BOOTSTRAP_TOKEN = "rc_b_bootstrap0001_notARealTokenButOfItsLength"
AGENT_TOKEN = "rc_a_agent00000001_notARealTokenButOfItsLengthEither"
PROVISION_ID = "0123456789abcdef0123456789abcdef"


@dataclass
class ControlPlane:
    """A server that a test steers. `answers` maps a path to what it answers next, first to last, the last one again and again:
    a status, a JSON document and headers. `requests` are all that came: method, path, the Authorization header, the JSON body."""

    url: str = ""
    answers: dict[str, list[tuple[int, Any, dict[str, str]]]] = field(default_factory=dict)
    requests: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def answer(self, path: str, status: int, document: object = None, **headers: str) -> None:
        """Answer `path` so, after what was said to be answered before."""
        self.answers.setdefault(path, []).append((status, document, headers))

    def refuse(self, path: str, status: int, title: str, detail: str) -> None:
        """Answer `path` with a problem document (RFC 9457)."""
        self.answer(path, status, {"type": "about:blank", "title": title, "status": status, "detail": detail})

    def hand_over(self, reference: str, auth: dict[str, Any] | None) -> None:
        """Answer the next provisions with this image and credential, and take the result."""
        image = {"name": "ubuntu-custom", "reference": reference}
        self.answer("/api/v1/provision", 200, {"image": image, "registry_auth": auth, "user_data": None, "provision_id": PROVISION_ID})
        self.answer("/api/v1/provision/result", 200, {"provision_id": PROVISION_ID})

    def results(self) -> list[Any]:
        """The results that were reported."""
        return [body for _, path, _, body in self.requests if path == "/api/v1/provision/result"]


@contextlib.contextmanager
def control_plane(tls: ssl.SSLContext | None = None) -> Iterator[ControlPlane]:
    """Serve on a free port of 127.0.0.1; enrolment works until the test says otherwise."""
    plane = ControlPlane()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            plane.requests.append((self.command, self.path, self.headers.get("Authorization", ""), json.loads(body) if body else None))
            waiting = plane.answers.get(self.path) or [(404, None, {})]
            status, document, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            text = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests' output is for the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        plane.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        plane.answers["/api/v1/enroll"] = [(201, {"agent_id": "f" * 32, "agent_token": AGENT_TOKEN}, {})]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield plane
        finally:
            server.shutdown()
            thread.join()
