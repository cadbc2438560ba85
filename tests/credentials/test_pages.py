"""The pages of the registry credentials: the list and its states, editing, deleting, and whom they are for."""

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import HTMX, beside, filled_in, hidden, link, names, says, summary
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.real.service_account import service_account_key
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.clock import HOUR

pytestmark = pytest.mark.anyio

NEW = "an entirely different one"
STORED = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": ""}
PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])


async def save(client: httpx2.AsyncClient, credential_id: str, **fields: str) -> httpx2.Response:
    """Save the edit form with these fields, as it is sent without script."""
    return await client.post(f"/registry-credentials/{credential_id}", data=STORED | fields)


async def value_at_the_agent(house: House, client: httpx2.AsyncClient, image_id: str) -> tuple[str, str, str]:
    await client.post("/settings", data={"default_image_id": image_id})
    auth = (await provision(house, (await enrolled(house, client))[1])).json()["registry_auth"]
    return auth["registry"], auth["username"], auth["password"]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_an_empty_list_says_what_to_do(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    page = (await alice.get("/registry-credentials")).text
    assert "No registry credentials yet" in page
    assert link(page, "New registry credential") == "/registry-credentials/new"
    theirs = (await bob.get("/registry-credentials")).text
    assert "An editor or an admin stores the first one." in theirs
    assert link(theirs, "New registry credential") is None, "he may not"


async def test_a_row_says_what_it_is_for_and_who_uses_it(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, description="d" * 200)
    await add_image(alice, credential_id)
    house.clock.advance(2 * HOUR)
    fresh = await house.signed_in(house.alice)
    row = (await fresh.get("/registry-credentials", headers=HTMX)).text
    assert "<html" not in row
    assert all(words in says(row) for words in ("ghcr-acme", "ghcr.io", "Password / Token", "acme-bot", "1 image", "2 h ago"))
    assert "d" * 81 not in row, "a long description is cut"
    assert 'aria-label="Actions for ghcr-acme"' in row
    assert link(row, "Edit") == f"/registry-credentials/{credential_id}"
    assert link(row, "Delete") == f"/registry-credentials/{credential_id}/delete"


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("query", "found"),
    [("ACME", ["acme-a", "Acme-B"]), (" -b ", ["Acme-B"]), ("%", ["50%"]), ("_", ["a_b"]), ("!", []), ("STRASSE", ["straße"]), ("x", [])],
)
async def test_a_search_finds_a_part_of_a_name(alice: httpx2.AsyncClient, query: str, found: list[str]) -> None:
    for name in ("Acme-B", "acme-a", "50%", "a_b", "straße"):
        await store_credential(alice, name=name)
    page = (await alice.get("/registry-credentials", params={"q": query})).text
    assert names(page) == found
    assert (f"Nothing matches “{query.strip()}”" in page) == (not found)
    assert f'value="{query.strip()}"' in page, "what was typed is still there"
    assert (link(page, "Show all") == "/registry-credentials") == (not found)


