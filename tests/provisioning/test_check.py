"""The check before a provision: what agents and members are told, what is written down, and how seldom the registry is asked."""

import asyncio

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import HTMX, says, summary
from tests.personas import House
from tests.provisioning.checking import CHECK, asked, furnished, stored, written
from tests.real.process import free_port
from tests.real.registry import Registry
from tests.real.service_account import service_account_key
from tests.stories import add_image, bearer, enrolled, provision
from webapp.clock import DAY, SECOND
from webapp.credentials.credential import GCP_TOKEN_USERNAME, AuthMethod, CredentialFields
from webapp.credentials.parameters import GCP_ACCESS_TOKEN
from webapp.provisioning.check import FRESH
from webapp.vault import Secret

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # it is about registries; test_check_pins.py has what a check writes, on both

GCP = AuthMethod.GCP_SERVICE_ACCOUNT_KEY


@pytest.fixture(scope="module")
def digest(htpasswd_registry: Registry) -> str:
    """Of the image that is there."""
    return htpasswd_registry.push("acme/ubuntu", "24.04")


@pytest.fixture
def house_environ(htpasswd_registry: Registry) -> dict[str, str]:
    nobody = f"http://127.0.0.1:{free_port()}"
    return {"WEBAPP_ALLOWED_REGISTRIES": f"http://{htpasswd_registry.host}", "WEBAPP_GOOGLE_TOKEN_ENDPOINT": nobody}


