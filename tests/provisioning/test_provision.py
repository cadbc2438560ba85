"""The hand-over: exactly the credential that the image needs, recorded before it leaves."""

import asyncio
import base64
import json
from urllib.parse import quote

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import add_image, bearer, enrolled, provision, store_credential
from webapp.database import Batch

pytestmark = pytest.mark.anyio


async def choose(client: httpx2.AsyncClient, agent_id: str, image_id: str) -> None:
    answer = await client.post(f"/agents/{agent_id}", data={"image_id": image_id})
    assert answer.status_code == 303, answer.text


async def test_an_agent_is_handed_its_image_and_its_credential(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, await store_credential(alice))
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, image_id)
    answer = await provision(house, token)
    assert answer.status_code == 200
    body = answer.json()
    provision_id = body.pop("provision_id")
    assert body == {
        "image": {"name": "ubuntu-custom", "reference": "ghcr.io/acme/ubuntu:24.04"},
        "registry_auth": {"registry": "ghcr.io", "username": "acme-bot", "password": "hunter2-but-long", "expires_at": None},
        "user_data": None,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["provision-id"] == provision_id
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["actor_label"], row["object_name"], row["secret_version"]) == (
        "registry_credential.release",
        "allowed",
        "rack1-node07",
        "ghcr-acme",
        1,
    )


async def test_a_public_image_comes_without_credential(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, docker_image_url="nginx")
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, image_id)
    body = (await provision(house, token)).json()
    assert body["registry_auth"] is None
    assert body["image"]["reference"] == "docker.io/library/nginx:latest"


async def test_the_account_default_image_serves_agents_that_have_none(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, docker_image_url="nginx")
    _, token = await enrolled(house, alice)
    answer = await provision(house, token)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/no-image")
    saved = await alice.post("/settings", data={"account_name": "Acme", "default_image_id": image_id})
    assert saved.status_code == 303, saved.text
    assert (await provision(house, token)).status_code == 200


@pytest.mark.parametrize(
    ("host", "reference", "key"),
    [
        ("ghcr.io", "ghcr.io/acme/ubuntu:24.04", "ghcr.io"),
        ("registry-1.docker.io", "acme/ubuntu", "https://index.docker.io/v1/"),
        ("127.0.0.1:5000", "127.0.0.1:5000/acme/ubuntu", "127.0.0.1:5000"),
    ],
)
async def test_a_docker_config_names_the_references_host(
    house: House, alice: httpx2.AsyncClient, host: str, reference: str, key: str
) -> None:
    image_id = await add_image(alice, await store_credential(alice, registry_url=host), docker_image_url=reference)
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, image_id)
    answer = await provision(house, token, "?format=docker-config")
    pair = base64.b64encode(b"acme-bot:hunter2-but-long").decode()
    assert answer.json() == {"auths": {key: {"auth": pair}}}
    assert answer.headers["provision-id"]


async def test_an_unknown_format_is_named(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    answer = await provision(house, token, "?format=yaml")
    assert answer.status_code == 422
    assert "docker-config" in answer.json()["detail"]


async def test_the_next_request_sees_a_replaced_value_and_a_reassigned_image(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, credential_id))
    await provision(house, token)
    fields = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": "a-new-one"}
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=fields)).status_code == 303
    assert (await provision(house, token)).json()["registry_auth"]["password"] == "a-new-one"
    await choose(alice, agent_id, await add_image(alice, name="public", docker_image_url="nginx"))
    assert (await provision(house, token)).json()["registry_auth"] is None


async def test_a_credential_of_another_host_is_never_handed_over(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image_id = await add_image(alice, await store_credential(alice))
    await choose(alice, agent_id, image_id)
    async with house.store.database.transaction() as transaction:  # as somebody who owns the database would
        await transaction.execute("UPDATE images SET reference = 'evil.example/acme/ubuntu:24.04' WHERE id = :id", {"id": image_id})
    answer = await provision(house, token)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/host-mismatch")
    assert "evil.example" in answer.json()["detail"]
    assert "ghcr.io" in answer.json()["detail"]
    assert "hunter2" not in answer.text


async def test_a_credential_that_was_repointed_in_the_database_does_not_open(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, await store_credential(alice)))
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET host = 'evil.example'")
        await transaction.execute("UPDATE images SET host = 'evil.example', reference = 'evil.example/a/b:latest'")
    answer = await provision(house, token)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/does-not-open")
    assert "hunter2" not in answer.text
    assert [row["decision"] for row in await house.audit() if row["action"] == "registry_credential.release"] == ["allowed", "denied"]


