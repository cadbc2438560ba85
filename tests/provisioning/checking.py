"""Images in a real registry, and the agents that are handed them: what the tests of checks begin with."""

import httpx2

from tests.personas import House
from tests.real.registry import Registry
from tests.stories import add_image, enrolled, store_credential

CHECK = "?check=1"


def asked(registry: Registry) -> int:
    """How often the registry was asked for the manifest of acme/ubuntu, and had it."""
    return sum('"HEAD /v2/acme/ubuntu/manifests/' in line and '" 200 ' in line for line in registry.log.read_text().splitlines())


async def stored(client: httpx2.AsyncClient, registry: Registry, **fields: str) -> str:
    """Store the credential for this registry; returns its id."""
    signs_in = {"username": registry.username, "password": registry.password}
    return await store_credential(client, registry_url=registry.host, **signs_in | fields)


async def furnished(
    house: House, client: httpx2.AsyncClient, registry: Registry, repository: str = "acme/ubuntu:24.04", **fields: str
) -> tuple[str, str]:
    """The id of an image in this registry, and the token of an agent that is handed it."""
    image = await add_image(client, await stored(client, registry), docker_image_url=f"{registry.host}/{repository}", **fields)
    await client.post("/settings", data={"default_image_id": image})
    return image, (await enrolled(house, client))[1]


async def written(house: House, action: str = "image.check") -> list[tuple[object, ...]]:
    """Who did this, whether it was allowed, and what is said of it."""
    return [(row["actor_label"], row["decision"], row["detail"]) for row in await house.audit() if row["action"] == action]
