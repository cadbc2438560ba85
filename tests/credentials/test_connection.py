"""Test connection on the form, and a value that replaces the old one only when it works: against real registries."""

import asyncio
import re
import socket
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from tests.credentials.test_ecr_forms import ECR, ROLE
from tests.markup import HTMX, beside, says
from tests.personas import House
from tests.real.registry import Registry, settings_for
from tests.stories import add_image, id_in_list, store_credential
from webapp.credentials.connection import MOST_TESTED, ConnectionTests
from webapp.credentials.credential import CredentialFields
from webapp.errors import Conflict

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # it is about registries; what it asks the database, the pages and the hand-over ask on both

TEST = "/registry-credentials/test"


@pytest.fixture(scope="module")
def silent() -> Iterator[socket.socket]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield listening


@pytest.fixture
def house_environ(htpasswd_registry: Registry, token_registry: Registry, silent: socket.socket) -> dict[str, str]:
    environ = settings_for(htpasswd_registry, token_registry)
    allowed = f"{environ['WEBAPP_ALLOWED_REGISTRIES']}, http://127.0.0.1:{silent.getsockname()[1]}"
    return {**environ, "WEBAPP_ALLOWED_REGISTRIES": allowed}


@pytest.fixture(scope="module", autouse=True)
def pushed(htpasswd_registry: Registry, token_registry: Registry) -> None:
    htpasswd_registry.push("acme/ubuntu", "24.04")
    token_registry.push("acme/ubuntu", "24.04")


def draft(registry: Registry, **fields: str) -> dict[str, str]:
    """What stands in the form for a credential of this registry."""
    if registry.username == "_json_key":
        method = {"auth_method": "gcp_service_account_key", "service_account_key": registry.password}
    else:
        method = {"auth_method": "password", "username": registry.username, "password": registry.password}
    return {"registry_url": registry.host, **method, **fields}


async def stored(alice: httpx2.AsyncClient, registry: Registry, **fields: str) -> str:
    await store_credential(alice, **draft(registry, **fields))
    return f"/registry-credentials/{await id_in_list(alice, '/registry-credentials', fields.get('name', 'ghcr-acme'))}"


async def with_image(alice: httpx2.AsyncClient, address: str, registry: Registry, name: str, repository: str = "acme/ubuntu:24.04") -> None:
    await add_image(alice, address.rpartition("/")[2], name=name, docker_image_url=f"{registry.host}/{repository}")


async def edited(alice: httpx2.AsyncClient, address: str, registry: Registry, **fields: str) -> dict[str, str]:
    """What stands in the edit form, with these fields in place of what is stored; no value unless one is among them."""
    version = re.search(r'name="version" value="(\d+)"', (await alice.get(address)).text)
    assert version is not None
    values = draft(registry, name="ghcr-acme", version=version[1])
    return {**values, "password": "", "service_account_key": "", **fields}


async def tests_of(house: House) -> list[tuple[object, object, object]]:
    return [
        (row["object_name"], row["decision"], row["detail"]) for row in await house.audit() if row["action"] == "registry_credential.test"
    ]


