"""Agents ask for their hand-over while members change what they get, and the server is killed again and again: what was seen, and when."""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from e2e.server import Server, serve
from tests.battery.made import Made
from tests.real.history import Read, Write

EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"
CLIENTS = 24
LAST_LOOK = 0.3
"""Seconds of asking after the last kill."""

UNAVAILABLE, UNAUTHORISED = 503, 401
SIGN_IN_EVERY = 30.0
PAUSE = 0.02
"""Seconds before somebody who was told to try again does."""

_LINK = r'href="{path}/([0-9a-f]{{32}})">{name}</a>'


@dataclass
class Story:
    """What happened in all runs. `agents` are tokens by agent's name; `handed` the provision ids that were answered.

    `restarts` are seconds from the start of a process to its first answer, after a kill. Where it `may_refuse` an answer may be 503, which
    says nothing about whether a change was made; `refused` are when each was, and the seconds that it took.
    """

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    agents: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    handed: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    made: Made = field(default_factory=Made)
    kills: int = 0
    restarts: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    may_refuse: bool = False
    refused: list[tuple[float, float]] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds that the slowest answer took, but for those that refused a token: before these a row of its own is written."""

    def is_refused(self, status: int, began: float) -> bool:
        """Whether this answer, to what was asked then, says to try again; it is noted, and how long it took."""
        if status != UNAUTHORISED:
            self.slowest = max(self.slowest, time.monotonic() - began)
        if status == UNAVAILABLE and self.may_refuse:
            self.refused.append((time.monotonic(), time.monotonic() - began))
            return True
        return False

    def begin(self, register: str) -> Write:
        """The register's next write begins."""
        self.versions[register] = self.versions.get(register, 0) + 1
        write = Write(register, self.versions[register], time.monotonic())
        self.writes.append(write)
        return write


async def tell(folder: Path, runs: int, seconds: float, seed: int) -> Story:
    """Let it happen: so many runs on one store, each ended by SIGKILL after about so many seconds, and a last look at it."""
    story, chance = Story(), random.Random(seed)  # noqa: S311  not a secret
    for number in range(runs + 1):
        started = time.monotonic()
        with serve(folder, WEBAPP_LOG_LEVEL="info") as server:
            async with httpx2.AsyncClient(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=10) as alice:
                assert (await alice.get("/readyz")).status_code == 200
                if number > 0:
                    story.restarts.append(time.monotonic() - started)
                    story.lost += story.made.missing(folder)
                if number == runs:
                    await ask_once_more([server.url], story)
                    break
                await (move_in(server, alice, story) if number == 0 else _sign_in(alice))
                await enrol(alice, story, f"temporary-{number}")
                tasks = [asyncio.create_task(_until_it_dies(work)) for work in everybody([server.url], alice, story, number, chance)]
                await asyncio.sleep(seconds * (0.5 + chance.random()))
                server.process.kill()
                story.kills += 1
                await asyncio.gather(*tasks)
                server.process.wait()
    return story


async def ask_once_more(urls: Sequence[str], story: Story) -> None:
    """What was acknowledged before the last kill is seen by all agents that there ever were, at each of these addresses."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_LOOK):
            await asyncio.gather(*(_ask(url, story, name) for name in story.agents for url in urls))


async def move_in(server: Server, alice: httpx2.AsyncClient, story: Story) -> None:
    """Set up the account, what is changed later, and the agents that are not revoked; alice is signed in."""
    token = server.setup_link.partition("token=")[2]
    assert (await alice.post("/setup", data={"token": token, "email": EMAIL, "password": PASSWORD})).status_code == 303
    await _post(alice, "/registry-credentials", {**CREDENTIAL, "password": "value-0"})
    story.ids["credential"] = await _id(alice, "/registry-credentials", "ghcr")
    await _add_chosen(alice, story, 0)
    await _post(alice, "/images", _image("edited", 0, story))
    story.ids["edited"] = await _id(alice, "/images?q=edited", "edited")
    await _post(alice, "/settings", {"account_name": "Acme", "default_image_id": story.ids["edited"]})
    for name in ("reassigned", *(f"steady-{number}" for number in range(6))):
        await enrol(alice, story, name)
    await _post(alice, f"/agents/{story.ids['reassigned']}", {"image_id": story.ids["chosen-0"]})


async def stay_signed_in(alice: httpx2.AsyncClient, url: str) -> None:
    """Enter the password again before it is asked for, until that is stopped: what hands out keys wants it every five minutes."""
    while True:
        await asyncio.sleep(SIGN_IN_EVERY)
        # As at another machine: signing in again ends the session that it is done in, and what is under way would be turned away.
        async with httpx2.AsyncClient(base_url=url, headers=alice.headers, timeout=alice.timeout) as other:
            await other.post("/login", data={"email": EMAIL, "password": PASSWORD})
            if "session" in other.cookies:
                alice.cookies = other.cookies


async def _sign_in(alice: httpx2.AsyncClient) -> None:
    await _post(alice, "/login", {"email": EMAIL, "password": PASSWORD})


async def enrol(alice: httpx2.AsyncClient, story: Story, name: str) -> None:
    """Have an agent enrolled; it is the story's when that is acknowledged."""
    began = time.monotonic()
    shown = await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})
    if story.is_refused(shown.status_code, began):
        return
    found = re.search(r"rc_b_[0-9A-Za-z]+_[0-9A-Za-z]+", shown.text)
    assert found is not None
    began = time.monotonic()
    answer = await alice.post("/api/v1/enroll", json={"name": name}, headers={"Authorization": f"Bearer {found[0]}"})
    if story.is_refused(answer.status_code, began):
        return
    assert answer.status_code == 201, answer.text
    story.agents[name], story.ids[name] = answer.json()["agent_token"], answer.json()["agent_id"]


