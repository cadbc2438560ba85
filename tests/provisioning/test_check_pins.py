"""What a check has found is pinned, where the image says so."""

import httpx2
import pytest

from tests.markup import HTMX, says, summary
from tests.personas import PASSWORD, House
from tests.provisioning.checking import CHECK, furnished, written
from tests.real.registry import Registry
from tests.stories import provision
from webapp.clock import MINUTE
from webapp.provisioning.check import FRESH

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def digest(htpasswd_registry: Registry) -> str:
    """Of the image that is there."""
    return htpasswd_registry.push("acme/ubuntu", "24.04")


@pytest.fixture
def house_environ(htpasswd_registry: Registry) -> dict[str, str]:
    return {"WEBAPP_ALLOWED_REGISTRIES": f"http://{htpasswd_registry.host}"}


async def pinned(house: House, image_id: str) -> str | None:
    return (await house.store.images.get(house.alice.actor, image_id)).pinned_digest


async def test_the_first_check_of_an_agent_pins_and_later_ones_do_not_move_it(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    first = htpasswd_registry.push("acme/moving", "1")
    image, token = await furnished(house, alice, htpasswd_registry, "acme/moving:1", pin_digest="1")
    assert (await provision(house, token)).json()["type"].endswith("/not-checked")
    assert (await provision(house, token, CHECK)).json()["check"]["digest"] == first
    reference = f"{htpasswd_registry.host}/acme/moving"
    assert await written(house, "image.pin") == [("rack1-node07", "allowed", f"{reference}:1 to {first}")]
    assert (await provision(house, token)).json()["image"]["reference"] == f"{reference}@{first}"
    second = htpasswd_registry.push("acme/moving", "1")
    house.clock.advance(FRESH)
    told = (await provision(house, token, CHECK)).json()
    assert (told["check"]["digest"], told["image"]["reference"]) == (first, f"{reference}@{first}"), "what it would be handed is checked"
    assert await pinned(house, image) == first
    answer = await alice.post(f"/images/{image}/check", headers=HTMX)
    assert answer.status_code == 200
    assert f"Pinned to {second}" in says(answer.text), "a member's check moves it"
    assert await pinned(house, image) == second
    assert (await provision(house, token)).json()["image"]["reference"] == f"{reference}@{second}"
    assert len(await written(house, "image.pin")) == 2
    await alice.post(f"/images/{image}/check")
    assert len(await written(house, "image.pin")) == 2, "it stands where it stood"


async def test_moving_the_pin_of_an_image_that_agents_are_handed_asks_for_the_password(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, _ = await furnished(house, alice, htpasswd_registry, pin_digest="1")
    house.clock.advance(6 * MINUTE)
    assert 'id="field-check-current-password"' in (await alice.get(f"/images/{image}")).text
    for headers in ({}, HTMX):
        answer = await alice.post(f"/images/{image}/check", headers=headers)
        assert answer.status_code == 422
        assert ("<html" in answer.text) == (not headers)
        assert summary(answer.text).startswith("Not checked Your password: Enter your password")
    assert (await pinned(house, image), await written(house)) == (None, [])
    answer = await alice.post(f"/images/{image}/check", data={"current_password": PASSWORD}, headers=HTMX)
    assert answer.status_code == 200
    assert await pinned(house, image) == digest


async def test_a_pin_is_not_set_from_a_check_that_failed(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry, "acme/ubuntu:none", pin_digest="1")
    assert (await provision(house, token, CHECK)).json()["check"]["kind"] == "no-such-image"
    await alice.post(f"/images/{image}/check")
    assert await pinned(house, image) is None
    assert (await provision(house, token)).status_code == 409
