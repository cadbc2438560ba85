"""What a member changes of what one agent is handed, each through one server; another one is asked for the hand-over right afterwards.

The table of these changes is `CHANGES`: each returns when it is acknowledged, and by then `Desk.expected` is what has to be handed over.
"""

import base64
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx2

CREDENTIAL = {"registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}
LIFE_SECONDS = 2
"""How long the value lives that expires."""

_BOOTSTRAP = re.compile(r"rc_b_[0-9A-Za-z]+_[0-9A-Za-z]+")


@dataclass
class Desk:
    """One agent, two images with a credential each, and a secret that both images' user data read. `member` is somebody's browser."""

    name: str
    member: httpx2.AsyncClient
    chance: random.Random
    token: str = ""
    agent_id: str = ""
    bootstrap: str = ""
    agents: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    credential_of: dict[str, str] = field(default_factory=dict)
    chosen: str = "i0"
    numbers: int = 0
    revoked: bool = False
    expires: float = 0.0
    """When the value that is handed over expires (Unix seconds); 0 for one that does not."""

    @property
    def expected(self) -> tuple[int, str | None, str | None, str | None]:
        """The status, the password, the tag of the image, and the user data."""
        if self.revoked:
            return 401, None, None, None
        if self.expires and time.time() >= self.expires:
            return 409, None, None, None
        return 200, self.values[self.credential_of[self.chosen]], self.tags[self.chosen], f"secret={self.values['secret']}"

    async def furnish(self) -> None:
        """Make all of it."""
        await self.post("/secrets", {"name": self._secret, "value": self._new("secret")})
        self.ids["secret"] = await self._listed("/secrets", self._secret)
        for number in range(2):
            credential, image = f"c{number}", f"i{number}"
            await self.post("/registry-credentials", {**self._credential(credential), "password": self._new(credential)})
            self.ids[credential] = await self._listed("/registry-credentials", f"{self.name}-{credential}")
            self.credential_of[image] = credential
            await self.post("/images", self._image(image))
            self.ids[image] = await self._listed("/images", f"{self.name}-{image}")
        await self.enrol()

    async def enrol(self) -> None:
        """A new agent in place of the one that was revoked."""
        if not self.agents:
            shown = await self.member.post("/agents/bootstrap-tokens", data={"lifetime": "7d"})
            found = _BOOTSTRAP.search(shown.text)
            assert found is not None, shown.status_code
            self.bootstrap = found[0]
        self.agents += 1
        headers = {"Authorization": f"Bearer {self.bootstrap}"}
        answer = await self.member.post("/api/v1/enroll", json={"name": f"{self.name}-{self.agents}"}, headers=headers)
        assert answer.status_code == 201, answer.text
        self.token, self.agent_id, self.revoked = answer.json()["agent_token"], answer.json()["agent_id"], False
        await self.post(f"/agents/{self.agent_id}", {"image_id": self.ids[self.chosen]})

    async def replace(self) -> None:
        """Another value for the credential."""
        await self._replace_with(self._new("value"))

    async def expire(self) -> None:
        """A value that says itself when it expires: soon."""
        self.numbers += 1
        expires = int(time.time()) + LIFE_SECONDS
        parts = [{"alg": "none"}, {"exp": expires, "jti": f"{self.name} {self.numbers}"}]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        await self._replace_with(f"{text}.c2lnbmF0dXJl", expires)

    async def change_tag(self) -> None:
        """Another tag for the image."""
        form = self._image(self.chosen)
        await self.post(f"/images/{self.ids[self.chosen]}", form)

    async def point_elsewhere(self) -> None:
        """The other credential for the image."""
        credential = self.credential_of[self.chosen]
        self.credential_of[self.chosen] = "c1" if credential == "c0" else "c0"
        await self.post(f"/images/{self.ids[self.chosen]}", self._image(self.chosen))

    async def choose(self) -> None:
        """The other image for the agent."""
        self.chosen = "i1" if self.chosen == "i0" else "i0"
        await self.post(f"/agents/{self.agent_id}", {"image_id": self.ids[self.chosen]})

    async def replace_secret(self) -> None:
        """Another value for the secret that the user data read."""
        await self.post(f"/secrets/{self.ids['secret']}", {"name": self._secret, "value": self._new("secret")})

    async def revoke(self) -> None:
        """The agent is shut out."""
        await self.post(f"/agents/{self.agent_id}/revoke", {})
        self.revoked = True

    async def post(self, path: str, form: dict[str, str]) -> None:
        """Send a form, which has to be taken."""
        answer = await self.member.post(path, data=form)
        assert answer.status_code == 303, (path, answer.status_code)
        assert not answer.headers["Location"].startswith("/login"), f"{path}: nobody was signed in"

    async def _replace_with(self, value: str, expires: float = 0.0) -> None:
        credential = self.credential_of[self.chosen]
        await self.post(f"/registry-credentials/{self.ids[credential]}", {**self._credential(credential), "password": value})
        self.values[credential], self.expires = value, expires

    def _new(self, what: str) -> str:
        self.numbers += 1
        value = self.values[what] = f"{self.name} {what} {self.numbers}"
        return value

    @property
    def _secret(self) -> str:
        return f"SECRET_{self.name}"

    def _credential(self, credential: str) -> dict[str, str]:
        return {**CREDENTIAL, "name": f"{self.name}-{credential}"}

    def _image(self, image: str) -> dict[str, str]:
        self.numbers += 1
        self.tags[image] = f"{self.numbers}"
        return {
            "name": f"{self.name}-{image}",
            "docker_image_url": f"ghcr.io/acme/ubuntu:{self.numbers}",
            "registry_credential_id": self.ids[self.credential_of[image]],
            "user_data": f"secret={{{{ secrets.{self._secret} }}}}",
        }

    async def _listed(self, path: str, name: str) -> str:
        page = (await self.member.get(f"{path}?q={name}")).text
        found = re.search(rf'href="{path}/([0-9a-f]{{32}})">{re.escape(name)}</a>', page)
        assert found is not None, f"{name} is not listed"
        return found[1]


Change = Callable[[Desk], Awaitable[None]]

CHANGES: dict[str, Change] = {
    "replace": Desk.replace,
    "change_tag": Desk.change_tag,
    "point_elsewhere": Desk.point_elsewhere,
    "choose": Desk.choose,
    "replace_secret": Desk.replace_secret,
    "revoke": Desk.revoke,
}
"""What is changed again and again; that a value expires is tried beside it, since it takes its time."""
