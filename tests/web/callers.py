"""Everybody who may call: a column of the matrix each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.personas import House, Persona
from tests.stories import add_image, bearer, enrolled
from tests.web.matrix import CALLERS
from webapp.clock import DAY, MINUTE
from webapp.names import parse_name
from webapp.roles import role_of
from webapp.vault import Secret

NOT_COMPARED = frozenset({"agent_activity", "audit_log", "keyring", "migrations", "registry_credential_activity", "sign_in_failures"})
"""Tables in which a refusal may write, and what is written on its own: who was there, what was refused, how much a key has wrapped."""


@dataclass
class Callers:
    """The callers' tokens, and how they speak: each time from an address of its own."""

    house: House
    tokens: dict[str, str]
    _address: int = 0

    async def headers(self) -> dict[str, dict[str, str]]:
        """What each caller sends along, in the matrix's order: a cookie of a session that has just begun, or a token."""
        people = (None, self.house.bob, self.house.erin, self.house.alice, self.house.charlie)
        cookies = [{} if person is None else {"Cookie": f"session={await self._session(person)}"} for person in people]
        found = dict(zip(CALLERS, cookies, strict=False))
        return found | {name: bearer(self.tokens[name]) for name in CALLERS[len(found) :]}

    async def ask(self, method: str, address: str, headers: Mapping[str, str], **more: Any) -> httpx2.Response:
        """Send a request from an address that nobody has asked from: strangers may ask so and so often."""
        self._address += 1
        transport = httpx2.ASGITransport(app=self.house.app, client=(f"10.{self._address >> 8}.{self._address & 255}.7", 4242))
        async with httpx2.AsyncClient(transport=transport, base_url=self.house.settings.public_url) as client:
            return await client.request(method, address, headers=headers, **more)

    async def _session(self, persona: Persona) -> str:
        return str((await self.house.signed_in(persona)).cookies["session"])


async def everybody(house: House) -> Callers:
    """The callers."""
    tokens = {"expired bootstrap token": _text(await _bootstrap_token(house, MINUTE))}
    tokens["expired API token"] = await _api_token(house, house.alice, "expired")
    house.clock.advance(8 * DAY)
    alice = await house.signed_in(house.alice)
    image_id = await add_image(alice, name="default", docker_image_url="debian:12")
    await alice.post("/settings", data={"default_image_id": image_id})
    tokens["bootstrap token"] = _text(await _bootstrap_token(house, 300 * DAY))
    _, tokens["agent"] = await enrolled(house, alice, "of-the-matrix")
    revoked, tokens["revoked agent"] = await enrolled(house, alice, "revoked")
    await alice.post(f"/agents/{revoked}/revoke")
    for whose, persona in (("viewer", house.bob), ("editor", house.erin), ("admin", house.alice)):
        tokens[f"{whose}'s API token"] = await _api_token(house, persona, whose)
    tokens["API token of another account's admin"] = await _api_token(house, house.charlie, "other")
    tokens["revoked API token"] = await _api_token(house, house.alice, "revoked", revoke=True)
    return Callers(house, tokens)


async def state(house: House) -> dict[str, list[tuple[object, ...]]]:
    """All rows that a refusal has no business with; of a session not when it was seen last."""
    database = house.store.database
    names = await database.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    found: dict[str, list[tuple[object, ...]]] = {}
    for name in sorted({str(row["name"]) for row in names} - NOT_COMPARED):
        rows = await database.fetch_all(f"SELECT * FROM {name}")
        found[name] = [tuple(value for key, value in row.items() if key not in {"seen_at", "last_used_at"}) for row in rows]
    return found


async def _bootstrap_token(house: House, lifetime: int) -> Secret | None:
    _, text = await house.store.bootstrap_tokens.create(house.alice.actor, description="", lifetime=lifetime, allow_reenrolment=True)
    return text


async def _api_token(house: House, persona: Persona, name: str, *, revoke: bool = False) -> str:
    """An API token with its member's own role."""
    tokens, role = house.store.api_tokens, role_of(persona.role)
    assert role is not None
    made, text = await tokens.create(persona.actor, name=parse_name(name), role=role, lifetime="7d")
    if revoke:
        await tokens.revoke(persona.actor, made.id, member_id=None)
    return _text(text)


def _text(secret: Secret | None) -> str:
    assert secret is not None
    return secret.reveal().decode("ascii")
