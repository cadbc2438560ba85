"""What agents report of their pulls is shown at the credential, at the image and in the lists, by its kind."""

import re

import httpx2
import pytest

from tests.markup import says
from tests.personas import House
from tests.stories import add_image, bearer, enrolled, provision, store_credential
from webapp.clock import HOUR, MINUTE
from webapp.registry.outcomes import Pulls

pytestmark = pytest.mark.anyio

WRONG = "reading manifest 24.04: unauthorized: authentication required"
BADGE = re.compile(r'<span class="badge bad">([^<]*)</span>')


async def report(house: House, token: str, provision_id: str, error: str | None = None) -> None:
    body = {"provision_id": provision_id, "outcome": "failed" if error else "pulled", "error": error}
    client = await house.client()
    answer = await client.post("/api/v1/provision/result", json=body, headers=bearer(token))
    assert answer.status_code == 200, answer.text


async def handed(house: House, token: str) -> str:
    answer = await provision(house, token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["provision_id"])


async def furnished(house: House, alice: httpx2.AsyncClient, **fields: str) -> tuple[str, str, str]:
    """A credential, an image that needs it, and the token of an agent that is handed both."""
    credential = await store_credential(alice)
    image = await add_image(alice, credential, **fields)
    await alice.post("/settings", data={"default_image_id": image})
    return credential, image, (await enrolled(house, alice))[1]


def badges(page: str) -> list[str]:
    return BADGE.findall(page)


async def test_a_failure_is_shown_by_its_kind_at_the_credential_and_the_image(house: House, alice: httpx2.AsyncClient) -> None:
    credential, image, token = await furnished(house, alice)
    await report(house, token, await handed(house, token))
    house.clock.advance(MINUTE)
    await report(house, token, await handed(house, token), WRONG)
    house.clock.advance(2 * HOUR)
    alice = await house.signed_in(house.alice)
    for path in (f"/registry-credentials/{credential}", f"/images/{image}"):
        said = says((await alice.get(path)).text)
        assert "Last pulled 2 h ago" in said
        assert "Last failure Wrong user or password 2 h ago on rack1-node07" in said
    for path in ("/registry-credentials", "/images", "/agents"):
        assert badges((await alice.get(path)).text) == ["Wrong user or password"]
    rows = await house.store.database.fetch_all("SELECT kind FROM provision_results ORDER BY handed_at")
    assert [row["kind"] for row in rows] == [None, "wrong-credentials"]


async def test_an_error_that_says_nothing_of_the_registry_says_failed(house: House, alice: httpx2.AsyncClient) -> None:
    credential, image, token = await furnished(house, alice)
    await report(house, token, await handed(house, token), "no space left on device")
    for path in (f"/registry-credentials/{credential}", f"/images/{image}"):
        said = says((await alice.get(path)).text)
        assert "Last pulled never" in said
        assert "Last failure Failed just now on rack1-node07" in said
    for path in ("/registry-credentials", "/images", "/agents"):
        assert badges((await alice.get(path)).text) == ["Failed"]


async def test_a_later_success_takes_the_badge_away(house: House, alice: httpx2.AsyncClient) -> None:
    credential, _, token = await furnished(house, alice)
    await report(house, token, await handed(house, token), WRONG)
    house.clock.advance(MINUTE)
    await report(house, token, await handed(house, token))
    for path in ("/registry-credentials", "/images", "/agents"):
        assert badges((await alice.get(path)).text) == []
    assert "Last failure Wrong user or password" in says((await alice.get(f"/registry-credentials/{credential}")).text), (
        "it stays to be read"
    )


async def test_what_came_of_a_value_says_nothing_of_the_one_that_replaced_it(house: House, alice: httpx2.AsyncClient) -> None:
    credential, _, token = await furnished(house, alice)
    older = await handed(house, token)
    house.clock.advance(MINUTE)
    new = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": "the right one"}
    assert (await alice.post(f"/registry-credentials/{credential}", data=new)).status_code == 303
    house.clock.advance(MINUTE)
    await report(house, token, older, WRONG)
    assert badges((await alice.get("/registry-credentials")).text) == []
    assert "Last failure Wrong user or password 2 min ago" in says((await alice.get(f"/registry-credentials/{credential}")).text)
    await report(house, token, await handed(house, token), WRONG)
    assert badges((await alice.get("/registry-credentials")).text) == ["Wrong user or password"]