async def test_an_agent_is_told_that_its_image_can_be_pulled(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    answer = await provision(house, token, CHECK)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told, reference = answer.json(), f"{htpasswd_registry.host}/acme/ubuntu:24.04"
    detail = told["check"].pop("detail")
    assert told == {
        "check": {"works": True, "kind": "works", "digest": digest},
        "image": {"name": "ubuntu-custom", "reference": reference},
    }
    assert htpasswd_registry.host in detail
    assert htpasswd_registry.password not in answer.text
    assert await written(house) == [("rack1-node07", "allowed", f"works: {reference} {digest}, signed in with ghcr-acme")]
    assert await written(house, "registry_credential.release") == [], "nothing was handed over"
    page = says((await alice.get(f"/images/{image}")).text)
    assert f"Last check Works just now What it found {detail} Digest {digest}" in page
    assert (await house.store.agents.get(house.alice.actor, str((await house.audit())[-1]["actor_id"]))).name == "rack1-node07"


@pytest.mark.parametrize(
    ("fields", "repository", "kind", "label"),
    [
        ({"password": "not-the-password"}, "acme/ubuntu:24.04", "wrong-credentials", "Wrong user or password"),
        ({}, "acme/ubuntu:22.04", "no-such-image", "No such image"),
    ],
)
async def test_what_would_fail_is_told_apart(
    house: House,
    alice: httpx2.AsyncClient,
    htpasswd_registry: Registry,
    digest: str,
    fields: dict[str, str],
    repository: str,
    kind: str,
    label: str,
) -> None:
    credential = await stored(alice, htpasswd_registry, **fields)
    image = await add_image(alice, credential, docker_image_url=f"{htpasswd_registry.host}/{repository}")
    await alice.post("/settings", data={"default_image_id": image})
    token = (await enrolled(house, alice))[1]
    told = (await provision(house, token, CHECK)).json()["check"]
    assert (told["works"], told["kind"], told["digest"]) == (False, kind, None)
    page = says((await alice.get(f"/images/{image}")).text)
    assert f"Last check {label} just now What it found {told['detail']}" in page
    assert "not-the-password" not in page + str(told) + str(await house.audit())


async def test_a_public_image_is_asked_for_without_signing_in(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image = await add_image(alice, docker_image_url=f"{htpasswd_registry.host}/acme/ubuntu:24.04")
    answer = await alice.post(f"/images/{image}/check", headers=HTMX)
    assert answer.status_code == 200
    assert f"Asks {htpasswd_registry.host} for this image as an agent would, without signing in." in says(answer.text)
    assert "Works" not in says(answer.text), "it is private"
    assert str((await written(house))[0][2]).endswith(", anonymously")


@pytest.mark.parametrize("reason", ["no-image", "host-mismatch", "no-credential", "image-withdrawn"])
async def test_where_nothing_would_be_handed_over_nothing_is_asked(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str, reason: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    async with house.store.database.transaction() as transaction:
        if reason == "no-image":
            await transaction.execute("UPDATE accounts SET default_image_id = NULL")
        elif reason == "host-mismatch":
            await transaction.execute("UPDATE images SET host = 'quay.io', reference = 'quay.io/acme/ubuntu:24.04'")
        elif reason == "no-credential":
            await transaction.execute(
                "INSERT INTO registry_credentials (id, account_id, name, name_key, description, host, auth_method, username, sealed,"
                " kek_id, secret_version, version, created_at, updated_at, updated_by, replaced_at, replaced_by)"
                " SELECT 'theirs', :charlie, name, name_key, description, host, auth_method, username, sealed, kek_id, 1, 1, 1, 1, '', 1,"
                " '' FROM registry_credentials",
                {"charlie": house.charlie.account_id},
            )
            await transaction.execute("UPDATE images SET registry_credential_id = 'theirs'")
        else:
            await transaction.execute("UPDATE images SET withdrawn_at = 1")
    before = asked(htpasswd_registry)
    for query in (CHECK, ""):
        answer = await provision(house, token, query)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(f"/{reason}")
    assert asked(htpasswd_registry) == before
    assert await written(house) == [("rack1-node07", "denied", reason)]
    if reason in ("host-mismatch", "no-credential"):
        answer = await alice.post(f"/images/{image}/check")
        assert answer.status_code == 409
        assert summary(answer.text).startswith("Not checked ")
        assert asked(htpasswd_registry) == before


async def test_a_token_that_is_not_valid_is_refused_as_at_the_hand_over(house: House, alice: httpx2.AsyncClient) -> None:
    agent, token = await enrolled(house, alice)
    assert (await provision(house, token[:-1] + ("y" if token.endswith("x") else "x"), CHECK)).status_code == 401
    client = await house.client()
    assert (await client.get(f"/api/v1/provision{CHECK}")).status_code == 401
    await alice.post(f"/agents/{agent}/revoke")
    assert (await provision(house, token, CHECK)).status_code == 401
    assert (await house.audit())[-1]["action"] == "token.refuse"
    unknown = [(await client.get(f"/api/v1/provision{CHECK}", headers=bearer("rc_a_no"))).status_code for _ in range(21)]
    assert unknown[-1] == 429


@pytest.mark.parametrize("query", ["?check=", "?check=0", "?check=yes", "?check=1&check=2"])
async def test_anything_else_than_1_is_no_check_and_no_hand_over(house: House, alice: httpx2.AsyncClient, query: str) -> None:
    _, token = await enrolled(house, alice)
    answer = await provision(house, token, query)
    assert answer.status_code == 422
    assert "check: leave it out for the hand-over, or send 1 to have it checked." in answer.json()["detail"]


async def test_many_agents_at_once_are_one_question(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    _, token = await furnished(house, alice, htpasswd_registry)
    before = asked(htpasswd_registry)
    answers = await asyncio.gather(*(provision(house, token, CHECK) for _ in range(50)))
    assert {answer.json()["check"]["digest"] for answer in answers} == {digest}
    house.clock.advance(FRESH - SECOND)
    assert (await provision(house, token, CHECK)).status_code == 200
    assert asked(htpasswd_registry) == before + 1
    assert len(await written(house)) == 51, "each of them is written down"
    house.clock.advance(SECOND)
    await provision(house, token, CHECK)
    assert asked(htpasswd_registry) == before + 2


async def test_a_clock_that_was_set_back_hides_no_later_check(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    house.clock.advance(DAY)
    assert (await provision(house, token, CHECK)).json()["check"]["works"]
    house.clock.advance(-DAY)
    before = asked(htpasswd_registry)
    assert (await provision(house, token, CHECK)).json()["check"]["works"]
    assert asked(htpasswd_registry) == before + 1, "what was found tomorrow is not fresh"
    checked = await house.store.images.last_check(house.alice.actor, image)
    assert checked is not None
    assert checked.at == house.clock()


@on_sqlite  # which takes a text for a number
async def test_a_time_that_is_none_in_the_database_goes_with_the_next_check(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, _ = await furnished(house, alice, htpasswd_registry)
    await alice.post(f"/images/{image}/check")
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE image_activity SET checked_at = 'x'")
    assert "Last check never" in says((await alice.get(f"/images/{image}")).text)
    assert "Last check Works" in says((await alice.post(f"/images/{image}/check", headers=HTMX)).text)


async def test_what_was_found_with_another_value_is_served_to_nobody(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    credential = await stored(alice, htpasswd_registry, password="not-the-password")
    image = await add_image(alice, credential, docker_image_url=f"{htpasswd_registry.host}/acme/ubuntu:24.04")
    await alice.post("/settings", data={"default_image_id": image})
    token = (await enrolled(house, alice))[1]
    assert (await provision(house, token, CHECK)).json()["check"]["kind"] == "wrong-credentials"
    form = {"name": "ghcr-acme", "registry_url": htpasswd_registry.host, "auth_method": "password", "username": htpasswd_registry.username}
    saved = await alice.post(f"/registry-credentials/{credential}", data=form | {"password": htpasswd_registry.password, "version": "1"})
    assert saved.status_code == 303
    assert (await provision(house, token, CHECK)).json()["check"]["kind"] == "works"


async def test_a_check_goes_on_when_who_asked_first_has_gone(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    first = asyncio.create_task(provision(house, token, CHECK))
    second = asyncio.create_task(provision(house, token, CHECK))
    for _ in range(10_000):
        if house.app.state.checks._running:
            break
        await asyncio.sleep(0)
    first.cancel()
    assert (await second).json()["check"]["works"] is True
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await house.store.images.last_check(house.alice.actor, image)) is not None


async def test_alice_presses_check_now_without_script(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, _ = await furnished(house, alice, htpasswd_registry)
    assert "Last check never" in says((await alice.get(f"/images/{image}")).text)
    answer = await alice.post(f"/images/{image}/check")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/images/{image}")
    for client in (alice, bob):
        page = (await client.get(f"/images/{image}")).text
        assert "Last check Works just now" in says(page)
        assert digest in page
        assert ("Check now" in page) == (client is alice), "a viewer sees what was found, and no button"
    assert (await bob.post(f"/images/{image}/check")).status_code == 403


async def test_an_image_of_another_account_is_not_checked(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, _ = await furnished(house, alice, htpasswd_registry)
    before = asked(htpasswd_registry)
    assert (await charlie.post(f"/images/{image}/check")).status_code == 404
    assert asked(htpasswd_registry) == before


async def test_what_has_expired_is_not_signed_in_with(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET expires_at = :now", {"now": house.clock()})
    before = asked(htpasswd_registry)
    answer = await provision(house, token, CHECK)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "credential-expired")
    for headers in ({}, HTMX):
        answer = await alice.post(f"/images/{image}/check", headers=headers)
        assert answer.status_code == 409
        assert summary(answer.text).startswith("Not checked The registry credential ghcr-acme expired on 3 Nov 2026, 14:05 UTC.")
    assert asked(htpasswd_registry) == before


async def test_a_token_that_is_not_minted_is_what_the_check_has_found(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    image, token = await furnished(house, alice, htpasswd_registry)
    fields = CredentialFields("google", "google", "", htpasswd_registry.host, GCP, GCP_TOKEN_USERNAME, GCP_ACCESS_TOKEN)
    google, _ = await house.store.credentials.add(house.alice.actor, fields, Secret(service_account_key()))
    async with house.store.database.account(house.alice.account_id).transaction() as transaction:
        await transaction.update("images", image, {"registry_credential_id": google.id})
    told = (await provision(house, token, CHECK)).json()["check"]
    assert (told["works"], told["kind"], told["digest"]) == (False, "unreachable", None)
    assert "Last check Not reachable from here" in says((await alice.get(f"/images/{image}")).text)


async def test_an_official_image_is_checked_in_each_account_by_itself(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, htpasswd_registry: Registry, digest: str
) -> None:
    reference = f"{htpasswd_registry.host}/acme/ubuntu:24.04"
    async with house.store.database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO images (id, account_id, name, name_key, description, docker_image_url, reference, host, version, created_at,"
            " updated_at, updated_by) VALUES ('official-1', NULL, 'ubuntu', 'ubuntu', '', :reference, :reference, :host, 1, 1, 1, '')",
            {"reference": reference, "host": htpasswd_registry.host},
        )
    assert (await alice.post("/images/official-1/check", headers=HTMX)).status_code == 200
    assert (await house.store.images.last_check(house.alice.actor, "official-1")) is not None
    assert (await house.store.images.last_check(house.charlie.actor, "official-1")) is None
    assert "Last check never" in says((await charlie.get("/images/official-1")).text)
