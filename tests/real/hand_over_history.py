"""Agents ask for their hand-over while members change what they get, and the server is killed again and again: what was seen, and when.

`python -m tests.real.hand_over_history --runs 100` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import json
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from e2e.server import Server, serve
from tests.real.history import Read, Write, violations
from webapp.chain import FIRST_MAC, mac_input
from webapp.provisioning.provision_id import place_of
from webapp.settings import Settings
from webapp.store import open_store

EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"
CLIENTS = 24
IMAGES = 60
"""Images to be chosen for one agent, one after the other."""

_LINK = r'href="{path}/([0-9a-f]{{32}})">{name}</a>'


@dataclass
class Story:
    """What happened in all runs. `agents` are tokens by agent's name; `handed` the provision ids that were answered."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    agents: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    handed: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    kills: int = 0

    def begin(self, register: str) -> Write:
        """The register's next write begins."""
        self.versions[register] = self.versions.get(register, 0) + 1
        write = Write(register, self.versions[register], time.monotonic())
        self.writes.append(write)
        return write


async def tell(folder: Path, runs: int, seconds: float, seed: int) -> Story:
    """Let it happen: so many runs on one store, each ended by SIGKILL after about so many seconds."""
    story, chance = Story(), random.Random(seed)  # noqa: S311  not a secret
    for number in range(runs):
        with serve(folder, WEBAPP_LOG_LEVEL="info") as server:
            async with httpx2.AsyncClient(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=10) as alice:
                await (_move_in(server, alice, story) if number == 0 else _sign_in(alice))
                await _enrol(alice, story, f"temporary-{number}")
                tasks = [asyncio.create_task(_until_it_dies(work)) for work in _everybody(server, alice, story, number, chance)]
                await asyncio.sleep(seconds * (0.5 + chance.random()))
                server.process.kill()
                story.kills += 1
                await asyncio.gather(*tasks)
                server.process.wait()
    return story


async def released_without_a_row(folder: Path, story: Story) -> list[str]:
    """The provision ids that were answered and are not in the audit log; raises AssertionError when its chain is broken."""
    settings = Settings.from_environ({"WEBAPP_DATA_DIR": str(folder / "data")})
    async with open_store(settings) as store:
        rows = await store.database.fetch_all("SELECT * FROM audit_log ORDER BY seq")
        previous, released = FIRST_MAC, set()
        for number, row in enumerate(rows, 1):
            assert row["seq"] == number, f"the row {number} is missing"
            assert row["mac"] == store.vault.audit_mac(mac_input(previous, row)), f"the row {number} does not follow the one before"
            previous = bytes(row["mac"])
            if row["action"] in ("registry_credential.release", "image.hand_over") and row["decision"] == "allowed":
                released.add((row["at"], row["seq"]))
    with closing(sqlite3.connect(settings.data_dir / "registry-credentials.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return [provision_id for provision_id in story.handed if place_of(provision_id) not in released]


async def _move_in(server: Server, alice: httpx2.AsyncClient, story: Story) -> None:
    token = server.setup_link.partition("token=")[2]
    assert (await alice.post("/setup", data={"token": token, "email": EMAIL, "password": PASSWORD})).status_code == 303
    await _post(alice, "/registry-credentials", {**CREDENTIAL, "password": "value-0"})
    story.ids["credential"] = await _id(alice, "/registry-credentials", "ghcr")
    for number in range(IMAGES):
        await _post(alice, "/images", _image(f"chosen-{number:03}", number, story))
        story.ids[f"chosen-{number}"] = await _id(alice, f"/images?q=chosen-{number:03}", f"chosen-{number:03}")
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
    return [*askers, _replace(alice, story), _edit(alice, story), _reassign(alice, story), _revoke(alice, story, number, chance)]


async def _until_it_dies(work: Awaitable[None]) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, httpx2.TransportError):
        await work


async def _ask(server: Server, story: Story, name: str) -> None:
    """An agent on one connection, which asks again as soon as it has its answer."""
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
            _note(story, name, int(head[9:12]), body, began, time.monotonic())
    finally:
        writer.close()


def _note(story: Story, name: str, status: int, body: dict[str, dict[str, str]], began: float, ended: float) -> None:
    assert status in (200, 401), (status, body)
    story.reads.append(Read(f"revoked {name}", int(status == 401), began, ended))
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
    while story.versions.get("chosen", 0) < IMAGES - 1:
        write = story.begin("chosen")
        await _change(alice, f"/agents/{story.ids['reassigned']}", {"image_id": story.ids[f"chosen-{write.value}"]}, write)
        await asyncio.sleep(0.2)


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


def main() -> int:
    """Tell a long story and say what was found; 1 when anything was stale, or left without its row."""
    parser = argparse.ArgumentParser(prog="python -m tests.real.hand_over_history", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-") as name:
        story = asyncio.run(tell(Path(name), options.runs, options.seconds, options.seed))
        wrong = violations(story.writes, story.reads)
        without = asyncio.run(released_without_a_row(Path(name), story))
    acknowledged = sum(write.acknowledged is not None for write in story.writes)
    print(
        f"{story.kills} kills, {acknowledged:,} acknowledged changes, {len(story.handed):,} hand-overs, {len(story.reads):,} reads (seed"
        f" {options.seed}): {len(wrong)} stale, {len(without)} released without their row",
        *wrong[:20],
        sep="\n",
    )
    return 1 if wrong or without else 0


if __name__ == "__main__":
    sys.exit(main())