async def test_51_are_two_pages_and_there_is_a_way_back(alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await store_credential(charlie, name="c-25 of charlie")
    expected = [f"c-{number:02}" for number in range(51)]
    for name in reversed(expected):
        await store_credential_unseen(alice, name)
    first = (await alice.get("/registry-credentials?q=c-")).text
    assert names(first) == expected[:50]
    assert link(first, "First page") is None
    onward = link(first, "Next page")
    assert onward is not None
    second = (await alice.get(onward)).text
    assert names(second) == expected[50:]
    assert link(second, "Next page") is None
    assert link(second, "First page") == "/registry-credentials?q=c-"
    beyond = (await alice.get("/registry-credentials?q=c-&after=c-99")).text
    assert "No more registry credentials" in beyond
    assert link(beyond, "First page") == "/registry-credentials?q=c-"


async def store_credential_unseen(client: httpx2.AsyncClient, name: str) -> None:
    assert (await client.post("/registry-credentials", data=STORED | {"name": name, "password": NEW})).status_code == 303


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_edit_page_shows_all_but_the_value(alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, description="of the acme bot", password=CANARY)
    page = await alice.get(f"/registry-credentials/{credential_id}")
    assert "Stored · replaced 3 Nov 2026, 14:05 UTC by alice@example.com" in says(page.text)
    assert "Replace value" in page.text
    assert {field: filled_in(page.text, field) for field in ("name", "description", "registry_url", "username", "password")} == {
        "name": "ghcr-acme",
        "description": "of the acme bot",
        "registry_url": "ghcr.io",
        "username": "acme-bot",
        "password": "",
    }
    assert found_in(page.content, CANARY) == []


@pytest.mark.parametrize(
    ("password", "notice"), [("", "Registry credential saved."), (NEW, "Registry credential saved, and its value replaced.")]
)
async def test_a_value_stays_when_left_blank_and_is_replaced_by_a_new_one(
    house: House, alice: httpx2.AsyncClient, password: str, notice: str
) -> None:
    credential_id = await store_credential(alice, password=CANARY)
    image_id = await add_image(alice, credential_id)
    house.clock.advance(HOUR // 4)
    answer = await save(alice, credential_id, name="renamed", username="robot", password=password, version="1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials")
    assert notice in (await alice.get("/registry-credentials")).text
    stored = await house.store.credentials.get(house.alice.actor, credential_id)
    assert (stored.name, stored.version, stored.secret_version) == ("renamed", 2, 2 if password else 1)
    replaced = "14:20" if password else "14:05"
    assert f"replaced 3 Nov 2026, {replaced} UTC by alice@example.com" in says(
        (await alice.get(f"/registry-credentials/{credential_id}")).text
    )
    fresh = await house.signed_in(house.alice)
    assert await value_at_the_agent(house, fresh, image_id) == ("ghcr.io", "robot", password or CANARY)


async def test_after_saving_in_a_dialog_htmx_is_led_to_the_list(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post(f"/registry-credentials/{await store_credential(alice)}", data=STORED | {"version": "1"}, headers=HTMX)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/registry-credentials")


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("password", ["", NEW])
async def test_saving_says_too_when_only_the_host_is_kept(alice: httpx2.AsyncClient, password: str) -> None:
    credential_id = await store_credential(alice)
    await save(alice, credential_id, registry_url="https://ghcr.io/v2/", password=password)
    page = (await alice.get("/registry-credentials")).text
    assert "Of the Registry URL only the host is kept." in page
    assert '<code class="host">ghcr.io</code>' in page


@on_sqlite  # it asks the database nothing that others do not ask on both
@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"registry_url": "evil.example"}, "password", "Changing the host needs the value entered again"),
        ({"registry_url": "ghcr.io:443"}, "password", "since the stored one is for ghcr.io only."),
        ({"auth_method": "gcp_service_account_key"}, "service_account_key", "Changing the authentication method needs a value"),
        ({"name": "taken"}, "name", "Another registry credential of this account has this name."),
        ({"registry_url": "gh cr"}, "registry_url", "is a space"),
    ],
    ids=["host", "port", "method", "name", "typing error"],
)
async def test_what_cannot_be_saved_is_said_beside_the_field(
    house: House, alice: httpx2.AsyncClient, changed: dict[str, str], field: str, said: str, headers: dict[str, str]
) -> None:
    credential_id = await store_credential(alice, password=CANARY)
    await store_credential(alice, name="taken")
    before = await house.store.credentials.get(house.alice.actor, credential_id)
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=STORED | changed, headers=headers)
    assert answer.status_code == 422
    assert said in beside(answer.text, field)
    assert said in summary(answer.text)
    assert ("<html" in answer.text) == (not headers)
    assert found_in(answer.content, CANARY) == []
    assert await house.store.credentials.get(house.alice.actor, credential_id) == before


async def test_with_a_new_value_host_and_method_change(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    assert (await save(alice, credential_id, registry_url="quay.io", password=NEW)).status_code == 303
    key = service_account_key().decode()
    changed = {"registry_url": "us-docker.pkg.dev", "auth_method": "gcp_service_account_key", "service_account_key": key}
    assert (await save(alice, credential_id, **changed)).status_code == 303
    image_id = await add_image(alice, credential_id, docker_image_url="us-docker.pkg.dev/acme/ubuntu")
    assert await value_at_the_agent(house, alice, image_id) == ("us-docker.pkg.dev", "_json_key", key)


async def test_the_host_stays_while_images_use_it(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, registry_url="docker.io")
    for number in range(7):
        image_id = await add_image(alice, credential_id, name=f"image-{number}", docker_image_url="acme/ubuntu")
    answer = await save(alice, credential_id, registry_url="ghcr.io", password=NEW)
    assert answer.status_code == 422
    said = beside(answer.text, "registry_url")
    assert said.startswith("Images at docker.io use this credential (image-0, image-1, image-2, image-3, image-4 and 2 more)")
    assert NEW not in answer.text
    assert (await save(alice, credential_id, registry_url="registry-1.docker.io", password=NEW)).status_code == 303, "that is the same"
    assert await value_at_the_agent(house, alice, image_id) == ("docker.io", "acme-bot", NEW)


@PAGE_OR_FRAGMENT
async def test_two_people_editing_is_412_with_what_changed(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    opened = (await alice.get(f"/registry-credentials/{credential_id}")).text
    await save(alice, credential_id, description="of the other one", version=hidden(opened, "version"))
    mine = {"username": "mine", "password": CANARY, "version": hidden(opened, "version")}
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=STORED | mine, headers=headers)
    assert answer.status_code == 412
    assert "alice@example.com changed this while you were editing" in answer.text
    assert "<dt>Description</dt><dd>of the other one</dd>" in answer.text
    assert "<dt>Name</dt>" not in answer.text, "what is the same is not listed"
    assert "if you entered one, enter it again" in answer.text
    assert filled_in(answer.text, "username") == "mine"
    assert found_in(answer.content, CANARY) == []
    assert "hx-preserve" not in answer.text
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).username == "acme-bot"
    assert (await save(alice, credential_id, **mine | {"version": hidden(answer.text, "version")})).status_code == 303


