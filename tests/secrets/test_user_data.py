"""Secrets and variables in an image's user data: known when it is saved, kept while it is in use, and handed over rendered."""

import asyncio
import json

import httpx2
import pytest

from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import add_image, bearer, enrolled, id_in_list, provision

pytestmark = pytest.mark.anyio

TEMPLATE = """#cloud-config
write_files:
  - path: /etc/app.env
    content: {{ secrets.DB_PASSWORD|tojson }}
{% if variables.STAGE == 'prod' %}
hostname: {{ variables.STAGE }}
{% endif %}
{% raw %}# {{ ds.meta_data }}
{% endraw %}"""

RENDERED = f"""#cloud-config
write_files:
  - path: /etc/app.env
    content: {json.dumps(CANARY)}

hostname: prod

# {{{{ ds.meta_data }}}}
"""


async def store(client: httpx2.AsyncClient, kind: str, name: str, value: str) -> str:
    answer = await client.post(f"/{kind}", data={"name": name, "value": value})
    assert answer.status_code == 303, answer.text
    return await id_in_list(client, f"/{kind}", name)


async def agent_with(house: House, alice: httpx2.AsyncClient, template: str) -> tuple[str, str]:
    image_id = await add_image(alice, docker_image_url="nginx", user_data=template)
    agent_id, token = await enrolled(house, alice)
    assert (await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})).status_code == 303
    return image_id, token


async def test_an_agent_is_handed_the_rendered_user_data_and_the_log_says_what_was_read(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "DB_PASSWORD", CANARY)
    await store(alice, "variables", "STAGE", "prod")
    _, token = await agent_with(house, alice, TEMPLATE)
    answer = (await provision(house, token)).json()
    assert answer["user_data"] == RENDERED
    assert answer["registry_auth"] is None
    (row,) = [row for row in await house.audit() if row["action"] == "image.hand_over"]
    assert str(row["detail"]).endswith("; user data reads secrets.DB_PASSWORD (version 1), variables.STAGE")
    assert "user_data" not in (await provision(house, token, "?format=docker-config")).json()


async def test_the_next_hand_over_reads_what_was_replaced(house: House, alice: httpx2.AsyncClient) -> None:
    secret_id = await store(alice, "secrets", "DB_PASSWORD", "before")
    _, token = await agent_with(house, alice, "{{ secrets.DB_PASSWORD }}")
    assert (await provision(house, token)).json()["user_data"] == "before"
    await alice.post(f"/secrets/{secret_id}", data={"name": "DB_PASSWORD", "value": "after"})
    assert (await provision(house, token)).json()["user_data"] == "after"


async def test_a_name_that_is_not_there_is_an_error_with_its_line_when_it_is_saved(alice: httpx2.AsyncClient) -> None:
    await store(alice, "variables", "STAGE", "prod")
    for template, said in (
        ("#cloud-config\n{{ secrets.STAGE }}", "Line 2: there is no secret STAGE. Store the secret first, or take it out."),
        ("{{ variables.stage }}", "Line 1: there is no variable stage. Did you mean variables.STAGE?"),
        ("{% if variables.GONE == &#39;x&#39; %}", "Line 1: "),
    ):
        answer = await alice.post("/images", data={"name": "x", "docker_image_url": "nginx", "user_data": template})
        assert answer.status_code == 422
        assert said in answer.text
        assert 'href="#field-user-data"' in answer.text
    assert "No images yet" in (await alice.get("/images")).text


async def test_a_name_that_went_missing_all_the_same_hands_over_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "DB_PASSWORD", "x")
    _, token = await agent_with(house, alice, "a\n{{ secrets.DB_PASSWORD }}")
    async with house.store.database.transaction() as transaction:  # as somebody who owns the database would
        await transaction.execute("UPDATE secrets SET name = 'OTHER'")
    answer = await provision(house, token)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/user-data-name-missing")
    assert answer.json()["detail"].startswith("Line 2 ")


async def test_user_data_that_grew_too_long_hands_over_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "variables", "LONG", "'" * 60_000)
    _, token = await agent_with(house, alice, "{{ variables.LONG|quote }}")
    answer = await provision(house, token)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/user-data-too-long")
    rows = [row for row in await house.audit() if str(row["action"]).endswith((".release", ".hand_over"))]
    assert [row["decision"] for row in rows] == ["denied"], "nothing is said to have left"


