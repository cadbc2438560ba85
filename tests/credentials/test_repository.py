"""What no page shows: values are sealed to their row, and a change and its audit row are one or neither."""

from collections.abc import Mapping

import httpx2
import pytest

from tests.markup import hidden
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import add_image, store_credential
from webapp.credentials.credential import AuthMethod, CredentialFields, seal_context
from webapp.errors import Conflict, Invalid, NotFound, Stale
from webapp.vault import SealBroken, Secret

pytestmark = pytest.mark.anyio

FIELDS = CredentialFields("ghcr-acme", "ghcr-acme", "", "ghcr.io", AuthMethod.PASSWORD, "acme-bot")
FORM = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": CANARY}


async def row(house: House, credential_id: str) -> Mapping[str, object]:
    found = await house.store.database.fetch_one("SELECT * FROM registry_credentials WHERE id = :id", {"id": credential_id})
    assert found is not None
    return dict(found)


async def test_a_value_is_sealed_to_its_row_version_host_and_method(house: House) -> None:
    stored, _ = await house.store.credentials.add(house.alice.actor, FIELDS, Secret(CANARY.encode()))
    sealed = (await row(house, stored.id))["sealed"]
    assert isinstance(sealed, bytes)
    assert found_in(sealed, CANARY) == []
    place = (house.alice.account_id, stored.id, 1, "ghcr.io", "password")
    assert house.store.vault.open(sealed, seal_context(*place)).reveal() == CANARY.encode()
    for other in (
        (house.charlie.account_id, stored.id, 1, "ghcr.io", "password"),
        (house.alice.account_id, "0" * 32, 1, "ghcr.io", "password"),
        (house.alice.account_id, stored.id, 2, "ghcr.io", "password"),
        (house.alice.account_id, stored.id, 1, "evil.example", "password"),
        (house.alice.account_id, stored.id, 1, "ghcr.io", "gcp_service_account_key"),
    ):
        with pytest.raises(SealBroken):
            house.store.vault.open(sealed, seal_context(*other))


async def test_one_value_twice_looks_different(house: House, alice: httpx2.AsyncClient) -> None:
    first, second = [await row(house, await store_credential(alice, name=name, password=CANARY)) for name in ("one", "two")]
    assert first["sealed"] != second["sealed"]


async def test_only_a_new_value_is_sealed_again(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    before = await row(house, credential_id)
    await house.store.credentials.save(house.alice.actor, credential_id, FIELDS, None, 1)
    kept = await row(house, credential_id)
    assert (kept["sealed"], kept["secret_version"], kept["version"]) == (before["sealed"], 1, 2)
    await house.store.credentials.save(house.alice.actor, credential_id, FIELDS, Secret(b"new"), 2)
    replaced = await row(house, credential_id)
    assert (replaced["secret_version"], replaced["version"]) == (2, 3)
    assert replaced["sealed"] != before["sealed"]


async def test_a_caller_without_a_version_saves_what_is_there(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    for version in (None, 2):
        await house.store.credentials.save(house.alice.actor, credential_id, FIELDS, None, version)
    with pytest.raises(Stale, match=r"alice@example\.com saved this"):
        await house.store.credentials.save(house.alice.actor, credential_id, FIELDS, None, 2)


async def test_every_change_is_in_the_audit_log_without_the_value(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, password=CANARY)
    for changed in ({"username": "robot", "password": ""}, {"registry_url": "quay.io"}, {"name": ""}, {"version": "1"}):
        await alice.post(f"/registry-credentials/{credential_id}", data=FORM | changed)
    await alice.post(f"/registry-credentials/{credential_id}/delete")
    rows = await house.audit()
    told = [(each["action"], each["object_id"], each["object_name"], each["secret_version"], each["detail"]) for each in rows]
    assert told == [
        ("registry_credential.create", credential_id, "ghcr-acme", 1, "host ghcr.io"),
        ("registry_credential.update", credential_id, "ghcr-acme", 1, "host ghcr.io"),
        ("registry_credential.replace", credential_id, "ghcr-acme", 2, "host quay.io"),
        ("registry_credential.delete", credential_id, "ghcr-acme", 2, "host quay.io"),
    ], "and nothing of what was refused"
    assert {(each["account_id"], each["actor_label"], each["address"]) for each in rows} == {
        (house.alice.account_id, "alice@example.com", "192.0.2.7")
    }
    assert found_in(repr(rows).encode(), CANARY) == []


async def test_without_an_audit_row_nothing_is_stored_and_the_form_can_be_sent_again(house: House, alice: httpx2.AsyncClient) -> None:
    form = FORM | {"form_nonce": hidden((await alice.get("/registry-credentials/new")).text, "form_nonce")}
    await house.refuse_writes()
    answer = await alice.post("/registry-credentials", data=form)
    assert answer.status_code >= 500
    assert found_in(answer.content, CANARY) == []
    assert await house.store.database.fetch_all("SELECT id FROM registry_credentials") == []
    await house.take_writes()
    answer = await alice.post("/registry-credentials", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/registry-credentials"), "the nonce is not spent"
    assert [each["action"] for each in await house.audit()] == ["registry_credential.create"]


@pytest.mark.parametrize("path", ["", "/delete"])
async def test_without_an_audit_row_nothing_is_changed_or_deleted(house: House, alice: httpx2.AsyncClient, path: str) -> None:
    credential_id = await store_credential(alice)
    before = await row(house, credential_id)
    await house.refuse_writes()
    answer = await alice.post(f"/registry-credentials/{credential_id}{path}", data=FORM | {"name": "renamed"})
    assert answer.status_code >= 500
    assert await row(house, credential_id) == before
    await house.take_writes()
    assert (await alice.post(f"/registry-credentials/{credential_id}{path}", data=FORM | {"name": "renamed"})).status_code == 303


async def test_images_of_another_account_are_not_counted_or_named(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    await add_image(alice, credential_id)
    assert await house.store.credentials.images_using(house.charlie.actor, credential_id) == []
    with pytest.raises(NotFound):
        await house.store.credentials.deletion.delete(house.charlie.actor, credential_id)
    with pytest.raises(Conflict, match="ghcr-acme is in use"):
        await house.store.credentials.deletion.delete(house.alice.actor, credential_id)


async def test_a_nonce_of_a_record_that_is_gone_makes_no_second_one(house: House) -> None:
    stored, is_new = await house.store.credentials.add(house.alice.actor, FIELDS, Secret(b"x"), "nonce")
    again, is_new_again = await house.store.credentials.add(house.alice.actor, FIELDS, Secret(b"x"), "nonce")
    assert (again, is_new, is_new_again) == (stored, True, False)
    await house.store.credentials.deletion.delete(house.alice.actor, stored.id)
    with pytest.raises(NotFound):
        await house.store.credentials.add(house.alice.actor, FIELDS, Secret(b"x"), "nonce")


async def test_without_a_nonce_a_second_one_of_the_name_is_refused(house: House) -> None:
    await house.store.credentials.add(house.alice.actor, FIELDS, Secret(b"x"))
    with pytest.raises(Invalid, match="has this name"):
        await house.store.credentials.add(house.alice.actor, FIELDS, Secret(b"x"))
