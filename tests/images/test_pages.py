"""The pages of the images: the catalog and its states, editing, deleting, and whom they are for."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import HTMX, beside, filled_in, hidden, link, names, says, summary
from tests.personas import PASSWORD, House
from tests.stories import add_image, bootstrap_token, enroll, enrolled, provision, store_credential
from webapp.clock import MINUTE

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what its pages take; the stories of hand-overs, pins and official images ask for images on both

STORED = {"name": "ubuntu-custom", "docker_image_url": "ghcr.io/acme/ubuntu:24.04", "registry_credential_id": ""}
PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])


async def save(client: httpx2.AsyncClient, image_id: str, **fields: str) -> httpx2.Response:
    """Save the edit form with these fields, as it is sent without script."""
    return await client.post(f"/images/{image_id}", data=STORED | fields)


async def test_an_empty_list_says_what_to_do(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    page = (await alice.get("/images")).text
    assert "No images yet" in page
    assert link(page, "New image") == "/images/new"
    theirs = (await bob.get("/images")).text
    assert "An editor or an admin adds the first one." in theirs
    assert link(theirs, "New image") is None, "he may not"


async def test_a_row_says_what_it_is_and_what_it_needs(alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, await store_credential(alice))
    await add_image(alice, name="public", docker_image_url="nginx")
    rows = (await alice.get("/images", headers=HTMX)).text
    assert "<html" not in rows
    assert all(words in says(rows) for words in ("ubuntu-custom ghcr.io/acme/ubuntu:24.04 ghcr-acme", "public nginx none (public)"))
    assert 'aria-label="Actions for ubuntu-custom"' in rows
    assert f'<a href="/images/{image_id}">Edit</a>' in rows
    assert f'<a href="/images/{image_id}/delete" class="danger"' in rows


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("query", "found"), [("UBUNTU", ["ubuntu-a", "Ubuntu-B"]), (" -b ", ["Ubuntu-B"]), ("%", ["50%"]), ("_", ["a_b"]), ("x", [])]
)
async def test_a_search_finds_a_part_of_a_name(alice: httpx2.AsyncClient, query: str, found: list[str]) -> None:
    for name in ("Ubuntu-B", "ubuntu-a", "50%", "a_b"):
        await add_image(alice, name=name)
    page = (await alice.get("/images", params={"q": query, "kind": "custom"})).text
    assert names(page) == found
    assert (f"Nothing matches “{query.strip()}”" in page) == (not found)
    assert (link(page, "Show all") == "/images") == (not found)
    assert '<input type="hidden" name="kind" value="custom">' in page, "the filter goes along with the next search"


async def test_51_are_two_pages_and_there_is_a_way_back(alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await add_image(charlie, name="i-25 of charlie")
    expected = [f"i-{number:02}" for number in range(51)]
    for name in reversed(expected):
        assert (await alice.post("/images", data=STORED | {"name": name})).status_code == 303
    first = (await alice.get("/images?q=i-&kind=custom")).text
    assert names(first) == expected[:50]
    assert link(first, "First page") is None
    onward = link(first, "Next page")
    assert onward is not None
    second = (await alice.get(onward)).text
    assert names(second) == expected[50:]
    assert link(second, "Next page") is None
    assert link(second, "First page") == "/images?q=i-&kind=custom"
    beyond = (await alice.get("/images?after=z")).text
    assert "No more images" in beyond
    assert link(beyond, "First page") == "/images"


@PAGE_OR_FRAGMENT
async def test_an_image_is_edited(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    image_id = await add_image(alice, credential_id, description="for the racks")
    page = (await alice.get(f"/images/{image_id}", headers=headers)).text
    assert ("<html" in page) == (not headers)
    shown = {field: filled_in(page, field) for field in ("name", "description", "docker_image_url")}
    assert shown == {"name": "ubuntu-custom", "description": "for the racks", "docker_image_url": "ghcr.io/acme/ubuntu:24.04"}
    assert f'<option value="{credential_id}" selected>' in page
    form = {"name": "ubuntu-26", "docker_image_url": "nginx", "version": hidden(page, "version")}
    answer = await alice.post(f"/images/{image_id}", data=form, headers=headers)
    assert answer.headers["hx-redirect" if headers else "location"] == "/images"
    assert "Image saved." in (await alice.get("/images")).text
    image = await house.store.images.get(house.alice.actor, image_id)
    assert (image.name, image.description, image.reference) == ("ubuntu-26", "", "docker.io/library/nginx:latest")
    assert (image.credential_id, image.version, image.updated_by) == (None, 2, "alice@example.com")


@PAGE_OR_FRAGMENT
async def test_what_cannot_be_saved_is_said_beside_the_field(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    image_id = await add_image(alice, credential_id)
    await add_image(alice, name="taken")
    before = await house.store.images.get(house.alice.actor, image_id)
    for changed, field, said in (
        ({"name": "TAKEN"}, "name", "Another image of this account has this name."),
        ({"docker_image_url": "quay.io/acme/ubuntu"}, "registry_credential_id", "is for ghcr.io, and the image is at quay.io."),
        ({"docker_image_url": "quay.io/"}, "docker_image_url", "The repository is missing."),
    ):
        form = STORED | {"registry_credential_id": credential_id, "version": "1"} | changed
        answer = await alice.post(f"/images/{image_id}", data=form, headers=headers)
        assert answer.status_code == 422
        assert said in beside(answer.text, field)
        assert said in summary(answer.text)
        assert hidden(answer.text, "version") == "1"
    assert await house.store.images.get(house.alice.actor, image_id) == before


@PAGE_OR_FRAGMENT
async def test_two_people_editing_is_412_with_what_changed(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    image_id = await add_image(alice, await store_credential(alice))
    version = hidden((await alice.get(f"/images/{image_id}")).text, "version")
    await save(alice, image_id, docker_image_url="ghcr.io/acme/ubuntu:26.04", version=version)
    mine = STORED | {"name": "mine", "docker_image_url": "ghcr.io/acme/ubuntu:26.04", "version": version}
    answer = await alice.post(f"/images/{image_id}", data=mine, headers=headers)
    assert answer.status_code == 412
    assert "alice@example.com changed this while you were editing" in answer.text
    assert "<dt>Name</dt><dd>ubuntu-custom</dd>" in answer.text
    assert "<dt>Docker Image URL</dt>" not in answer.text, "what is the same is not listed"
    assert filled_in(answer.text, "name") == "mine"
    assert (await house.store.images.get(house.alice.actor, image_id)).name == "ubuntu-custom"
    assert (await save(alice, image_id, **mine | {"version": hidden(answer.text, "version")})).status_code == 303


async def test_two_people_making_the_same_change_are_told_who_was_first(alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    await save(alice, image_id, name="same", version="1")
    answer = await save(alice, image_id, name="same", version="1")
    assert answer.status_code == 412
    assert "<dt>Saved by</dt><dd>alice@example.com</dd>" in answer.text


async def test_what_agents_are_handed_changes_only_with_the_password(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    await alice.post("/settings", data={"default_image_id": image_id})
    house.clock.advance(6 * MINUTE)
    answer = await save(alice, image_id, docker_image_url="ghcr.io/acme/other")
    assert answer.status_code == 422
    assert "Enter your password" in beside(answer.text, "current_password")
    assert (await save(alice, image_id, name="renamed")).status_code == 303, "that hands out nothing else"
    assert (await save(alice, image_id, docker_image_url="ghcr.io/acme/other", current_password=PASSWORD)).status_code == 303


@PAGE_OR_FRAGMENT
async def test_it_is_deleted_after_a_question(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    image_id = await add_image(alice)
    question = await alice.get(f"/images/{image_id}/delete", headers=headers)
    assert "Delete ubuntu-custom ? This cannot be undone." in says(question.text)
    assert ("<html" in question.text) == (not headers)
    answer = await alice.post(f"/images/{image_id}/delete", headers=headers)
    assert answer.headers["hx-redirect" if headers else "location"] == "/images"
    page = (await alice.get("/images")).text
    assert "Image deleted." in page
    assert names(page) == []
    assert (await alice.get(f"/images/{image_id}")).status_code == 404
    assert [row["action"] for row in await house.audit()] == ["image.create", "image.delete"]


@PAGE_OR_FRAGMENT
async def test_in_use_it_is_not_deleted_and_who_uses_it_is_listed(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    image_id = await add_image(alice)
    agent_id, _ = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})
    await alice.post("/settings", data={"default_image_id": image_id})
    for answer in (
        await alice.get(f"/images/{image_id}/delete", headers=headers),
        await alice.post(f"/images/{image_id}/delete", headers=headers),
    ):
        assert answer.status_code == (409 if answer.request.method == "POST" else 200)
        assert "The image ubuntu-custom is in use, so it cannot be deleted." in summary(answer.text)
        assert link(answer.text, "Agent rack1-node07") == f"/agents/{agent_id}"
        assert link(answer.text, "The account’s default image") == "/settings"
        assert 'type="submit" class="button danger"' not in answer.text
    assert "1 agent, and as the account’s default" in says((await alice.get(f"/images/{image_id}")).text)
    await alice.post("/settings", data={"default_image_id": ""})
    assert (await alice.post(f"/images/{image_id}/delete")).status_code == 409
    await alice.post(f"/agents/{agent_id}/revoke")
    assert (await alice.post(f"/images/{image_id}/delete")).status_code == 303, "a revoked agent needs none"


async def test_the_default_image_is_chosen_in_settings_and_handed_over(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice, await store_credential(alice))
    assert f'<option value="{image_id}">ubuntu-custom – ghcr.io/acme/ubuntu:24.04</option>' in (await alice.get("/settings")).text
    await alice.post("/settings", data={"default_image_id": image_id})
    token = (await enroll(house, await bootstrap_token(alice))).json()["agent_token"]
    handed = (await provision(house, token)).json()
    assert handed["image"]["name"] == "ubuntu-custom"
    assert handed["registry_auth"]["username"] == "acme-bot"


async def test_every_change_is_in_the_audit_log(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    await save(alice, image_id, name="renamed", docker_image_url="nginx")
    await save(alice, image_id, name="")
    told = [(row["action"], row["object_id"], row["object_name"], row["detail"]) for row in await house.audit()]
    assert told == [
        ("image.create", image_id, "ubuntu-custom", "ghcr.io/acme/ubuntu:24.04"),
        ("image.update", image_id, "renamed", "changed: name, Docker Image URL"),
    ]


@pytest.mark.parametrize("path", ["", "/{id}", "/{id}/delete"])
async def test_without_an_audit_row_nothing_is_changed(house: House, alice: httpx2.AsyncClient, path: str) -> None:
    image_id = await add_image(alice)
    before = await house.store.images.page(house.alice.actor)
    await house.refuse_writes()
    answer = await alice.post("/images" + path.format(id=image_id), data=STORED | {"name": "another"})
    assert answer.status_code >= 500
    assert await house.store.images.page(house.alice.actor) == before


@PAGE_OR_FRAGMENT
async def test_a_viewer_sees_what_there_is_and_no_form(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    image_id = await add_image(alice, await store_credential(alice))
    for path in ("/images", f"/images/{image_id}"):
        page = (await bob.get(path, headers=headers)).text
        assert all(words in page for words in ("ubuntu-custom", "ghcr.io/acme/ubuntu:24.04", "ghcr-acme"))
        assert not any(words in page for words in ('method="post" action="/images', "/new", "/delete", "Actions for"))
    for path in ("new", "credential-options", f"{image_id}/delete"):
        assert (await bob.get(f"/images/{path}", headers=headers)).status_code == 403


@pytest.mark.parametrize("path", ["", "/user-data-preview", "/{id}", "/{id}/delete"])
async def test_it_refuses_a_viewer(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, path: str) -> None:
    image_id = await add_image(alice)
    before = await house.store.images.page(house.alice.actor)
    answer = await bob.post("/images" + path.format(id=image_id), data=STORED | {"name": "bob's"})
    assert answer.status_code == 403
    assert "Your role is viewer" in answer.text
    assert await house.store.images.page(house.alice.actor) == before
    assert (await house.audit())[-1]["decision"] == "denied"


@pytest.mark.parametrize("path", ["", "/delete"])
@pytest.mark.parametrize("whose", ["nobody's", "another account's"])
async def test_an_unknown_one_is_not_there(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, whose: str, path: str
) -> None:
    image_id = await add_image(charlie) if whose == "another account's" else "0" * 32
    theirs = await house.store.images.page(house.charlie.actor)
    for answer in (await alice.get(f"/images/{image_id}{path}"), await alice.post(f"/images/{image_id}{path}", data=STORED)):
        assert answer.status_code == 404
        assert "There is no such image in this account." in answer.text
    assert await house.store.images.page(house.charlie.actor) == theirs
    assert names((await alice.get("/images")).text) == []


@pytest.mark.parametrize("path", ["", "/new", "/0", "/0/delete"])
async def test_a_stranger_is_led_to_sign_in(stranger: httpx2.AsyncClient, path: str) -> None:
    for answer in (await stranger.get("/images" + path), await stranger.post("/images" + path, data=STORED)):
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
