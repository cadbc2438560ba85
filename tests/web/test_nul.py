"""A NUL in what somebody sends: PostgreSQL keeps no text with one, SQLite does. It is no fault of the program on either."""

import asyncio

import httpx2
import pytest

from tests.personas import House
from tests.stories import add_image, bearer, enrolled, program, store_credential

pytestmark = pytest.mark.anyio

LISTS = ("agents", "images", "registry-credentials", "secrets", "variables")
ASKED = [
    *(f"/{each}/a%00b" for each in LISTS),
    *(f"/{each}?{name}=a%00b" for each in LISTS for name in ("q", "after")),
    *(f"/audit{kind}?q=a%00b" for kind in ("", ".csv", ".jsonl")),
    "/images/credential-options?registry_credential_id=%00",
    "/registry-credentials/auth-fields?credential=%00",
]
SENT: list[tuple[str, dict[str, str]]] = [
    ("/login", {"email": "ali\0ce@example.com", "password": "correct horse"}),
    ("/images", {"name": "ubuntu", "docker_image_url": "ghcr.io/acme/ubuntu:24.04", "registry_credential_id": "a\0b"}),
    ("/images", {"name": "ub\0untu", "docker_image_url": "ghcr.io/acme/ubuntu:24.04"}),
    ("/variables", {"name": "STAGE", "value": "a\0b"}),
    ("/images/a%00b/check", {}),
]


async def test_whoever_sends_one_is_told_so_or_finds_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    answers = [await alice.get(path) for path in ASKED] + [await alice.post(path, data=form) for path, form in SENT]
    assert {answer.status_code for answer in answers} <= {200, 303, 401, 403, 404, 409, 422}
    assert (await alice.get("/images")).status_code == 200, "and the connections are as they were"


async def test_it_fails_no_hand_over_of_the_batch_that_writes_it_down(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, await store_credential(alice))
    await house.tamper("UPDATE agents SET image_id = :image WHERE id = :id", image=image, id=agent_id)
    bob, agent = await house.signed_in(house.bob), await house.client()

    async def a_viewer_tries() -> int:
        return (await bob.post("/images/a%00b/delete")).status_code

    async def an_agent_asks() -> int:
        return (await agent.get("/api/v1/provision", headers=bearer(token))).status_code

    told = await asyncio.gather(a_viewer_tries(), *(an_agent_asks() for _ in range(40)))
    assert told == [403] + [200] * 40
    assert [row["object_id"] for row in await house.audit() if row["action"] == "request.refuse"] == ["/images/a\ufffdb/delete"]


async def test_so_is_a_program(house: House, alice: httpx2.AsyncClient) -> None:
    client = await program(house, alice, role="editor")
    credential = {"name": "ghcr", "registry_url": "ghcr.io", "username": "acme-bot", "password": "a-long-secret"}
    answers = [await client.get(f"/api/v1/{each}?{name}=a%00b") for each in LISTS for name in ("q", "after")]
    answers += [await client.get("/api/v1/registry-credentials/a%00b"), await client.delete("/api/v1/registry-credentials/a%00b")]
    answers += [await client.put(f"/api/v1/{each}/a%00b/value", json={"value": "x"}) for each in ("secrets", "variables")]
    answers += [
        await client.post("/api/v1/registry-credentials", json={**credential, name: "a\0b"}) for name in (*credential, "expires_on")
    ]
    assert {answer.status_code for answer in answers} <= {200, 404, 422}
    assert (await client.get("/api/v1/me")).status_code == 200