async def test_nothing_leaves_when_the_audit_row_cannot_be_written(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, await store_credential(alice)))
    await house.refuse_writes()
    answer = await provision(house, token)
    assert answer.status_code == 503
    assert "hunter2" not in answer.text
    assert int(answer.headers["retry-after"]) > 0
    await house.take_writes()
    assert (await provision(house, token)).status_code == 200


async def test_a_result_is_shown_on_the_agents_row_and_the_same_one_twice_is_one(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, docker_image_url="nginx"))
    provision_id = (await provision(house, token)).json()["provision_id"]
    client = await house.client()
    result = {"provision_id": provision_id, "outcome": "failed", "digest": None, "error": "stopped: \x1b[31mno\x1b[0m\n access"}
    answers = [await client.post("/api/v1/provision/result", json=result, headers=bearer(token)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["recorded"] for answer in answers] == ["now", "before"]
    assert len([row for row in await house.audit() if row["action"] == "agent.report"]) == 1
    page = (await alice.get("/agents")).text
    assert "Failed" in page
    assert "stopped: [31mno [0m access" in page, "without the control characters"
    other = await client.post("/api/v1/provision/result", json={**result, "outcome": "pulled"}, headers=bearer(token))
    assert other.status_code == 409


async def test_a_result_for_somebody_elses_provision_is_not_found(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, docker_image_url="nginx")
    first, first_token = await enrolled(house, alice, "first")
    await choose(alice, first, image_id)
    _, second_token = await enrolled(house, alice, "second")
    provision_id = (await provision(house, first_token)).json()["provision_id"]
    client = await house.client()
    result = {"provision_id": provision_id, "outcome": "pulled", "digest": "sha256:" + "0" * 64, "error": None}
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(second_token))).status_code == 404


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("member", ["provision_id", "outcome", "digest", "error"])
async def test_a_result_that_is_not_right_names_its_member(house: House, alice: httpx2.AsyncClient, member: str) -> None:
    _, token = await enrolled(house, alice)
    client = await house.client()
    result = {"provision_id": "0" * 32, "outcome": "pulled", "digest": None, "error": None, member: 7}
    answer = await client.post("/api/v1/provision/result", content=json.dumps(result), headers=bearer(token))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{member}: ")


async def test_who_cannot_take_part_in_a_batch_holds_up_nobody(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, docker_image_url="nginx"))

    async def failing(batch: Batch) -> None:
        await batch.execute("INSERT INTO accounts (id) VALUES (NULL)")
        raise LookupError

    answer, failure = await asyncio.gather(provision(house, token), house.store.database.submit(failing), return_exceptions=True)
    assert isinstance(answer, httpx2.Response)
    assert answer.status_code == 200
    assert isinstance(failure, LookupError)


async def test_a_result_never_shows_the_value_that_was_handed_over(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, await store_credential(alice, password=CANARY)))
    provision_id = (await provision(house, token)).json()["provision_id"]
    quoted = " ".join([CANARY, base64.b64encode(f"acme-bot:{CANARY}".encode()).decode(), quote(CANARY, safe="")])
    result = {"provision_id": provision_id, "outcome": "failed", "digest": None, "error": f"GET https://x/?p={quoted}: unauthorized"}
    client = await house.client()
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(token))).status_code == 200
    page = (await alice.get(f"/agents/{agent_id}")).text
    assert "unauthorized" in page
    assert "[withheld]" in page
    assert found_in(page.encode()) == []


async def test_a_hand_over_that_nobody_reads_is_none(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await choose(alice, agent_id, await add_image(alice, docker_image_url="nginx"))
    before = await house.audit()
    client = await house.client()
    assert (await client.head("/api/v1/provision", headers=bearer(token))).status_code == 405
    assert await house.audit() == before
