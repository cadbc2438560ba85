"""Steps that many stories share, done as people and agents do them: through forms and the API."""

import re

import httpx2

from tests.personas import House

TOKEN = re.compile(r"rc_[abps]_[0-9A-Za-z]+_[0-9A-Za-z]+")


async def store_credential(client: httpx2.AsyncClient, **fields: str) -> str:
    """Store a registry credential through the form; returns its id."""
    values = {
        "name": "ghcr-acme",
        "registry_url": "ghcr.io",
        "auth_method": "password",
        "username": "acme-bot",
        "password": "hunter2-but-long",
        **fields,
    }
    answer = await client.post("/registry-credentials", data=values)
    assert answer.status_code == 303, answer.text
    return await id_in_list(client, "/registry-credentials", values["name"])


async def add_image(client: httpx2.AsyncClient, credential_id: str = "", **fields: str) -> str:
    """Add an image through the form; returns its id."""
    values = {
        "name": "ubuntu-custom",
        "docker_image_url": "ghcr.io/acme/ubuntu:24.04",
        "registry_credential_id": credential_id,
        **fields,
    }
    answer = await client.post("/images", data=values)
    assert answer.status_code == 303, answer.text
    return await id_in_list(client, "/images", values["name"])


async def id_in_list(client: httpx2.AsyncClient, path: str, name: str) -> str:
    """The id behind a name in a list."""
    page = (await client.get(path)).text
    found = re.search(rf'href="{path}/([^"/?]+)">{re.escape(name)}</a>', page)
    assert found is not None, f"{name} is not listed at {path}"
    return found[1]


async def bootstrap_token(client: httpx2.AsyncClient, **fields: str) -> str:
    """Make a bootstrap token through the form; returns it as the page shows it, once."""
    answer = await client.post("/agents/bootstrap-tokens", data={"lifetime": "10m", **fields})
    assert answer.status_code == 200, answer.text
    found = TOKEN.search(answer.text)
    assert found is not None
    return found[0]


async def enroll(house: House, token: str, name: str = "rack1-node07") -> httpx2.Response:
    """Enrol an agent, as an agent does."""
    client = await house.client()
    return await client.post("/api/v1/enroll", json={"name": name}, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


async def enrolled(house: House, client: httpx2.AsyncClient, name: str = "rack1-node07") -> tuple[str, str]:
    """A fresh agent of the client's account: its id and its token."""
    answer = await enroll(house, await bootstrap_token(client), name)
    assert answer.status_code == 201, answer.text
    return answer.json()["agent_id"], answer.json()["agent_token"]


async def provision(house: House, token: str, query: str = "") -> httpx2.Response:
    """Ask for the hand-over, as an agent does."""
    client = await house.client()
    return await client.get("/api/v1/provision" + query, headers=bearer(token))


async def api_token(client: httpx2.AsyncClient, **fields: str) -> str:
    """Make an API token through the form; returns it as the page shows it, once."""
    answer = await client.post("/settings/api-tokens", data={"name": "deploy-pipeline", "role": "viewer", "lifetime": "30d", **fields})
    assert answer.status_code == 200, answer.text
    found = TOKEN.search(answer.text)
    assert found is not None
    return found[0]


async def program(house: House, client: httpx2.AsyncClient, **fields: str) -> httpx2.AsyncClient:
    """A program of the member's, with an API token of its own and without a cookie."""
    asking = await house.client()
    del asking.headers["sec-fetch-site"]
    asking.headers.update(bearer(await api_token(client, **fields)))
    return asking