async def test_two_people_making_the_same_change_are_told_who_was_first(alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    await save(alice, credential_id, username="same", version="1")
    answer = await save(alice, credential_id, username="same", version="1")
    assert answer.status_code == 412
    assert "<dt>Saved by</dt><dd>alice@example.com</dd>" in answer.text


@PAGE_OR_FRAGMENT
async def test_it_is_deleted_after_a_question(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    question = await alice.get(f"/registry-credentials/{credential_id}/delete", headers=headers)
    assert "Delete ghcr-acme ? Its value is destroyed" in says(question.text)
    assert ("<html" in question.text) == (not headers)
    answer = await alice.post(f"/registry-credentials/{credential_id}/delete", headers=headers)
    assert answer.headers["hx-redirect" if headers else "location"] == "/registry-credentials"
    page = (await alice.get("/registry-credentials")).text
    assert "Registry credential deleted." in page
    assert names(page) == []
    assert (await alice.get(f"/registry-credentials/{credential_id}")).status_code == 404
    assert await house.store.database.fetch_all("SELECT id FROM registry_credentials") == []


@PAGE_OR_FRAGMENT
async def test_in_use_it_is_not_deleted_and_its_images_are_listed(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    images = {name: await add_image(alice, credential_id, name=name) for name in ("one", "two")}
    for answer in (
        await alice.get(f"/registry-credentials/{credential_id}/delete", headers=headers),
        await alice.post(f"/registry-credentials/{credential_id}/delete", headers=headers),
    ):
        assert answer.status_code == (409 if answer.request.method == "POST" else 200)
        assert "ghcr-acme is used by 2 images, so it cannot be deleted." in summary(answer.text)
        assert {name: link(answer.text, name) for name in images} == {name: f"/images/{id_}" for name, id_ in images.items()}
        assert 'type="submit" class="button danger"' not in answer.text
    assert link((await alice.get(f"/registry-credentials/{credential_id}")).text, "two") == f"/images/{images['two']}"


@on_sqlite  # it asks the database nothing that others do not ask on both
@PAGE_OR_FRAGMENT
async def test_a_viewer_sees_what_there_is_and_no_form(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice, password=CANARY)
    for path in ("/registry-credentials", f"/registry-credentials/{credential_id}"):
        page = await bob.get(path, headers=headers)
        assert page.status_code == 200
        assert all(words in page.text for words in ("ghcr-acme", "ghcr.io", "acme-bot"))
        assert not any(words in page.text for words in ('method="post" action="/registry', "/new", "/delete", "Actions for"))
        assert found_in(page.content, CANARY) == []
    for path in ("new", "auth-fields", f"{credential_id}/delete"):
        assert (await bob.get(f"/registry-credentials/{path}", headers=headers)).status_code == 403


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("path", ["", "/key-upload", "/{id}", "/{id}/delete"])
async def test_it_refuses_a_viewer(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, path: str) -> None:
    credential_id = await store_credential(alice)
    before = await house.store.credentials.page(house.alice.actor)
    answer = await bob.post("/registry-credentials" + path.format(id=credential_id), data=STORED | {"password": NEW, "name": "bob's"})
    assert answer.status_code == 403
    assert "Your role is viewer" in answer.text
    assert await house.store.credentials.page(house.alice.actor) == before
    assert [row["decision"] for row in await house.audit()][-1] == "denied"


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_an_unknown_one_is_not_there(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    another_accounts = await store_credential(charlie, password=CANARY)
    theirs = await house.store.credentials.page(house.charlie.actor)
    for path in ("0" * 32, f"{'0' * 32}/delete", another_accounts, f"{another_accounts}/delete"):
        address = f"/registry-credentials/{path}"
        for answer in (await alice.get(address), await alice.post(address, data=STORED | {"password": NEW})):
            assert answer.status_code == 404, path
            assert "There is no such registry credential in this account." in answer.text
            assert found_in(answer.content, CANARY) == []
    assert await house.store.credentials.page(house.charlie.actor) == theirs
    assert names((await alice.get("/registry-credentials")).text) == []


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("path", ["", "/new", "/key-upload", "/0", "/0/delete"])
async def test_a_stranger_is_led_to_sign_in(stranger: httpx2.AsyncClient, path: str) -> None:
    for answer in (await stranger.get("/registry-credentials" + path), await stranger.post("/registry-credentials" + path, data=STORED)):
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
