"""A registry credential in use is deleted in one step: its images move to another one for the same registry."""

import httpx2
import pytest

from tests.markup import HTMX, beside, link, says, summary, tag
from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.clock import DAY, MINUTE
from webapp.errors import Invalid

pytestmark = pytest.mark.anyio

PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])


async def delete(client: httpx2.AsyncClient, credential_id: str, replacement: str, **fields: str) -> httpx2.Response:
    return await client.post(f"/registry-credentials/{credential_id}/delete", data={"replacement": replacement, **fields})


async def credentials_of_images(house: House) -> list[tuple[str, str | None, int]]:
    rows = await house.store.database.fetch_all("SELECT name, registry_credential_id, version FROM images ORDER BY name_key")
    return [(row["name"], row["registry_credential_id"], row["version"]) for row in rows]


async def old_and_new(client: httpx2.AsyncClient, **fields: str) -> tuple[str, str]:
    return await store_credential(client, name="old"), await store_credential(client, name="new", password="the new one", **fields)


@PAGE_OR_FRAGMENT
async def test_the_page_offers_the_other_credentials_for_the_registry(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    old, new = await old_and_new(alice)
    await store_credential(alice, name="elsewhere", registry_url="quay.io")
    await store_credential(charlie, name="charlies")
    spent = await store_credential(alice, name="spent", username="old-bot")
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.update("registry_credentials", spent, {"expires_at": house.clock() - DAY})
    for name in ("one", "two"):
        await add_image(alice, old, name=name)
    page = (await alice.get(f"/registry-credentials/{old}/delete", headers=headers)).text
    assert ("<html" in page) == (not headers)
    assert "old is used by 2 images. They move to another credential, and this one is deleted, in one step." in says(page)
    assert link(page, "two") is not None
    options = page[page.index("<select") : page.index("</select>")]
    assert says(options) == "Choose a registry credential new (acme-bot) spent (old-bot), expired"
    assert f'value="{new}"' in options


async def test_its_images_move_and_it_is_deleted_in_one_step(house: House, alice: httpx2.AsyncClient) -> None:
    old, new = await old_and_new(alice)
    images = {name: await add_image(alice, old, name=name) for name in ("one", "two")}
    await alice.post("/settings", data={"default_image_id": images["one"]})
    _, token = await enrolled(house, alice)
    answer = await delete(alice, old, new)
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    assert "Registry credential deleted. Its images use the other one now." in (await alice.get("/registry-credentials")).text
    assert await credentials_of_images(house) == [("one", new, 2), ("two", new, 2)]
    assert (await alice.get(f"/registry-credentials/{old}")).status_code == 404
    said = [(row["action"], row["object_id"], row["actor_label"], row["detail"]) for row in (await house.audit())[-3:]]
    changed = "changed: Docker Registry Auth, from old, which is deleted, to new"
    assert said == [
        ("image.update", images["one"], "alice@example.com", changed),
        ("image.update", images["two"], "alice@example.com", changed),
        ("registry_credential.delete", old, "alice@example.com", "host ghcr.io"),
    ]
    assert (await provision(house, token)).json()["registry_auth"]["password"] == "the new one"
    assert "Saved by alice@example.com" in says((await alice.get(f"/images/{images['one']}")).text)


async def test_with_htmx_the_page_is_left_for_the_list(alice: httpx2.AsyncClient) -> None:
    old, new = await old_and_new(alice)
    await add_image(alice, old)
    answer = await alice.post(f"/registry-credentials/{old}/delete", data={"replacement": new}, headers=HTMX)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/registry-credentials")


async def test_the_names_of_docker_hub_are_one_registry(house: House, alice: httpx2.AsyncClient) -> None:
    old = await store_credential(alice, name="old", registry_url="docker.io")
    new = await store_credential(alice, name="new", registry_url="registry-1.docker.io")
    await add_image(alice, old, name="hub", docker_image_url="acme/ubuntu")
    assert new in (await alice.get(f"/registry-credentials/{old}/delete")).text
    assert (await delete(alice, old, new)).status_code == 303
    assert await credentials_of_images(house) == [("hub", new, 2)]


async def test_what_cannot_take_the_images_is_refused_and_nothing_is_half_done(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    old, new = await old_and_new(alice)
    elsewhere = await store_credential(alice, name="elsewhere", registry_url="quay.io")
    charlies = await store_credential(charlie, name="charlies")
    deleted = await store_credential(alice, name="deleted")
    await add_image(alice, old, name="one")
    await delete(alice, deleted, "")
    await alice.post(f"/registry-credentials/{deleted}/delete")
    before = await house.audit()
    for replacement, sentence in (
        (elsewhere, "The registry credential elsewhere is for quay.io, and the images are at ghcr.io. Choose a credential for ghcr.io."),
        (charlies, "There is no such registry credential any more. Choose one of the list."),
        (deleted, "There is no such registry credential any more. Choose one of the list."),
        (old, "There is no such registry credential any more. Choose one of the list."),
        ("", "Choose the registry credential that its images use from now on."),
    ):
        answer = await delete(alice, old, replacement)
        assert (answer.status_code, beside(answer.text, "replacement")) == (422, sentence)
        assert summary(answer.text) == f"Nothing is deleted Move its images to: {sentence}"
    assert await credentials_of_images(house) == [("one", old, 1)]
    assert await house.audit() == before
    assert (await delete(charlie, old, charlies)).status_code == 404
    with pytest.raises(Invalid):
        await house.store.credentials.deletion.delete(house.alice.actor, old, charlies)
    assert (await delete(alice, old, new)).status_code == 303


async def test_without_another_one_for_the_registry_the_page_leads_to_the_form(alice: httpx2.AsyncClient) -> None:
    old = await store_credential(alice, name="old")
    await store_credential(alice, name="elsewhere", registry_url="quay.io")
    await add_image(alice, old)
    page = (await alice.get(f"/registry-credentials/{old}/delete")).text
    assert "There is no other credential for ghcr.io that its images could move to." in says(page)
    assert link(page, "Create one") == "/registry-credentials/new"
    assert "<select" not in page


@pytest.mark.parametrize("use", ["default", "chosen", "unused"])
async def test_what_agents_are_handed_is_changed_only_with_the_password(house: House, alice: httpx2.AsyncClient, use: str) -> None:
    old, new = await old_and_new(alice)
    image = await add_image(alice, old, name="one")
    agent, _ = await enrolled(house, alice)
    if use == "default":
        await alice.post("/settings", data={"default_image_id": image})
    elif use == "chosen":
        await alice.post(f"/agents/{agent}", data={"image_id": image, "version": "1"})
    house.clock.advance(6 * MINUTE)
    page = (await alice.get(f"/registry-credentials/{old}/delete")).text
    if use == "unused":
        assert 'name="current_password"' not in page
        assert (await delete(alice, old, new)).status_code == 303
        return
    assert 'name="current_password"' in page
    answer = await delete(alice, old, new, current_password="guessed")
    assert (answer.status_code, beside(answer.text, "current_password")) == (
        422,
        "That is not your password. Enter the one you sign in with.",
    )
    assert "guessed" not in answer.text
    assert f'<option value="{new}" selected>' in answer.text
    assert "aria-invalid" not in tag(answer.text, "replacement")
    assert await credentials_of_images(house) == [("one", old, 1)]
    assert (await delete(alice, old, new, current_password=PASSWORD)).status_code == 303
    assert await credentials_of_images(house) == [("one", new, 2)]


async def test_it_refuses_a_viewer(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    old, new = await old_and_new(alice)
    await add_image(alice, old, name="one")
    assert (await delete(bob, old, new)).status_code == 403
    assert await credentials_of_images(house) == [("one", old, 1)]


async def test_of_a_credential_that_no_image_uses_nothing_moves(house: House, alice: httpx2.AsyncClient) -> None:
    old, new = await old_and_new(alice)
    assert (await delete(alice, old, new)).status_code == 303
    assert "Its images" not in (await alice.get("/registry-credentials")).text
    assert [row["action"] for row in await house.audit()][-1] == "registry_credential.delete"
