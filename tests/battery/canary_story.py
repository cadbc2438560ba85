"""The story in which secrets are planted and used, right and wrong, at a server that people run."""

import json
import os
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx2

from e2e.server import Server, serve
from tests.battery.places import PLACES
from tests.real.service_account import service_account_key

TOKEN = re.compile(r"rc_[abips]_[0-9A-Za-z]+_[0-9A-Za-z]+")
EMAIL = "alice@example.com"


@dataclass
class Scene:
    """The folder, the secrets that were planted so far (by what they are), and how often each was handed to whom it is for."""

    folder: Path
    planted: dict[str, str] = field(default_factory=dict)
    used: int = 0
    cores: int = 0
    numbers: Iterator[int] = field(default_factory=count)
    clients: list[httpx2.Client] = field(default_factory=list)

    def plant(self, what: str) -> str:
        """A new secret, with all signs that are written otherwise in another form."""
        secret = f"Kanarie+{secrets.token_urlsafe(9)}/é<&=%{secrets.token_urlsafe(9)}"
        self.planted[f"{what} {next(self.numbers)}"] = secret
        return secret

    def keep(self, what: str, secret: str) -> str:
        """A secret that somebody else made."""
        self.planted[f"{what} {next(self.numbers)}"] = secret
        return secret

    def note(self, folder: str, name: str, content: bytes) -> None:
        """Something to be searched."""
        (self.folder / folder / f"{next(self.numbers)}-{name}").write_bytes(content)


@contextmanager
def running(scene: Scene, log_format: str = "text") -> Iterator[Server]:
    """The server, in a folder and with a folder for temporary files of its own; its log and its output are kept."""
    for place in PLACES:
        (scene.folder / place.folder).mkdir(exist_ok=True)
    with chdir(scene.folder / "cores"):
        started = serve(scene.folder, TMPDIR=str(scene.folder / "temporary"), WEBAPP_LOG_FORMAT=log_format)
        server = started.__enter__()
    try:
        yield server
    finally:
        while scene.clients:
            scene.clients.pop().close()
        started.__exit__(None, None, None)
        scene.note("logs", "log", server.log.read_bytes())
        scene.note("logs", "output", re.sub(r"token=\S+", "", server.output).encode())  # the link is for whoever reads it


class Browser:
    """Somebody's browser, or an agent, of which every answer is kept but those that are meant to hold a secret."""

    def __init__(self, scene: Scene, server: Server) -> None:
        self.scene = scene
        self.client = httpx2.Client(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30)
        scene.clients.append(self.client)

    def ask(self, method: str, path: str, *, secret: bool = False, **options: object) -> httpx2.Response:
        """Ask, and keep what is answered."""
        answer = self.client.request(method, path, **options)  # type: ignore[arg-type]
        if not secret:
            headers = [header for header in answer.headers.multi_items() if header[0].lower() != "set-cookie"]  # it is the browser's own
            self.scene.note("answers", "answer", repr(headers).encode() + answer.content)
        return answer

    def post(self, path: str, expected: int = 303, /, **data: str) -> httpx2.Response:
        """Send a form."""
        answer = self.ask("POST", path, data=data)
        assert answer.status_code == expected, f"{path}: {answer.status_code}"
        return answer

    def id_of(self, path: str, name: str) -> str:
        """The id behind a name in a list."""
        found = re.search(rf'href="{path}/([^"/?]+)">{re.escape(name)}</a>', self.ask("GET", f"{path}?q={name}").text)
        assert found is not None, name
        return found[1]


def tell(scene: Scene, rounds: int) -> None:
    """Plant and use so many rounds of secrets; then have the server die with a core, if it left any, twice."""
    password = scene.plant("a member's password")
    for turn in range(rounds):
        with running(scene, "json" if turn % 2 else "text") as server:
            alice = Browser(scene, server)
            if turn == 0:
                token = scene.keep("the set-up token", server.setup_link.partition("token=")[2])
                alice.post("/setup", token=token, email=EMAIL, password=password)
            alice.post("/login", email=EMAIL, password=password)
            scene.keep("a session", str(alice.client.cookies["session"]))
            _stumble(scene, server)
            _store_and_use(scene, server, alice, f"{turn}")
            _commands(scene, server)
            _crawl(alice)
            for place in PLACES:
                place.fill(server, scene.folder / place.folder)
            if turn >= rounds - 2:
                scene.cores += _dies(server, (signal.SIGSEGV, signal.SIGABRT)[turn % 2])


def _stumble(scene: Scene, server: Server) -> None:
    """Whatever somebody does who types a secret where it does not belong, or sends it broken."""
    stranger = Browser(scene, server)
    stranger.post("/login", 422, email=EMAIL, password=scene.plant("a mistyped password"))
    stranger.ask("GET", "/api/v1/provision", headers={"Authorization": f"Bearer {scene.plant('a broken token').encode().hex()}"})
    stranger.ask("GET", "/registry-credentials", headers={"Cookie": f"session={scene.plant('a broken session').encode().hex()}"})
    secret = scene.plant("a broken body")
    stranger.ask("POST", "/api/v1/enroll", content=f'{{"name": "{secret}'.encode(), headers={"Authorization": "Bearer x"})
    stranger.ask("POST", "/login", content=f"email={secret}".encode(), headers={"Content-Type": "application/json"})
    stranger.ask("POST", "/login", content=f"--x\r\n{secret}".encode(), headers={"Content-Type": "multipart/form-data; boundary=x"})