def everybody(
    urls: Sequence[str], alice: httpx2.AsyncClient, story: Story, number: int, chance: random.Random
) -> list[Coroutine[None, None, None]]:
    """All who ask, in turn at each of these addresses, and all who change; each goes on until it is stopped."""
    names = [name for name in story.agents if not name.startswith("temporary")] + [f"temporary-{number}"]
    askers = [_ask(urls[client // len(names) % len(urls)], story, names[client % len(names)]) for client in range(CLIENTS)]
    members = [_replace(alice, story), _edit(alice, story), _reassign(alice, story), _revoke(alice, story, number, chance)]
    return [*askers, *members, story.made.go_on(alice, story.is_refused)]


async def _until_it_dies(work: Awaitable[None]) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, httpx2.TransportError):
        await work


async def _ask(url: str, story: Story, name: str) -> None:
    """An agent on one connection, which asks again as soon as it has its answer."""
    register = f"revoked {name}"
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = f"GET /api/v1/provision HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {story.agents[name]}\r\n\r\n".encode()
    try:
        while True:
            began = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            body = json.loads(await reader.readexactly(int(length[1])))
            if story.is_refused(int(head[9:12]), began):
                await asyncio.sleep(PAUSE)
            else:
                _note(story, name, register, int(head[9:12]), body, began)
    finally:
        writer.close()


def _note(story: Story, name: str, register: str, status: int, body: dict[str, dict[str, str]], began: float) -> None:
    ended = time.monotonic()
    assert status in (200, 401), (status, body)
    story.reads.append(Read(register, int(status == UNAUTHORISED), began, ended))
    if status == 200:
        value, tag = body["registry_auth"]["password"], body["image"]["reference"].rpartition(":")[2]
        story.reads.append(Read("value", int(value.removeprefix("value-")), began, ended))
        story.reads.append(Read("chosen" if name == "reassigned" else "tag", int(tag), began, ended))
        story.handed.append(str(body["provision_id"]))


async def _replace(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        write = story.begin("value")
        form = {**CREDENTIAL, "password": f"value-{write.value}"}
        await _change(alice, f"/registry-credentials/{story.ids['credential']}", form, write, story)


async def _edit(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        write = story.begin("tag")
        await _change(alice, f"/images/{story.ids['edited']}", _image("edited", write.value, story), write, story)


async def _reassign(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        number = story.versions.get("chosen", 0) + 1
        if f"chosen-{number}" not in story.ids:
            await _add_chosen(alice, story, number)
        if f"chosen-{number}" not in story.ids:
            await asyncio.sleep(PAUSE)
            continue
        write = story.begin("chosen")
        chosen = {"image_id": story.ids[f"chosen-{write.value}"]}
        await _change(alice, f"/agents/{story.ids['reassigned']}", chosen, write, story)
        await asyncio.sleep(0.1)


async def _add_chosen(alice: httpx2.AsyncClient, story: Story, number: int) -> None:
    """An image to be chosen for one agent; it may be there already, when its answer was lost."""
    name, began = f"chosen-{number:05}", time.monotonic()
    answer = await alice.post("/images", data=_image(name, number, story))
    if story.is_refused(answer.status_code, began):
        return
    assert answer.status_code in (303, 422), answer.text
    began = time.monotonic()
    shown = await alice.get(f"/images?q={name}")
    if not story.is_refused(shown.status_code, began):
        story.ids[f"chosen-{number}"] = _listed(shown.text, "/images", name)


async def _revoke(alice: httpx2.AsyncClient, story: Story, number: int, chance: random.Random) -> None:
    name = f"temporary-{number}"
    await asyncio.sleep(chance.random() * 0.5)
    await _change(alice, f"/agents/{story.ids[name]}/revoke", {}, story.begin(f"revoked {name}"), story)


async def _change(alice: httpx2.AsyncClient, path: str, data: dict[str, str], write: Write, story: Story) -> None:
    answer = await alice.post(path, data=data)
    if story.is_refused(answer.status_code, write.began):
        await asyncio.sleep(PAUSE)
        return
    assert answer.status_code == 303, answer.text
    assert not answer.headers["Location"].startswith("/login"), "nobody was signed in"
    write.acknowledged = time.monotonic()


async def _post(alice: httpx2.AsyncClient, path: str, data: dict[str, str]) -> None:
    answer = await alice.post(path, data=data)
    assert answer.status_code == 303, answer.text


async def _id(alice: httpx2.AsyncClient, path: str, name: str) -> str:
    return _listed((await alice.get(path)).text, path.partition("?")[0], name)


def _listed(page: str, path: str, name: str) -> str:
    found = re.search(_LINK.format(path=path, name=name), page)
    assert found is not None, f"{name} is not listed"
    return found[1]


CREDENTIAL = {"name": "ghcr", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}


def _image(name: str, tag: int, story: Story) -> dict[str, str]:
    return {"name": name, "docker_image_url": f"ghcr.io/acme/ubuntu:{tag}", "registry_credential_id": story.ids["credential"]}
