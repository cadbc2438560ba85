"""The agents through the API."""

import httpx2
import pytest

from tests.personas import House
from tests.stories import add_image, enrolled, program, provision

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # the pages' tests ask the database the same on both


async def test_a_viewer_lists_them_with_the_image_that_they_get(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, name="public", docker_image_url="nginx")
    client = await program(house, bob)
    (agent,) = (await client.get("/api/v1/agents")).json()["agents"]
    assert (agent["id"], agent["name"], agent["image"], agent["last_seen_at"]) == (agent_id, "rack1-node07", None, None)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image})
    assert (await provision(house, token)).status_code == 200
    (agent,) = (await client.get("/api/v1/agents")).json()["agents"]
    assert agent["image"] == {"name": "public", "reference": "docker.io/library/nginx:latest", "is_default": False}
    assert agent["enrolled_at"] == "2026-11-03T14:05:00Z"
    await alice.post(f"/agents/{agent_id}/revoke")
    assert (await client.get("/api/v1/agents")).json() == {"agents": [], "next": None}
    (agent,) = (await client.get("/api/v1/agents", params={"show": "revoked"})).json()["agents"]
    assert agent["revoked_at"] == "2026-11-03T14:05:00Z"


async def test_another_accounts_are_not_listed(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await enrolled(house, alice)
    assert (await (await program(house, charlie)).get("/api/v1/agents")).json()["agents"] == []