async def test_a_late_result_of_an_older_hand_over_hides_nothing(house: House, alice: httpx2.AsyncClient) -> None:
    credential, image, token = await furnished(house, alice)
    older = await handed(house, token)
    house.clock.advance(MINUTE)
    newer, at = await handed(house, token), house.clock()
    await report(house, token, newer)
    house.clock.advance(MINUTE)
    await report(house, token, older, WRONG)
    shown = (await house.store.credentials.get(house.alice.actor, credential)).pulls
    assert shown == Pulls(at, at - MINUTE, "wrong-credentials", "rack1-node07")
    assert not shown.failing
    assert (await house.store.images.get(house.alice.actor, image)).pulls == shown
    house.clock.advance(MINUTE)
    others = (await enrolled(house, alice, "rack1-node08"))[1]
    second, third = await handed(house, others), await handed(house, token)
    await report(house, others, second, "manifest unknown")
    await report(house, token, third, "timeout")
    latest = (await house.store.images.get(house.alice.actor, image)).pulls
    assert (latest.last_failed_at, latest.last_failure_kind, latest.last_failed_agent) == (house.clock(), None, "rack1-node07")


async def test_the_image_is_found_whatever_its_name_and_its_user_data(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/secrets", data={"name": "TOKEN", "value": "a secret"})
    _, image, token = await furnished(house, alice, name="Straße, die; user data", user_data="a={{ secrets.TOKEN }}")
    await add_image(alice, name="other")
    await report(house, token, await handed(house, token))
    assert (await house.store.images.get(house.alice.actor, image)).pulls.last_pulled_at == house.clock()
    rows = await house.store.database.fetch_all("SELECT image_id FROM image_activity")
    assert [row["image_id"] for row in rows] == [image]


@pytest.mark.parametrize(
    "name",
    [
        "x; user data y",
        "a, ghcr.io/b:1; user data",
        "; user data reads secrets.TOKEN",
        "; token until 2026-11-03T14:05:00Z",
        "a, no credential",
        "image image",
    ],
)
async def test_the_image_is_found_also_by_a_name_that_speaks_as_the_audit_log_does(
    house: House, alice: httpx2.AsyncClient, name: str
) -> None:
    _, image, token = await furnished(house, alice, name=name)
    await report(house, token, await handed(house, token))
    assert (await house.store.images.get(house.alice.actor, image)).pulls.last_pulled_at == house.clock()
    assert (await house.audit())[-1]["detail"] == "pulled: ghcr.io/acme/ubuntu:24.04"


async def test_a_public_image_has_pulls_of_its_own_in_each_account(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    async with house.store.database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO images (id, account_id, name, name_key, description, docker_image_url, reference, host, version, created_at,"
            " updated_at, updated_by) VALUES ('official-1', NULL, 'nginx', 'nginx', '', 'nginx', 'docker.io/library/nginx:latest',"
            " 'docker.io', 1, 1, 1, 'official')"
        )
    for client in (alice, charlie):
        await client.post("/settings", data={"default_image_id": "official-1"})
    (_, ours), (_, theirs) = await enrolled(house, alice), await enrolled(house, charlie)
    await report(house, ours, await handed(house, ours), WRONG)
    house.clock.advance(MINUTE)
    await report(house, theirs, await handed(house, theirs))
    assert badges((await alice.get("/images")).text) == ["Wrong user or password"]
    assert badges((await charlie.get("/images")).text) == []
    assert (await house.store.images.get(house.charlie.actor, "official-1")).pulls.last_failed_at is None


async def test_what_was_deleted_or_renamed_meanwhile_is_passed_over(house: House, alice: httpx2.AsyncClient) -> None:
    credential, image, token = await furnished(house, alice)
    first, second = await handed(house, token), await handed(house, token)
    await alice.post(
        f"/images/{image}",
        data={"name": "renamed", "docker_image_url": "ghcr.io/acme/ubuntu:24.04", "registry_credential_id": credential, "version": "1"},
    )
    await report(house, token, first, WRONG)
    assert (await house.store.images.get(house.alice.actor, image)).pulls == Pulls()
    assert (await house.store.credentials.get(house.alice.actor, credential)).pulls.failing
    await alice.post("/settings", data={"default_image_id": ""})
    await alice.post(f"/images/{image}/delete")
    await alice.post(f"/registry-credentials/{credential}/delete")
    await report(house, token, second, WRONG)
    assert await house.store.database.fetch_all("SELECT * FROM image_activity") == []


async def test_deleting_an_image_deletes_what_was_noted_of_it(house: House, alice: httpx2.AsyncClient) -> None:
    _, image, token = await furnished(house, alice)
    await report(house, token, await handed(house, token))
    assert len(await house.store.database.fetch_all("SELECT * FROM image_activity")) == 1
    await alice.post("/settings", data={"default_image_id": ""})
    assert (await alice.post(f"/images/{image}/delete")).status_code == 303
    assert await house.store.database.fetch_all("SELECT * FROM image_activity") == []