@pytest.mark.parametrize("name", ["htpasswd_registry", "token_registry"])
async def test_a_draft_signs_in_and_asks_for_an_image(
    house: House, alice: httpx2.AsyncClient, name: str, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(name)
    form = draft(registry, test_image=f"{registry.host}/acme/ubuntu:24.04")
    answer = await alice.post(TEST, data=form, headers=HTMX)
    assert answer.status_code == 200
    words = says(answer.text)
    assert "Works" in words
    assert f"{registry.host} takes this user name and password." in words
    assert "/acme/ubuntu:24.04 Works This credential may pull" in words
    assert "was tested, and is not stored yet" in words
    assert registry.password not in answer.text
    assert "registry-credentials-rows" not in answer.text
    assert await tests_of(house) == [("draft", "allowed", f"host {registry.host}; works; 1 of 1 images work")]
    assert "No registry credentials yet" in (await alice.get("/registry-credentials")).text


async def test_a_wrong_password_is_told_and_no_image_is_asked_for(alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    form = draft(htpasswd_registry, password="not-the-password", test_image=f"{htpasswd_registry.host}/acme/ubuntu:24.04")
    answer = await alice.post(TEST, data=form, headers=HTMX)
    assert "Wrong user or password" in says(answer.text)
    assert "not-the-password" not in answer.text
    assert "acme/ubuntu" not in answer.text


async def test_what_is_missing_for_a_test_is_told(alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    form = draft(htpasswd_registry, username="", test_image="ghcr.io/acme/ubuntu:24.04")
    answer = await alice.post(TEST, data=form, headers=HTMX)
    assert answer.status_code == 422
    assert "Not tested yet: Username: Enter the user name." in says(answer.text)
    answer = await alice.post(TEST, data={**form, "username": "bot"}, headers=HTMX)
    assert f"The image is at ghcr.io, and the credential is for {htpasswd_registry.host}." in says(answer.text)


@pytest.mark.parametrize(
    ("name", "called"), [(" acme ", "acme"), ("a\0b", "draft"), ("\u202eevil\x1b[31m\nrow", "draft"), ("x" * 64, "draft")]
)
async def test_what_is_no_name_is_not_in_the_audit_log(house: House, alice: httpx2.AsyncClient, name: str, called: str) -> None:
    form = {"registry_url": "127.0.0.1:9", "auth_method": "password", "username": "bot", "password": "x", "name": name}
    assert (await alice.post(TEST, data=form, headers=HTMX)).status_code == 200
    assert [told[0] for told in await tests_of(house)] == [called]


async def test_without_script_the_form_comes_back_with_the_answer(alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    form = draft(htpasswd_registry, name="private", test="1", test_image="nothing here")
    answer = await alice.post("/registry-credentials", data=form)
    assert answer.status_code == 422
    assert "is a space" in beside(answer.text, "test_image")
    answer = await alice.post("/registry-credentials", data={**form, "test_image": ""})
    assert answer.status_code == 200
    assert "takes this user name and password" in says(answer.text)
    assert 'value="private"' in answer.text
    assert htpasswd_registry.password not in answer.text
    assert "No registry credentials yet" in (await alice.get("/registry-credentials")).text


async def test_a_stored_value_is_tested_with_every_image_that_uses_it(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry
) -> None:
    address = await stored(alice, htpasswd_registry)
    await with_image(alice, address, htpasswd_registry, "there")
    await with_image(alice, address, htpasswd_registry, "gone", "acme/ubuntu:none")
    answer = await alice.post(f"{address}/test", data=await edited(alice, address, htpasswd_registry), headers=HTMX)
    words = says(answer.text)
    assert "gone No such image" in words
    assert "there Works" in words
    assert "not stored yet" not in words
    assert await tests_of(house) == [("ghcr-acme", "allowed", f"host {htpasswd_registry.host}; works; 1 of 2 images work")]


async def test_a_stored_value_goes_to_no_other_host(house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    address = await stored(alice, htpasswd_registry)
    form = await edited(alice, address, htpasswd_registry, registry_url="127.0.0.1:9")
    answer = await alice.post(f"{address}/test", data=form, headers=HTMX)
    assert answer.status_code == 422
    assert "Changing the host needs the value entered again" in says(answer.text)
    assert await tests_of(house) == []


async def test_the_user_name_may_be_another_one(alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    address = await stored(alice, htpasswd_registry, username="typo")
    before = await alice.post(f"{address}/test", data=await edited(alice, address, htpasswd_registry, username="typo"), headers=HTMX)
    after = await alice.post(f"{address}/test", data=await edited(alice, address, htpasswd_registry), headers=HTMX)
    assert "Wrong user or password" in says(before.text)
    assert "takes this user name and password" in says(after.text)


async def test_a_value_replaces_the_old_one_only_if_it_works_for_every_image(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry
) -> None:
    address = await stored(alice, htpasswd_registry)
    await with_image(alice, address, htpasswd_registry, "there")
    wrong = await edited(alice, address, htpasswd_registry, password="not-the-password", only_if_works="1")
    answer = await alice.post(address, data=wrong)
    assert answer.status_code == 422
    assert "the stored value stays" in beside(answer.text, "only_if_works")
    assert "Wrong user or password" in says(answer.text)
    assert "checked" in answer.text
    credential = await house.store.credentials.get(house.alice.actor, address.rpartition("/")[2])
    assert credential.secret_version == 1
    right = await edited(alice, address, htpasswd_registry, password=htpasswd_registry.password, only_if_works="1")
    assert (await alice.post(address, data=right)).status_code == 303
    credential = await house.store.credentials.get(house.alice.actor, credential.id)
    assert credential.secret_version == 2


async def test_another_user_name_counts_as_another_value(house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry) -> None:
    address = await stored(alice, htpasswd_registry)
    await with_image(alice, address, htpasswd_registry, "there")
    form = await edited(alice, address, htpasswd_registry, username="typo", only_if_works="1")
    answer = await alice.post(address, data=form)
    assert answer.status_code == 422
    assert "Wrong user or password" in says(answer.text)
    credential = await house.store.credentials.get(house.alice.actor, address.rpartition("/")[2])
    assert credential.username == htpasswd_registry.username


async def test_an_image_that_cannot_be_pulled_keeps_the_old_value(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry
) -> None:
    address = await stored(alice, htpasswd_registry)
    await with_image(alice, address, htpasswd_registry, "gone", "acme/ubuntu:none")
    form = await edited(alice, address, htpasswd_registry, password=htpasswd_registry.password, only_if_works="1")
    answer = await alice.post(address, data=form)
    assert answer.status_code == 422
    assert "gone No such image" in says(answer.text)
    assert (await house.store.credentials.get(house.alice.actor, address.rpartition("/")[2])).secret_version == 1


async def test_the_servers_own_role_replaces_a_key_only_if_it_works(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, **ECR)
    await add_image(alice, credential_id, docker_image_url=f"{ECR['registry_url']}/acme/ubuntu:24.04")
    house.app.state.settings = replace(house.settings, aws_own_role=True)  # and the minter's own say that it is off
    keyless = ECR | {"own_role": "1", "access_key_id": "", "secret_access_key": "", "only_if_works": "1"}
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=keyless)
    assert answer.status_code == 422
    assert "the stored value stays" in beside(answer.text, "only_if_works")
    assert "own role is switched off" in says(answer.text)
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).secret_version == 1
    refused = await alice.post(
        f"/registry-credentials/{credential_id}", data=ECR | {"role_arn": ROLE, "secret_access_key": "", "only_if_works": "1"}
    )
    assert "needs the value entered again" in beside(refused.text, "secret_access_key")


async def test_a_test_asks_for_so_many_images_and_says_how_many_it_left(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.credentials.connection.MOST_TESTED", 1)
    assert MOST_TESTED > 1
    address = await stored(alice, htpasswd_registry)
    for name in ("one", "two", "three"):
        await with_image(alice, address, htpasswd_registry, name)
    answer = await alice.post(f"{address}/test", data=await edited(alice, address, htpasswd_registry), headers=HTMX)
    assert "2 more images use it and were not tested" in says(answer.text)
    form = await edited(alice, address, htpasswd_registry, password=htpasswd_registry.password, only_if_works="1")
    assert (await alice.post(address, data=form)).status_code == 422, "what was not tested is not known to work"


async def test_it_refuses_a_viewer_and_another_account(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient, htpasswd_registry: Registry
) -> None:
    address = await stored(alice, htpasswd_registry)
    form = await edited(alice, address, htpasswd_registry)
    assert (await bob.post(TEST, data=form)).status_code == 403
    assert (await bob.post(f"{address}/test", data=form)).status_code == 403
    assert (await charlie.post(f"{address}/test", data=form)).status_code == 404
    assert await tests_of(house) == []


async def test_slow_registries_of_one_account_keep_no_other_waiting(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, htpasswd_registry: Registry, silent: socket.socket
) -> None:
    theirs = draft(htpasswd_registry, registry_url=f"127.0.0.1:{silent.getsockname()[1]}")
    waiting = [asyncio.create_task(charlie.post(TEST, data=theirs, headers=HTMX)) for _ in range(100)]
    try:
        done, _ = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {429}, "and they are refused what would only wait"
        answer = await asyncio.wait_for(alice.post(TEST, data=draft(htpasswd_registry), headers=HTMX), 4)
        assert "Works" in says(answer.text)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    tests: ConnectionTests = house.app.state.connection_tests
    assert (tests._running, tests._turns._accounts) == ({}, {}), "nothing is left of them"


async def test_a_value_that_was_replaced_meanwhile_goes_to_its_own_host_only(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, token_registry: Registry
) -> None:
    address = await stored(alice, htpasswd_registry)
    credentials, tests = house.store.credentials, house.app.state.connection_tests
    read = await credentials.get(house.alice.actor, address.rpartition("/")[2])
    form = await edited(alice, address, htpasswd_registry, registry_url=token_registry.host, password="for-another-host")
    assert (await alice.post(address, data=form)).status_code == 303
    fields = CredentialFields(read.name, read.name, "", read.host, read.auth_method, read.username)
    with pytest.raises(Conflict, match="was replaced just now"):
        await tests.test(house.alice.actor, fields, None, stored=read)


@pytest.mark.parametrize(
    ("engine", "stored_as"),
    [("sqlite", "no reference"), ("postgresql", "no reference"), ("sqlite", b"\xff")],  # SQLite takes bytes for a text
    indirect=["engine"],
)
async def test_what_is_no_reference_in_the_database_is_told_at_its_image(
    house: House, alice: httpx2.AsyncClient, htpasswd_registry: Registry, stored_as: object
) -> None:
    address = await stored(alice, htpasswd_registry)
    for name in ("broken", "there"):
        await with_image(alice, address, htpasswd_registry, name)
    await house.tamper("UPDATE images SET reference = :none WHERE name = 'broken'", none=stored_as)
    words = says((await alice.post(f"{address}/test", data=await edited(alice, address, htpasswd_registry), headers=HTMX)).text)
    assert "broken No such image What is stored as its reference is none." in words
    assert "there Works" in words
