"""The application in this very process, used as members, agents and operators do, with what was acknowledged written down at once.

What is written goes to a pipe: it is there when the process dies a moment later.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.battery.aftermath import settings_of
from webapp import rotation
from webapp.accounts.members import MemberRepository
from webapp.actor import Actor
from webapp.app import create_app
from webapp.clock import HOUR, MINUTE
from webapp.command import Command
from webapp.commands import execute
from webapp.provisioning.routes import PROVISION
from webapp.store import Store, open_store
from webapp.vault import Secret, mint

rotation.CHUNK = 2  # so that a few values are several chunks
CREDENTIAL = {"name": "ghcr", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}
SECRETS = 5


@dataclass
class Inside:
    """An open application. `ids` are the template's."""

    folder: Path
    store: Store
    client: httpx2.AsyncClient
    direct: Any
    ids: dict[str, str]
    pipe: int

    def say(self, **what: object) -> None:
        """Write down what has happened."""
        os.write(self.pipe, json.dumps(what).encode() + b"\n")

    async def post(self, path: str, data: dict[str, str], **acknowledged: str) -> int:
        """Send a form; when it is taken, what it was about is acknowledged."""
        status = (await self.client.post(path, data=data)).status_code
        self.say(page=status, acknowledged=acknowledged if status == 303 else {})
        return status

    async def hand_over(self) -> int:
        """Ask for the hand-over, as the application answers it."""
        answer = await self.client.get(PROVISION, headers={"Authorization": f"Bearer {self.ids['token']}"})
        self._note(answer.status_code, answer.content)
        return answer.status_code

    async def hand_over_directly(self) -> int:
        """Ask for it on the short way, which falls back on the other one."""
        asked = _Asked(self.ids["token"])
        self.direct(asked)
        body = await asked.answered
        if body is None:
            return await self.hand_over()
        self._note(200, body)
        return 200

    async def command(self, name: str, **arguments: str) -> int:
        """Run a command as the server does; 200 when it is done, 503 when it could not be done just now, or its exit status."""
        outcome = await execute(self.store, Command(name, arguments), os.getuid())
        self.say(command=name, exit=outcome.exit)
        return {0: 200, os.EX_TEMPFAIL: 503}.get(outcome.exit, outcome.exit)

    def _note(self, status: int, body: bytes) -> None:
        document = json.loads(body)
        secret = (document.get("registry_auth") or {}).get("password")
        self.say(status=status, handed=document.get("provision_id"), value=secret, reference=(document.get("image") or {}).get("reference"))


class _Asked:
    """A GET of the short way, without a connection below it."""

    def __init__(self, token: str) -> None:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        self.scope: dict[str, Any] = {"headers": headers, "path": PROVISION, "client": ("127.0.0.1", 1), "state": {}}
        self.answered: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def answer(self, head: bytes, body: bytes) -> None:
        self.answered.set_result(body)

    def fall_back(self) -> None:
        self.answered.set_result(None)


@asynccontextmanager
async def inside(folder: Path, ids: dict[str, str], pipe: int) -> AsyncIterator[Inside]:
    """Open the store of this folder, and the application with it."""
    settings = settings_of(folder)
    async with open_store(settings) as store:
        app = create_app(settings, store=store)
        async with app.router.lifespan_context(app) as state:
            transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
            cookies = {"session": ids["session"]} if "session" in ids else None
            headers = {"Sec-Fetch-Site": "same-origin"}
            async with httpx2.AsyncClient(transport=transport, base_url=settings.public_url, headers=headers, cookies=cookies) as client:
                yield Inside(folder, store, client, dict(state or {})["direct"][PROVISION.encode()], ids, pipe)


async def furnish(folder: Path) -> dict[str, str]:
    """Make the store that every try begins with; returns the ids of what is in it, and two tokens."""
    ids: dict[str, str] = {}
    null = os.open(os.devnull, os.O_WRONLY)
    async with open_store(settings_of(folder)) as store:
        ids["session"] = await _session(store, store.members)
    async with inside(folder, ids, null) as house:
        for name in ("ghcr", "spare", "kept"):
            assert await house.post("/registry-credentials", {**CREDENTIAL, "name": name, "password": "value-0"}) == 303
            ids[name] = await _id(house, "/registry-credentials", name)
        replaced = {**CREDENTIAL, "name": "kept", "password": "value-1", "keep_previous": "7d"}
        assert await house.post(f"/registry-credentials/{ids['kept']}", replaced) == 303
        for name in ("before", "after"):
            image = {"name": name, "docker_image_url": f"ghcr.io/acme/{name}:1", "registry_credential_id": ids["ghcr"]}
            assert await house.post("/images", image) == 303
            ids[name] = await _id(house, "/images", name)
        for number in range(SECRETS):
            assert await house.post("/secrets", {"name": f"SECRET_{number}", "value": "value-0"}) == 303
        for name in ("enrolled", "bootstrap"):
            shown = (await house.client.post("/agents/bootstrap-tokens", data={"lifetime": "1d"})).text
            found = re.search(r"rc_b_[0-9A-Za-z]+_[0-9A-Za-z]+", shown)
            assert found is not None
            ids[name] = found[0]
        header = {"Authorization": f"Bearer {ids['enrolled']}"}
        answer = (await house.client.post("/api/v1/enroll", json={"name": "rack1"}, headers=header)).json()
        ids["agent"], ids["token"] = answer["agent_id"], answer["agent_token"]
        assert await house.post(f"/agents/{ids['agent']}", {"image_id": ids["before"]}) == 303
        async with house.store.database.transaction() as transaction:  # so long ago that every page writes anew when it was
            await transaction.execute("UPDATE sessions SET seen_at = seen_at - :long", {"long": 5 * MINUTE})
    os.close(null)
    return ids


async def _session(store: Store, members: MemberRepository) -> str:
    member = await members.create_admin(Actor("", "command_line", "0", "battery"), "alice@example.com", Secret(b"correct horse battery"))
    token, now = mint("s"), store.clock()
    mac = store.vault.token_mac(token, owner=member.id, account_id=member.account_id, expires_at=now + 12 * HOUR)
    async with store.database.account(member.account_id).transaction() as transaction:
        await transaction.execute(
            "INSERT INTO sessions (accessor, account_id, member_id, mac, created_at, seen_at, expires_at, password_at)"
            " VALUES (:accessor, :account_id, :member, :mac, :now, :now, :expires, :expires)",
            # With a password that does not grow old while all is tried.
            {
                "accessor": token.accessor,
                "member": member.id,
                "mac": mac,
                "now": now,
                "expires": now + 12 * HOUR,
            },
        )
    return token.text.reveal().decode("ascii")


async def _id(house: Inside, path: str, name: str) -> str:
    found = re.search(rf'href="{path}/([^"/?]+)">{name}</a>', (await house.client.get(path)).text)
    assert found is not None, f"{name} is not listed"
    return found[1]
