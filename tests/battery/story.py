"""Agents ask for their hand-over while members change what they get, and the server is killed again and again: what was seen, and when."""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable
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

_LINK = r'href="{path}/([0-9a-f]{{32}})">{name}</a>'


@dataclass
class Story:
    """What happened in all runs. `agents` are tokens by agent's name; `handed` the provision ids that were answered.

    `restarts` are seconds from the start of a process to its first answer, after a kill.
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
                    await _ask_once_more(server, story)
                    break
                await (_move_in(server, alice, story) if number == 0 else _sign_in(alice))
                await _enrol(alice, story, f"temporary-{number}")
                tasks = [asyncio.create_task(_until_it_dies(work)) for work in _everybody(server, alice, story, number, chance)]
                await asyncio.sleep(seconds * (0.5 + chance.random()))
                server.process.kill()
                story.kills += 1
                await asyncio.gather(*tasks)
                server.process.wait()
    return story


async def _ask_once_more(server: Server, story: Story) -> None:
    """What was acknowledged before the last kill is seen by all agents that there ever were."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_LOOK):
            await asyncio.gather(*(_ask(server, story, name) for name in story.agents))


async def _move_in(server: Server, alice: httpx2.AsyncClient, story: Story) -> None:
    token = server.setup_link.partition("token=")[2]
    assert (await alice.post("/setup", data={"token": token, "email": EMAIL, "password": PASSWORD})).status_code == 303
    await _post(alice, "/registry-credentials", {**CREDENTIAL, "password": "value-0"})
    story.ids["credential"] = await _id(alice, "/registry-credentials", "ghcr")
    await _add_chosen(alice, story, 0)
    await _post(alice, "/images", _image("edited", 0, story))
    story.ids["edited"] = await _id(alice, "/images?q=edited", "edited")
    await _post(alice, "/settings", {"account_name": "Acme", "default_image_id": story.ids["edited"]})
    for name in ("reassigned", *(f"steady-{number}" for number in range(6))):
        await _enrol(alice, story, name)
    await _post(alice, f"/agents/{story.ids['reassigned']}", {"image_id": story.ids["chosen-0"]})


async def _sign_in(alice: httpx2.AsyncClient) -> None:
    await _post(alice, "/login", {"email": EMAIL, "password": PASSWORD})


async def _enrol(alice: httpx2.AsyncClient, story: Story, name: str) -> None:
    shown = (await alice.post("/agents/bootstrap-tokens", data={"lifetime": "10m"})).text
    found = re.search(r"rc_b_[0-9A-Za-z]+_[0-9A-Za-z]+", shown)
    assert found is not None
    answer = await alice.post("/api/v1/enroll", json={"name": name}, headers={"Authorization": f"Bearer {found[0]}"})
    assert answer.status_code == 201, answer.text
    story.agents[name], story.ids[name] = answer.json()["agent_token"], answer.json()["agent_id"]


def _everybody(server: Server, alice: httpx2.AsyncClient, story: Story, number: int, chance: random.Random) -> list[Awaitable[None]]:
    names = [name for name in story.agents if not name.startswith("temporary")] + [f"temporary-{number}"]
    askers = [_ask(server, story, names[client % len(names)]) for client in range(CLIENTS)]
    members = [_replace(alice, story), _edit(alice, story), _reassign(alice, story), _revoke(alice, story, number, chance)]
    return [*askers, *members, story.made.go_on(alice)]


async def _until_it_dies(work: Awaitable[None]) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, httpx2.TransportError):
        await work


async def _ask(server: Server, story: Story, name: str) -> None:
    """An agent on one connection, which asks again as soon as it has its answer."""
    register = f"revoked {name}"
    host, _, port = server.url.removeprefix("http://").partition(":")
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
            _note(story, name, register, int(head[9:12]), body, began)
    finally:
        writer.close()


def _note(story: Story, name: str, register: str, status: int, body: dict[str, dict[str, str]], began: float) -> None:
    ended = time.monotonic()
    assert status in (200, 401), (status, body)
    story.reads.append(Read(register, int(status == 401), began, ended))
    if status == 200:
        value, tag = body["registry_auth"]["password"], body["image"]["reference"].rpartition(":")[2]
        story.reads.append(Read("value", int(value.removeprefix("value-")), began, ended))
        story.reads.append(Read("chosen" if name == "reassigned" else "tag", int(tag), began, ended))
        story.handed.append(str(body["provision_id"]))


async def _replace(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        write = story.begin("value")
        await _change(alice, f"/registry-credentials/{story.ids['credential']}", {**CREDENTIAL, "password": f"value-{write.value}"}, write)


async def _edit(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        write = story.begin("tag")
        await _change(alice, f"/images/{story.ids['edited']}", _image("edited", write.value, story), write)


async def _reassign(alice: httpx2.AsyncClient, story: Story) -> None:
    while True:
        number = story.versions.get("chosen", 0) + 1
        if f"chosen-{number}" not in story.ids:
            await _add_chosen(alice, story, number)
        write = story.begin("chosen")
        await _change(alice, f"/agents/{story.ids['reassigned']}", {"image_id": story.ids[f"chosen-{write.value}"]}, write)
        await asyncio.sleep(0.1)


async def _add_chosen(alice: httpx2.AsyncClient, story: Story, number: int) -> None:
    """An image to be chosen for one agent; it may be there already, when its answer was lost."""
    name = f"chosen-{number:05}"
    answer = await alice.post("/images", data=_image(name, number, story))
    assert answer.status_code in (303, 422), answer.text
    story.ids[f"chosen-{number}"] = await _id(alice, f"/images?q={name}", name)


async def _revoke(alice: httpx2.AsyncClient, story: Story, number: int, chance: random.Random) -> None:
    name = f"temporary-{number}"
    await asyncio.sleep(chance.random() * 0.5)
    await _change(alice, f"/agents/{story.ids[name]}/revoke", {}, story.begin(f"revoked {name}"))


async def _change(alice: httpx2.AsyncClient, path: str, data: dict[str, str], write: Write) -> None:
    answer = await alice.post(path, data=data)
    assert answer.status_code == 303, answer.text
    write.acknowledged = time.monotonic()


async def _post(alice: httpx2.AsyncClient, path: str, data: dict[str, str]) -> None:
    answer = await alice.post(path, data=data)
    assert answer.status_code == 303, answer.text


async def _id(alice: httpx2.AsyncClient, path: str, name: str) -> str:
    page = (await alice.get(path)).text
    found = re.search(_LINK.format(path=path.partition("?")[0], name=name), page)
    assert found is not None, f"{name} is not listed"
    return found[1]


CREDENTIAL = {"name": "ghcr", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}


def _image(name: str, tag: int, story: Story) -> dict[str, str]:
    return {"name": name, "docker_image_url": f"ghcr.io/acme/ubuntu:{tag}", "registry_credential_id": story.ids["credential"]}
