"""The images through the API."""

import httpx2
import pytest

from tests.personas import House
from tests.stories import add_image, program, store_credential

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # the pages' tests ask the database the same on both


async def test_a_viewer_lists_them_with_the_credential_that_they_use(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient
) -> None:
    credential = await store_credential(alice)
    image = await add_image(alice, credential, user_data="#cloud-config\n")
    await add_image(alice, name="public", docker_image_url="nginx")
    client = await program(house, bob)
    public, private = (await client.get("/api/v1/images")).json()["images"]
    assert (public["reference"], public["registry_credential"], public["user_data"]) == ("docker.io/library/nginx:latest", None, False)
    assert (private["id"], private["name"], private["docker_image_url"]) == (image, "ubuntu-custom", "ghcr.io/acme/ubuntu:24.04")
    assert private["registry_credential"] == {"id": credential, "name": "ghcr-acme", "registry_url": "ghcr.io"}
    assert (private["user_data"], private["official"], private["pin_digest"], private["updated_by"]) == (
        True,
        False,
        False,
        "alice@example.com",
    )
    found = (await client.get("/api/v1/images", params={"q": "ubuntu", "kind": "custom"})).json()
    assert [each["id"] for each in found["images"]] == [image]
    assert (await client.get("/api/v1/images", params={"kind": "official"})).json() == {"images": [], "next": None}


async def test_another_accounts_are_not_listed(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await add_image(alice, name="public", docker_image_url="nginx")
    assert (await (await program(house, charlie)).get("/api/v1/images")).json()["images"] == []
