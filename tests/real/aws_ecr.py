"""What speaks as Amazon ECR and AWS STS do: moto's server, with a proxy before it that a test steers.

moto's tokens have expired in 2015, and it takes every signature. The proxy says until when a token is good, gives each another value,
counts, remembers who signed, and fails when it is told to. It is in the tests' own process, and serves servers in others as well.
"""

import base64
import contextlib
import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.real.http_server import Handler, serving

HOUR = 3600 * 1000
GET_TOKEN, ASSUME_ROLE = "GetAuthorizationToken", "AssumeRole"

_SIGNED_BY = re.compile(r"Credential=([^/]+)/[0-9]{8}/([a-z0-9-]+)/([a-z]+)/")


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class AwsEcr:
    """The running proxy. `clock` and `lives` (Unix ms and milliseconds) say when its tokens expire; `tokens` are all that it has given,
    `ends` when each of them expires.

    `errors` maps an action to the status and the code with which it fails. Where `hang` is not set, answers wait for it; `came` is set when
    somebody asks. `asked` counts the actions; `signed_by` and `forms` are the access key ids and the parameters of each question, in
    their order.
    """

    origin: str
    clock: Callable[[], int] = _now
    lives: int = 12 * HOUR
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    hang: threading.Event = field(default_factory=threading.Event)
    came: threading.Event = field(default_factory=threading.Event)
    asked: Counter[str] = field(default_factory=Counter)
    signed_by: list[tuple[str, str]] = field(default_factory=list)
    regions: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """The variables with which a control plane asks here and not at AWS."""
        return {"WEBAPP_AWS_ECR_ENDPOINT": self.origin, "WEBAPP_AWS_STS_ENDPOINT": self.origin}

    def accepts(self, password: bytes) -> bool:
        """Whether this is a token that was given and has not expired: for a registry's token server."""
        return self.ends.get(password.decode("utf-8", "replace"), 0) > self.clock()

    def begin(self, clock: Callable[[], int] = _now) -> None:
        """Forget what was said and counted: for the next test."""
        self.clock, self.lives = clock, 12 * HOUR
        self.hang.set()
        self.came.clear()
        for each in (self.errors, self.asked, self.signed_by, self.regions, self.forms, self.tokens, self.ends):
            each.clear()

    def _token(self, body: bytes) -> bytes:
        """moto's answer with a token and an expiry of our own; AWS gives seconds with a fraction."""
        document = json.loads(body)
        self.tokens.append(f"ecr-token-{len(self.tokens) + 1}-{'x' * 1400}")
        data = document["authorizationData"][0]
        data["authorizationToken"] = base64.b64encode(f"AWS:{self.tokens[-1]}".encode()).decode()
        self.ends[self.tokens[-1]] = self.clock() + self.lives
        data["expiresAt"] = self.ends[self.tokens[-1]] / 1000
        return json.dumps(document).encode()


@contextlib.contextmanager
def aws_ecr(moto: str) -> Iterator[AwsEcr]:
    """Stand before moto's server at this origin until the block ends."""
    state = AwsEcr("")
    state.hang.set()

    class Proxy(Handler):
        def do_POST(self) -> None:
            body = self.body()
            form = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
            target = self.headers.get("X-Amz-Target", "")
            action = form.get("Action") or target.rpartition(".")[2]
            state.asked[action] += 1
            state.forms.append(form)
            if signed := _SIGNED_BY.search(self.headers.get("Authorization", "")):
                state.signed_by.append((action, signed[1]))
                state.regions.add(signed[2])
            state.came.set()
            state.hang.wait()
            if action in state.errors:
                self._fail(*state.errors[action], xml=not target)
                return
            connection = http.client.HTTPConnection(urlsplit(moto).netloc, timeout=10)
            with contextlib.closing(connection):
                connection.request("POST", self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                said, kind = answer.read(), answer.getheader("Content-Type") or ""
            self.answer(answer.status, kind, state._token(said) if action == GET_TOKEN and answer.status == 200 else said)

        def _fail(self, status: int, code: str, *, xml: bool) -> None:
            if xml:
                error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>"
                text, kind = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>", "text/xml"
            else:
                text, kind = json.dumps({"__type": code, "message": "no"}), "application/x-amz-json-1.1"
            self.answer(status, kind, text.encode())

    with serving(Proxy) as origin:
        state.origin = origin
        try:
            yield state
        finally:
            state.hang.set()
