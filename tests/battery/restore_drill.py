"""A backup under load, the whole data directory lost, and a restore: every secret is handed over again, and nothing that signed in is in.

`python -m tests.battery.restore_drill --cycles 20` is the long form; a short one is in the suite.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from e2e.server import Server, run, serve

EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"
CREDENTIALS = 12
"""In the long form."""
READERS = 4

_TOKEN = re.compile(r"rc_b_[0-9A-Za-z]+_[0-9A-Za-z]+")


@dataclass
class Drill:
    """What there was when the backup was made, and what went wrong with it. `agents` are tokens by the value that each is handed."""

    agents: dict[str, str] = field(default_factory=dict)
    revoked: str = ""
    sessions: list[str] = field(default_factory=list)
    bootstrap: list[str] = field(default_factory=list)
    handed: int = 0
    wrong: list[str] = field(default_factory=list)

    def expect(self, true: bool, sentence: str) -> None:
        """Note the sentence unless it holds."""
        if not true:
            self.wrong.append(sentence)


def drill(folder: Path, agents: str, credentials: int = CREDENTIALS) -> Drill:
    """One drill in this empty folder, with the agents kept or ended."""
    done = Drill()
    backup = folder / "elsewhere" / "backup.db"
    backup.parent.mkdir(parents=True)
    with serve(folder / "server", WEBAPP_LOG_LEVEL="info") as server:
        asyncio.run(_before(server, done, backup, credentials))
        server.process.kill()
        server.process.wait()
    heads = str(shutil.copy(folder / "server" / "data-heads" / "heads.jsonl", folder / "elsewhere"))
    shutil.rmtree(folder / "server" / "data")
    restored = run(server.environ, "restore", str(backup), "--agents", agents)
    done.expect(restored.returncode == 0, f"restore: {restored.stderr}")
    with serve(folder / "server", WEBAPP_LOG_LEVEL="info") as server:
        asyncio.run(_after(server, done, agents))
        for command in (["check"], ["audit", "verify", "--heads", heads], ["audit", "verify"]):
            found = server.run(*command)
            done.expect(found.returncode == 0, f"{' '.join(command[:2])}: {found.stdout}{found.stderr}")
    done.expect("A backup was restored" in found.stdout, "verify does not show the restore")
    return done


async def _before(server: Server, done: Drill, backup: Path, credentials: int) -> None:
    async with _client(server) as alice, _client(server) as elsewhere:
        token = server.setup_link.partition("token=")[2]
        await alice.post("/setup", data={"token": token, "email": EMAIL, "password": PASSWORD})
        for number in range(credentials):
            await _furnish(alice, done, number)
        done.revoked = done.agents.pop("value-0")
        await elsewhere.post("/login", data={"email": EMAIL, "password": PASSWORD})
        done.sessions = [str(client.cookies["session"]) for client in (alice, elsewhere)]
        done.bootstrap = [await _bootstrap(alice), await _bootstrap(alice)]
        # One is used before the backup; agents and people go on while it is made.
        going = True

        def goes_on() -> bool:
            return going

        readers = [asyncio.create_task(_read(server, done, agent, goes_on)) for agent in list(done.agents.values())[:READERS]]
        writer = asyncio.create_task(_write(alice, goes_on))
        await asyncio.sleep(0.2)
        made = await asyncio.to_thread(server.run, "backup", str(backup))
        done.expect(made.returncode == 0, f"backup: {made.stderr}")
        # What happens after the backup is lost with the directory; the agent that is revoked now lives again where agents are kept.
        page = (await alice.get("/agents")).text
        found = re.search(r'href="/agents/([0-9a-f]{32})">machine-0</a>', page)
        assert found is not None
        await alice.post(f"/agents/{found[1]}/revoke")
        done.expect(await _provision(alice, done.revoked) == 401, "an agent that is revoked is handed something")
        await asyncio.sleep(0.2)
        going = False
        await asyncio.gather(*readers, writer)


async def _furnish(alice: httpx2.AsyncClient, done: Drill, number: int) -> None:
    """A credential, an image that needs it, and an agent that is handed it."""
    method = {"name": f"c-{number}", "registry_url": "ghcr.io", "auth_method": "password", "username": "bot", "password": f"value-{number}"}
    await alice.post("/registry-credentials", data=method)
    credential = await _id(alice, "/registry-credentials", f"c-{number}")
    url = f"ghcr.io/acme/os:{number}"
    await alice.post("/images", data={"name": f"i-{number}", "docker_image_url": url, "registry_credential_id": credential})
    image = await _id(alice, "/images", f"i-{number}")
    answer = await alice.post("/api/v1/enroll", json={"name": f"machine-{number}"}, headers=_bearer(await _bootstrap(alice)))
    await alice.post(f"/agents/{answer.json()['agent_id']}", data={"image_id": image})
    done.agents[f"value-{number}"] = answer.json()["agent_token"]


async def _after(server: Server, done: Drill, agents: str) -> None:
    async with _client(server) as stranger:
        for value, token in done.agents.items():
            answer = await stranger.get("/api/v1/provision", headers=_bearer(token))
            if agents == "keep":
                done.expect(
                    answer.status_code == 200 and answer.json()["registry_auth"]["password"] == value, f"{value} is not handed over"
                )
                done.handed += 1
            else:
                done.expect(answer.status_code == 401, "an agent that was ended is handed something")
        done.expect(await _provision(stranger, done.revoked) == (200 if agents == "keep" else 401), "the revoked agent is not as was said")
        for token in done.bootstrap:
            answer = await stranger.post("/api/v1/enroll", json={"name": "new"}, headers=_bearer(token))
            done.expect(answer.status_code == 401, "an old bootstrap token enrols")
        for session in done.sessions:
            async with _client(server, session=session) as old:
                done.expect((await old.get("/registry-credentials")).status_code == 303, "an old session is signed in")
        done.expect((await stranger.post("/login", data={"email": EMAIL, "password": PASSWORD})).status_code == 303, "nobody can sign in")
        listed = (await stranger.get("/registry-credentials")).text
        done.expect(all(f">c-{number}</a>" in listed for number in range(1 + len(done.agents))), "a credential is missing")


async def _read(server: Server, done: Drill, agent: str, goes_on: Callable[[], bool]) -> None:
    async with _client(server) as client:
        while goes_on():
            done.expect(await _provision(client, agent) == 200, "a hand-over failed while the backup was made")


async def _write(alice: httpx2.AsyncClient, goes_on: Callable[[], bool]) -> None:
    number = 0
    while goes_on():
        number += 1
        await alice.post("/variables", data={"name": f"VARIABLE_{number}", "value": "x" * 500})


async def _provision(client: httpx2.AsyncClient, agent: str) -> int:
    return (await client.get("/api/v1/provision", headers=_bearer(agent))).status_code


async def _bootstrap(alice: httpx2.AsyncClient) -> str:
    found = _TOKEN.search((await alice.post("/agents/bootstrap-tokens", data={"lifetime": "30d"})).text)
    assert found is not None
    return found[0]


async def _id(alice: httpx2.AsyncClient, path: str, name: str) -> str:
    found = re.search(rf'href="{path}/([0-9a-f]{{32}})">{name}</a>', (await alice.get(path)).text)
    assert found is not None
    return found[1]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _client(server: Server, session: str = "") -> httpx2.AsyncClient:
    cookies = {"session": session} if session else None
    return httpx2.AsyncClient(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}, cookies=cookies, timeout=30)


def main() -> int:
    """Drill with the agents kept and ended in turn, and say what was found; 1 when anything was not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.restore_drill", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20, help="drills")
    parser.add_argument("--seed", type=int, default=0, help="is not used: nothing is left to chance")
    options = parser.parse_args()
    began, drills = time.monotonic(), list[Drill]()
    for number in range(options.cycles):
        with tempfile.TemporaryDirectory(prefix="drill-") as folder, suppress(KeyboardInterrupt):
            drills.append(drill(Path(folder), "keep" if number % 2 == 0 else "end"))
    wrong = [sentence for each in drills for sentence in each.wrong]
    print(
        f"{len(drills)} restores, {sum(each.handed for each in drills)} secrets handed over by what was kept: {len(wrong)} violations"
        f" ({time.monotonic() - began:.0f} s)",
        *wrong[:20],
        sep="\n",
    )
    return 1 if wrong or len(drills) < options.cycles else 0


if __name__ == "__main__":
    sys.exit(main())
