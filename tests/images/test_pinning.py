"""An image's hand-over is pinned to the digest that a check has found."""

import httpx2
import pytest

from tests.markup import HTMX, beside, says, tag
from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.clock import MINUTE
from webapp.images.pinning import pinned_reference
from webapp.registry.kinds import Kind

pytestmark = pytest.mark.anyio

DIGEST, OTHER = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32
REFERENCE = "ghcr.io/acme/ubuntu:24.04"


async def found(house: House, image_id: str, digest: str | None = DIGEST, kind: Kind = Kind.WORKS, reference: str = REFERENCE) -> None:
    """Write down what a check would have found."""
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.execute("DELETE FROM image_activity WHERE account_id = :account_id AND image_id = :id", {"id": image_id})
        checked = {"checked_at": house.clock(), "checked_reference": reference, "check_kind": str(kind), "check_sentence": "It is there."}
        await transaction.insert("image_activity", {"image_id": image_id, **checked, "check_digest": digest})


async def save(client: httpx2.AsyncClient, image_id: str, **fields: str) -> httpx2.Response:
    return await client.post(f"/images/{image_id}", data={"name": "ubuntu-custom", "docker_image_url": REFERENCE, **fields})


async def pinned(house: House, image_id: str) -> tuple[bool, str | None]:
    image = await house.store.images.get(house.alice.actor, image_id)
    return image.pin_digest, image.pinned_digest


@pytest.mark.parametrize(
    ("reference", "handed"),
    [
        (REFERENCE, f"ghcr.io/acme/ubuntu@{DIGEST}"),
        ("127.0.0.1:5000/ubuntu:24.04", f"127.0.0.1:5000/ubuntu@{DIGEST}"),
        ("127.0.0.1:5000/a/b", f"127.0.0.1:5000/a/b@{DIGEST}"),
        (f"[::1]:5000/a:1@{OTHER}", f"[::1]:5000/a@{DIGEST}"),
    ],
)
def test_a_pinned_reference_has_the_digest_in_the_place_of_the_tag(reference: str, handed: str) -> None:
    assert pinned_reference(reference, DIGEST) == handed


async def test_a_tick_pins_what_the_last_check_found(house: House, alice: httpx2.AsyncClient) -> None:
    image = await add_image(alice)
    await found(house, image)
    assert (await save(alice, image, pin_digest="1")).status_code == 303
    assert await pinned(house, image) == (True, DIGEST)
    said = [(row["action"], row["detail"]) for row in (await house.audit())[-2:]]
    assert said == [("image.update", "changed: pin"), ("image.pin", f"{REFERENCE} to {DIGEST}")]
    page = (await alice.get(f"/images/{image}")).text
    assert "checked" in tag(page, "pin_digest")
    assert f"Pinned to {DIGEST}" in says(page)
    assert (await save(alice, image, pin_digest="1", description="the same pin")).status_code == 303
    assert await pinned(house, image) == (True, DIGEST)
    assert (await save(alice, image)).status_code == 303
    assert await pinned(house, image) == (False, None)


@pytest.mark.parametrize(
    "checked",
    [{}, {"kind": Kind.NO_SUCH_IMAGE, "digest": None}, {"reference": "ghcr.io/acme/ubuntu:22.04"}],
    ids=["never", "failed", "of another"],
)
async def test_without_a_check_that_found_one_nothing_is_pinned_yet(
    house: House, alice: httpx2.AsyncClient, checked: dict[str, object]
) -> None:
    image = await add_image(alice)
    if checked:
        await found(house, image, **checked)  # type: ignore[arg-type]
    await save(alice, image, pin_digest="1")
    assert await pinned(house, image) == (True, None)
    assert "Agents are handed nothing until a check has found the digest." in says((await alice.get(f"/images/{image}")).text)


async def test_another_reference_is_not_pinned_to_the_digest_of_the_one_before(house: House, alice: httpx2.AsyncClient) -> None:
    image = await add_image(alice, pin_digest="1")
    assert await pinned(house, image) == (True, None)
    await found(house, image)
    await save(alice, image)
    await save(alice, image, pin_digest="1")
    assert await pinned(house, image) == (True, DIGEST)
    await save(alice, image, pin_digest="1", docker_image_url="ghcr.io/acme/ubuntu:22.04")
    assert await pinned(house, image) == (True, None)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
async def test_a_reference_with_a_digest_is_not_pinned_to_another(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    form = {"name": "fixed", "docker_image_url": f"{REFERENCE}@{OTHER}", "pin_digest": "1"}
    answer = await alice.post("/images", data=form, headers=headers)
    assert answer.status_code == 422
    assert "The Docker Image URL has a digest already" in beside(answer.text, "pin_digest")
    assert "checked" in tag(answer.text, "pin_digest"), "what was chosen is still there"


async def test_agents_are_handed_the_digest(house: House, alice: httpx2.AsyncClient) -> None:
    image = await add_image(alice, await store_credential(alice), pin_digest="1")
    await alice.post("/settings", data={"default_image_id": image})
    _, token = await enrolled(house, alice)
    for _ in range(3):  # the last ones are kept rows
        answer = await provision(house, token)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("/not-checked")
        assert "Press Check now on the image's page." in answer.json()["detail"]
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.update("images", image, {"pinned_digest": DIGEST})
    for query in ("", "", "?format=docker-config"):
        answer = await provision(house, token, query)
        assert answer.status_code == 200
        if not query:
            assert answer.json()["image"]["reference"] == f"ghcr.io/acme/ubuntu@{DIGEST}"
            assert answer.json()["registry_auth"]["registry"] == "ghcr.io"
    assert (await house.audit())[-1]["detail"] == f"image ubuntu-custom, ghcr.io/acme/ubuntu@{DIGEST}"
    body = {"provision_id": answer.headers["provision-id"], "outcome": "pulled", "digest": DIGEST}
    client = await house.client()
    await client.post("/api/v1/provision/result", json=body, headers={"Authorization": f"Bearer {token}"})
    assert (await house.store.images.get(house.alice.actor, image)).pulls.last_pulled_at == house.clock()


async def test_a_pin_of_an_image_that_agents_are_handed_asks_for_the_password(house: House, alice: httpx2.AsyncClient) -> None:
    image = await add_image(alice)
    await alice.post("/settings", data={"default_image_id": image})
    house.clock.advance(6 * MINUTE)
    answer = await save(alice, image, pin_digest="1")
    assert (answer.status_code, await pinned(house, image)) == (422, (False, None))
    assert beside(answer.text, "current_password").startswith("Enter your password")
    assert "checked" in tag(answer.text, "pin_digest")
    assert (await save(alice, image, pin_digest="1", current_password=PASSWORD)).status_code == 303
    assert await pinned(house, image) == (True, None)