@pytest.mark.parametrize(("kind", "noun"), [("secrets", "secret"), ("variables", "variable")])
async def test_what_an_image_refers_to_is_neither_deleted_nor_renamed(
    house: House, alice: httpx2.AsyncClient, kind: str, noun: str
) -> None:
    record_id = await store(alice, kind, "A", "x")
    image_id = await add_image(alice, docker_image_url="nginx", user_data=f"{{{{ {kind}.A }}}}")
    refused = await alice.post(f"/{kind}/{record_id}/delete")
    assert refused.status_code == 409
    assert f'href="/images/{image_id}"' in refused.text
    renamed = await alice.post(f"/{kind}/{record_id}", data={"name": "B", "value": "x"})
    assert renamed.status_code == 422
    assert f"1 image refers to {kind}.A (ubuntu-custom)" in renamed.text
    assert "1&nbsp;image" in (await alice.get(f"/{kind}")).text
    await alice.post(f"/images/{image_id}", data={"name": "ubuntu-custom", "docker_image_url": "nginx", "user_data": ""})
    assert (await alice.post(f"/{kind}/{record_id}", data={"name": "B", "value": "x"})).status_code == 303
    assert (await alice.post(f"/{kind}/{record_id}/delete")).status_code == 303
    assert [row["action"] for row in await house.audit()][-1] == f"{noun}.delete"


async def test_deleting_an_image_lets_go_of_its_names(alice: httpx2.AsyncClient) -> None:
    secret_id = await store(alice, "secrets", "A", "x")
    image_id = await add_image(alice, docker_image_url="nginx", user_data="{{ secrets.A }}")
    assert (await alice.post(f"/images/{image_id}/delete")).status_code == 303
    assert (await alice.post(f"/secrets/{secret_id}/delete")).status_code == 303


async def test_a_preview_fills_in_variables_and_masks_secrets(alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "DB_PASSWORD", CANARY)
    await store(alice, "variables", "STAGE", "<prod>")
    guess = "{% if secrets.DB_PASSWORD == '" + CANARY + "' %} guessed{% endif %}"
    template = "{{ secrets.DB_PASSWORD|b64encode }} {{ variables.STAGE }}" + guess
    answer = await alice.post("/images/user-data-preview", data={"user_data": template}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "•••• &lt;prod&gt;</pre>" in answer.text, "and nobody can guess at a secret by a condition"
    assert found_in(answer.content) == []
    wrong = await alice.post("/images/user-data-preview", data={"user_data": "{{ secrets.GONE }}"})
    assert wrong.status_code == 422
    assert "Line 1: there is no secret GONE." in wrong.text


async def test_changing_what_an_assigned_image_hands_over_asks_for_the_password(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "A", "x")
    image_id, _ = await agent_with(house, alice, "")
    house.clock.advance(6 * 60_000)
    form = {"name": "ubuntu-custom", "docker_image_url": "nginx"}
    assert (await alice.post(f"/images/{image_id}", data={**form, "description": "only words"})).status_code == 303
    asked = await alice.post(f"/images/{image_id}", data={**form, "user_data": "{{ secrets.A }}"})
    assert asked.status_code == 422
    assert "current_password" in asked.text
    assert "{{ secrets.A }}" in asked.text, "what was typed is kept"


async def test_another_accounts_names_are_no_names(alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "A", "x")
    answer = await charlie.post("/images", data={"name": "x", "docker_image_url": "nginx", "user_data": "{{ secrets.A }}"})
    assert answer.status_code == 422
    assert "there is no secret A" in answer.text


async def test_a_docker_config_reads_no_user_data(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "A", "x")
    _, token = await agent_with(house, alice, "{{ secrets.A }}")
    assert (await provision(house, token, "?format=docker-config")).status_code == 200
    (row,) = [row for row in await house.audit() if row["action"] == "image.hand_over"]
    assert "user data" not in str(row["detail"])


async def test_a_result_never_shows_a_secret_of_the_user_data(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "DB_PASSWORD", CANARY)
    _, token = await agent_with(house, alice, "{{ secrets.DB_PASSWORD }}")
    provision_id = (await provision(house, token)).json()["provision_id"]
    result = {"provision_id": provision_id, "outcome": "failed", "digest": None, "error": f"bad value {CANARY}; password=hunter2hunter2"}
    client = await house.client()
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(token))).status_code == 200
    page = (await bob.get("/agents")).text
    assert "bad value [withheld]" in page
    assert found_in(page.encode()) == []
    assert "hunter2" not in page


async def test_many_agents_at_once_read_a_value_once(house: House, alice: httpx2.AsyncClient) -> None:
    await store(alice, "secrets", "DB_PASSWORD", CANARY)
    _, token = await agent_with(house, alice, "{{ secrets.DB_PASSWORD }}")
    answers = await asyncio.gather(*(provision(house, token) for _ in range(20)))
    assert {answer.json()["user_data"] for answer in answers} == {CANARY}