def _store_and_use(scene: Scene, server: Server, alice: Browser, turn: str) -> None:
    fields = {"name": f"ghcr{turn}", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}
    alice.post("/registry-credentials", **fields, password=scene.plant("a password that is replaced"))
    credential = alice.id_of("/registry-credentials", f"ghcr{turn}")
    for wrong in ({"registry_url": "not a host"}, {"name": f"ghcr{turn}"}, {"username": "a:b"}):
        alice.post(
            "/registry-credentials",
            422,
            **{**fields, "name": "other", **wrong},
            password=scene.plant("a password in a form that is refused"),
        )
    handed = scene.plant("a password")
    alice.post(f"/registry-credentials/{credential}", **fields, password=handed)
    key = service_account_key()
    for number, line in enumerate(json.loads(key)["private_key"].splitlines()[1:-1:8]):
        scene.keep(f"line {number} of a key file", line)
    google = {"name": f"gar{turn}", "registry_url": "europe-docker.pkg.dev", "auth_method": "gcp_service_account_key"}
    alice.post("/registry-credentials", **google, service_account_key=key.decode())
    alice.post("/registry-credentials", 422, **{**google, "name": "other"}, service_account_key=key.decode()[:-9])
    for name, expected in (("no name", 422), (f"DB{turn}", 303), (f"DB{turn}", 422)):
        alice.post("/secrets", expected, name=name, value=scene.plant("a secret"))
    value, waiting = scene.plant("an imported secret"), scene.plant("a secret in an import that waits")
    preview = alice.post("/secrets/import", 200, env=f"TOKEN{turn}='{value}'\nbad name={scene.plant('a refused line')}\n").text
    found = re.search(r'action="(/secrets/import/[^"]+)"', preview)
    assert found is not None
    alice.post(found[1])
    alice.post("/secrets/import", 200, env=f"TOKEN{turn}='{waiting}'\n")
    alice.post("/secrets/import", 200, env=f"'{scene.plant('what is no .env file')}")
    template = f"a={{{{ secrets.TOKEN{turn} }}}}\nb={{{{ secrets.DB{turn}|b64encode }}}}"
    image = {"name": f"ubuntu{turn}", "docker_image_url": "ghcr.io/acme/ubuntu:1", "registry_credential_id": credential}
    alice.post("/images/user-data-preview", 200, **image, user_data=template)
    alice.post("/images", **image, user_data=template)
    _hand_over(scene, server, alice, turn, handed, value)


def _hand_over(scene: Scene, server: Server, alice: Browser, turn: str, handed: str, value: str) -> None:
    made = TOKEN.search(alice.ask("POST", "/agents/bootstrap-tokens", secret=True, data={"lifetime": "10m"}).text)
    assert made is not None
    bootstrap, rack = scene.keep("a bootstrap token", made[0]), Browser(scene, server)
    enrolled = rack.ask(
        "POST", "/api/v1/enroll", secret=True, json={"name": f"rack{turn}"}, headers={"Authorization": f"Bearer {bootstrap}"}
    ).json()
    rack.client.headers["Authorization"] = f"Bearer {scene.keep('an agent token', enrolled['agent_token'])}"
    rack.ask("GET", "/api/v1/provision")  # no image yet
    alice.post(f"/agents/{enrolled['agent_id']}", image_id=alice.id_of("/images", f"ubuntu{turn}"))
    for query in ("", "?format=docker-config", ""):
        answer = rack.ask("GET", f"/api/v1/provision{query}", secret=True)
        assert answer.status_code == 200
        scene.used += handed in answer.text and value in answer.text
    rack.ask("GET", "/api/v1/provision?format=yaml")
    result = {"provision_id": answer.headers["provision-id"], "outcome": "failed", "digest": None}
    assert rack.ask("POST", "/api/v1/provision/result", json={**result, "error": f"denied: {handed} and {value}"}).status_code == 200
    rack.ask("POST", "/api/v1/provision/result", json={**result, "error": f"again: {handed}"})
    rack.ask("POST", "/api/v1/provision/result", json={**result, "outcome": handed})
    alice.post(f"/agents/{enrolled['agent_id']}/revoke")
    assert rack.ask("GET", "/api/v1/provision").status_code == 401


def _commands(scene: Scene, server: Server) -> None:
    """The command line, by the server: what it says is searched, but for the token that it is asked for."""
    for number, arguments in enumerate((("check",), ("audit", "verify"), ("rotate-key",))):
        ended = server.run(*arguments)
        assert ended.returncode == 0, arguments
        scene.note("outputs", f"{number}", (ended.stdout + ended.stderr).encode())
    scene.keep("a bootstrap token", server.run("bootstrap-token").stdout.strip())
    email = f"admin{next(scene.numbers)}@example.com"
    for password in (scene.plant("an admin's password"), scene.plant("a password of an admin who is there")):
        ended = server.run("create-admin", "--email", email, "--password-stdin", text=password + "\n")
        scene.note("outputs", "admin", (ended.stdout + ended.stderr).encode())


def _crawl(alice: Browser) -> None:
    """Every page that links lead to."""
    seen, todo = set[str](), ["/registry-credentials", "/secrets/new", "/secrets/import"]
    while todo and len(seen) < 400:
        url = todo.pop()
        if url not in seen:
            seen.add(url)
            text = alice.ask("GET", url).text
            links = re.findall(r'(?:href|hx-get|action)="(/[^"#]*)"', text)
            todo += [link.replace("&amp;", "&") for link in links if not link.startswith(("/logout", "/static"))]


def _dies(server: Server, by: signal.Signals) -> int:
    """Have it die by a signal that leaves a core; returns whether there was one."""
    server.process.send_signal(by)
    _, status = os.waitpid(server.process.pid, 0)
    server.process.returncode = -os.WTERMSIG(status)
    assert os.WTERMSIG(status) == by
    return int(os.WCOREDUMP(status))
