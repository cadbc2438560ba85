"""Settings: the account's name and default image; who may change them, and that it is asked for the password."""

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image
from webapp.clock import MINUTE
from webapp.ids import new_id

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a page takes; what it asks are statements of the set-up and the images, told on both


async def save(client: httpx2.AsyncClient, **fields: str) -> httpx2.Response:
    return await client.post("/settings", data={"account_name": "Acme", "default_image_id": "", **fields})


async def official(house: House, withdrawn_at: int | None = None) -> str:
    image_id = new_id()
    async with house.store.database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO images (id, name, name_key, description, docker_image_url, reference, host, withdrawn_at, version, created_at,"
            " updated_at, updated_by) VALUES (:id, 'Debian 12', 'debian 12', '', 'debian:12', 'docker.io/library/debian:12', 'docker.io',"
            " :withdrawn_at, 1, 1, 1, 'the file')",
            {"id": image_id, "withdrawn_at": withdrawn_at},
        )
    return image_id


async def test_an_admin_changes_the_name_and_the_default_image(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    answer = await save(alice, account_name="  Acme  Corp ", default_image_id=image_id)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    page = (await alice.get("/settings")).text
    assert "Settings saved." in page
    assert f'<option value="{image_id}" selected>ubuntu-custom – ghcr.io/acme/ubuntu:24.04</option>' in page
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_label"]) == ("account.update", "alice@example.com")
    assert row["detail"] == "changed: name: Acme  Corp, default image: ubuntu-custom"
    await save(alice)
    assert (await house.audit())[-1]["detail"] == "changed: name: Acme, default image: none"


async def test_saving_nothing_new_writes_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    before = await house.audit()
    assert (await save(alice)).status_code == 303
    assert await house.audit() == before


async def test_a_viewer_sees_and_cannot_change(house: House, bob: httpx2.AsyncClient) -> None:
    page = await bob.get("/settings")
    assert page.status_code == 200
    assert "Acme" in page.text
    assert "<select" not in page.text
    assert 'action="/settings"' not in page.text
    assert (await save(bob, account_name="Bob's")).status_code == 403


async def test_a_default_image_asks_for_the_password_again(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    house.clock.advance(6 * MINUTE)
    assert 'name="current_password"' in (await alice.get("/settings")).text
    answer = await save(alice, default_image_id=image_id)
    assert answer.status_code == 422
    assert "Enter your password" in answer.text
    assert f'<option value="{image_id}" selected>' in answer.text, "what was chosen is still there"
    wrong = await save(alice, default_image_id=image_id, current_password="wrong horse battery staple")
    assert wrong.status_code == 422
    assert "That is not your password" in wrong.text
    assert (await house.audit())[-1]["decision"] == "denied"
    assert (await save(alice, default_image_id=image_id, current_password=PASSWORD)).status_code == 303
    assert [row["action"] for row in (await house.audit())[-2:]] == ["member.confirm_password", "account.update"]
    assert 'name="current_password"' not in (await alice.get("/settings")).text, "and then not for five minutes"


async def test_a_name_alone_asks_for_no_password(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(6 * MINUTE)
    assert (await save(alice, account_name="Acme Corp")).status_code == 303


async def test_guessing_the_password_in_a_session_is_slowed_down(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    house.clock.advance(6 * MINUTE)
    for _ in range(4):
        assert (await save(alice, default_image_id=image_id, current_password="guess guess guess guess")).status_code == 422
    answer = await save(alice, default_image_id=image_id, current_password=PASSWORD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    other = await house.signed_in(house.alice)
    assert (await save(other, default_image_id=image_id)).status_code == 303, "another session is not delayed"


async def test_an_official_image_can_be_the_default(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await official(house)
    assert (await save(alice, default_image_id=image_id)).status_code == 303
    page = (await alice.get("/settings")).text
    assert '<optgroup label="Official">' in page


async def test_a_withdrawn_default_stays_until_it_is_changed_and_cannot_come_back(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await official(house)
    await save(alice, default_image_id=image_id)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE images SET withdrawn_at = 1 WHERE id = :id", {"id": image_id})
    assert "(withdrawn)" in (await alice.get("/settings")).text
    assert (await save(alice, account_name="Acme Corp", default_image_id=image_id)).status_code == 303
    assert (await save(alice)).status_code == 303
    assert "(withdrawn)" not in (await alice.get("/settings")).text
    assert (await save(alice, default_image_id=image_id)).status_code == 422


@pytest.mark.parametrize("story", ["nonsense", "another account's"])
async def test_it_refuses_an_image_that_is_not_there_to_choose(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, story: str
) -> None:
    image_id = "0" * 32 if story == "nonsense" else await add_image(charlie)
    answer = await save(alice, default_image_id=image_id)
    assert answer.status_code == 422
    assert "There is no such image any more." in answer.text
    assert image_id not in (await alice.get("/settings")).text


@pytest.mark.parametrize(("name", "says"), [("", "Enter a name."), ("x" * 64, "at most 63"), ("a\u202eb", "Character 2")])
async def test_it_says_what_is_wrong_with_a_name(alice: httpx2.AsyncClient, name: str, says: str) -> None:
    answer = await save(alice, account_name=name)
    assert answer.status_code == 422
    assert says in answer.text


async def test_two_admins_editing_is_412_with_what_changed(house: House, alice: httpx2.AsyncClient) -> None:
    assert 'name="version" value="1"' in (await alice.get("/settings")).text
    await save(alice, account_name="Acme Corp", version="1")
    answer = await save(alice, account_name="Acme Ltd", version="1")
    assert answer.status_code == 412
    assert "Acme Corp" in answer.text
    assert 'value="Acme Ltd"' in answer.text
    assert 'name="version" value="2"' in answer.text, "saving again replaces what is stored now"
    assert (await save(alice, account_name="Acme Ltd", version="2")).status_code == 303


async def test_a_field_that_is_not_sent_is_left_as_it_is(house: House, alice: httpx2.AsyncClient) -> None:
    image_id = await add_image(alice)
    await alice.post("/settings", data={"default_image_id": image_id})
    await alice.post("/settings", data={"account_name": "Acme Corp"})
    account = await house.store.accounts.account(house.alice.actor)
    assert (account.name, account.default_image_id, account.default_image_name) == ("Acme Corp", image_id, "ubuntu-custom")


async def test_the_other_account_has_its_own_settings(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await save(alice, account_name="Acme Corp")
    page = (await charlie.get("/settings")).text
    assert "Acme Corp" not in page
    assert 'value="Other"' in page
