"""Registry credentials through the API: the form's rules, and no value ever comes back."""

import asyncio
import json
import re

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import hidden
from tests.personas import House
from tests.real.service_account import service_account_key
from tests.stories import add_image, enrolled, program, provision, store_credential
from webapp.credentials.versions import KEEPING
from webapp.records import PAGE

pytestmark = pytest.mark.anyio

LIST = "/api/v1/registry-credentials"
SECRET = "hunter2-but-long"
GOOD = {"name": "ghcr-acme", "description": "of the bot", "registry_url": "ghcr.io", "username": "acme-bot", "password": SECRET}
KEY_ID, SECRET_KEY = "AKIA" + "A1" * 8, "s" * 40
ECR = {
    "name": "ecr",
    "registry_url": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "auth_method": "aws_ecr",
    "access_key_id": KEY_ID,
    "secret_access_key": SECRET_KEY,
    "role_arn": "arn:aws:iam::123456789012:role/pull",
    "external_id": "of-acme",
}


@pytest.fixture
async def client(house: House, alice: httpx2.AsyncClient) -> httpx2.AsyncClient:
    return await program(house, alice, role="editor")


async def stored(client: httpx2.AsyncClient, **fields: str) -> dict[str, object]:
    answer = await client.post(LIST, json={**GOOD, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, object] = answer.json()
    return found


async def handed_out(house: House, alice: httpx2.AsyncClient, credential_id: object) -> str:
    """What an agent is handed with this credential."""
    image = await add_image(alice, str(credential_id))
    agent_id, token = await enrolled(house, alice)
    await house.tamper("UPDATE agents SET image_id = :image WHERE id = :id", image=image, id=agent_id)
    password: str = (await provision(house, token)).json()["registry_auth"]["password"]
    return password


async def test_one_is_stored_and_handed_out_but_never_told(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    answer = await client.post(LIST, json={**GOOD, "registry_url": "https://GHCR.io/acme"})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{LIST}/{made['id']}")
    assert made["notes"], "what was taken off the Registry URL is said"
    assert {name: made[name] for name in ("name", "description", "registry_url", "auth_method", "username")} == {
        **{name: GOOD[name] for name in ("name", "description", "registry_url", "username")},
        "auth_method": "password",
    }
    assert (made["version"], made["secret_version"], made["images"], made["expires_at"]) == (1, 1, 0, None)
    assert (made["updated_at"], made["updated_by"]) == ("2026-11-03T14:05:00Z", "deploy-pipeline (alice@example.com)")
    for seen in (answer, await client.get(LIST), await client.get(answer.headers["location"])):
        assert SECRET not in seen.text
    assert (await client.get(LIST)).json()["registry_credentials"] == [{**made, "notes": []}]
    assert await handed_out(house, alice, made["id"]) == SECRET


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_each_method_has_its_fields(client: httpx2.AsyncClient) -> None:
    key = {
        "name": "gar",
        "registry_url": "eu-docker.pkg.dev",
        "auth_method": "gcp_service_account_key",
        "service_account_key": service_account_key().decode(),
    }
    of_google = (await client.post(LIST, json={**key, "hand_over": "oauth2accesstoken"})).json()
    assert of_google["hand_over"] == "oauth2accesstoken"
    assert not {"username", "access_key_id", "service_account_key"} & of_google.keys()
    of_amazon = (await client.post(LIST, json=ECR)).json()
    assert {name: of_amazon[name] for name in ("access_key_id", "aws_region", "role_arn", "external_id", "own_role")} == {
        "access_key_id": KEY_ID,
        "aws_region": "eu-central-1",
        "role_arn": ECR["role_arn"],
        "external_id": "of-acme",
        "own_role": False,
    }
    assert not {"username", "hand_over", "secret_access_key"} & of_amazon.keys()
    assert SECRET_KEY not in (await client.get(LIST)).text


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_viewer_sees_what_the_page_shows_them(house: House, client: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    made = (await client.post(LIST, json=ECR)).json()
    seen = (await (await program(house, bob)).get(f"{LIST}/{made['id']}")).json()
    assert "external_id" not in seen
    assert seen["access_key_id"] == KEY_ID


@on_sqlite  # what the form's own tests ask on both
@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"name": ""}, "name", "Enter a name."),
        ({"registry_url": "not a host"}, "registry_url", ""),
        ({"auth_method": "magic"}, "auth_method", "Choose Password / Token"),
        ({"username": "a:b"}, "username", "A user name cannot hold a colon"),
        ({"password": ""}, "password", "Enter the password or token."),
        ({"expires_on": "tomorrow"}, "expires_on", "This is no date."),
        ({"username": KEY_ID}, "username", "This is an access key id of AWS"),
        ({"auth_method": "gcp_service_account_key", "service_account_key": SECRET}, "service_account_key", ""),
        ({"auth_method": "aws_ecr", "own_role": True}, "own_role", "This server's own role is not switched on"),
        ({"name": "TAKEN"}, "name", "Another registry credential of this account has this name."),
    ],
)
async def test_the_forms_rules_are_the_apis(client: httpx2.AsyncClient, fields: dict[str, object], field: str, sentence: str) -> None:
    await stored(client, name="taken")
    answer = await client.post(LIST, json={**GOOD, **fields})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert problem["type"].endswith("/problems/invalid")
    assert problem["errors"][field].startswith(sentence)
    assert problem["errors"][field] in problem["detail"]
    assert SECRET not in answer.text
    assert len((await client.get(LIST)).json()["registry_credentials"]) == 1


async def test_the_same_key_makes_one(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    first = await client.post(LIST, json=GOOD, headers={"Idempotency-Key": "run-17"})
    again = await client.post(LIST, json={**GOOD, "name": "other"}, headers={"Idempotency-Key": "run-17"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["name"] == "ghcr-acme"
    other = await program(house, alice, name="another", role="editor")
    theirs = await other.post(LIST, json={**GOOD, "name": "other"}, headers={"Idempotency-Key": "run-17"})
    assert theirs.status_code == 201, "a key is of one token"


async def test_a_list_is_searched_sorted_and_goes_on(client: httpx2.AsyncClient) -> None:
    for number in range(PAGE + 1):
        await stored(client, name=f"of-rack-{number:02}")
    await stored(client, name="apart", registry_url="a.example")
    first = (await client.get(LIST, params={"q": "rack"})).json()
    assert len(first["registry_credentials"]) == PAGE
    last = (await client.get(first["next"])).json()
    assert [each["name"] for each in last["registry_credentials"]] == [f"of-rack-{PAGE}"]
    assert last["next"] is None
    assert (await client.get(LIST, params={"order": "registry"})).json()["registry_credentials"][0]["name"] == "apart"


async def test_what_was_read_can_be_sent_back_changed(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    made = await stored(client, expires_on="2027-03-31")
    read = (await client.get(f"{LIST}/{made['id']}")).json()
    assert (read["expires_on"], read["expires_at"]) == ("2027-03-31", "2027-04-01T00:00:00Z")
    saved = (await client.put(f"{LIST}/{made['id']}", json={**read, "description": "of all bots"})).json()
    assert (saved["description"], saved["version"], saved["secret_version"], saved["expires_on"]) == ("of all bots", 2, 1, "2027-03-31")
    assert await handed_out(house, alice, made["id"]) == SECRET


async def test_a_stale_version_changes_nothing(alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    made = await stored(client)
    form = {**GOOD, "description": "of alice", "auth_method": "password", "password": "", "version": "1"}
    assert (await alice.post(f"/registry-credentials/{made['id']}", data=form)).status_code == 303
    for path in (f"{LIST}/{made['id']}", f"{LIST}/{made['id']}/value"):
        body = {**made, "version": 1} if path.endswith(str(made["id"])) else {"password": "another-long-one", "version": 1}
        answer = await client.put(path, json=body)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (412, "stale")
        assert "alice@example.com saved this registry credential meanwhile." in answer.json()["detail"]
    assert (await client.get(f"{LIST}/{made['id']}")).json()["description"] == "of alice"


@on_sqlite  # what the form's own tests ask on both
@pytest.mark.parametrize("version", [None, "1", 1.5, True])
async def test_an_edit_says_which_version_it_edits(client: httpx2.AsyncClient, version: object) -> None:
    made = await stored(client)
    answer = await client.put(f"{LIST}/{made['id']}", json={**GOOD, "version": version})
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["version"]


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_another_host_needs_the_value_again(client: httpx2.AsyncClient) -> None:
    made = await stored(client)
    read = {**made, "registry_url": "evil.example"}
    answer = await client.put(f"{LIST}/{made['id']}", json=read)
    assert answer.status_code == 422
    assert "Changing the host needs the value entered again" in answer.json()["errors"]["password"]


async def test_a_value_that_is_sent_again_with_its_date_keeps_the_date(client: httpx2.AsyncClient) -> None:
    made = await stored(client, expires_on="2027-03-31")
    address = f"{LIST}/{made['id']}/value"
    for _ in range(3):  # the answer was lost, and the job asks again
        answer = await client.put(address, json={"password": "a-newer-long-one", "expires_on": "2027-03-31"})
        assert (answer.status_code, answer.json()["expires_on"]) == (200, "2027-03-31")
    answer = await client.put(address, json={"password": "one-without-a-date"})
    assert (answer.json()["expires_on"], answer.json()["expires_at"]) == ("", None)


async def test_a_job_that_rotates_keys_needs_to_know_no_more(house: House, alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    made = await stored(client, expires_on="2027-03-31")
    answer = await client.put(f"{LIST}/{made['id']}/value", json={"password": "a-newer-long-one", "expires_on": "2027-06-30"})
    replaced = answer.json()
    assert answer.status_code == 200
    assert (replaced["secret_version"], replaced["description"], replaced["expires_on"]) == (2, "of the bot", "2027-06-30")
    assert await handed_out(house, alice, made["id"]) == "a-newer-long-one"
    assert (await house.audit())[-1]["action"] != "registry_credential.update"
    kept = await house.store.credentials.versions.kept(house.alice.actor, str(made["id"]))
    assert len(kept) == 1, "for an hour, to be rolled back to"
    for keep, status in (*((each, 200) for each in KEEPING), ("2h", 422)):
        answer = await client.put(f"{LIST}/{made['id']}/value", json={"password": "x" * 20, "keep_previous": keep})
        assert answer.status_code == status


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_the_fields_of_a_value_are_those_of_its_method(client: httpx2.AsyncClient) -> None:
    made = await stored(client)
    answer = await client.put(f"{LIST}/{made['id']}/value", json={"service_account_key": "{}"})
    assert answer.json()["errors"] == {
        "service_account_key": "There is no such field here. The fields are password, username, expires_on, keep_previous,"
        " store_anyway, only_if_works, version."
    }
    for body in ({}, {"password": ""}, {"password": None}, {"username": "x"}):
        answer = await client.put(f"{LIST}/{made['id']}/value", json=body)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["password"])
    assert (await client.put(f"{LIST}/{made['id']}/value", json={"password": "a-newer-long-one", "username": "new-bot"})).status_code == 200
    ecr = (await client.post(LIST, json=ECR)).json()
    key = {"access_key_id": "AKIA" + "B2" * 8, "secret_access_key": "t" * 40}
    replaced = (await client.put(f"{LIST}/{ecr['id']}/value", json=key)).json()
    assert (replaced["access_key_id"], replaced["role_arn"]) == (key["access_key_id"], ECR["role_arn"])


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_value_that_does_not_work_can_be_left_out(house: House, client: httpx2.AsyncClient) -> None:
    made = await stored(client, registry_url="registry.invalid")
    body = {"password": "a-newer-long-one", "only_if_works": True}
    answer = await client.put(f"{LIST}/{made['id']}/value", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]["only_if_works"].startswith("It does not work for every image, so the stored value stays. ")
    assert "a-newer-long-one" not in answer.text
    assert (await client.get(f"{LIST}/{made['id']}")).json()["secret_version"] == 1
    assert (await house.audit())[-1]["action"] == "registry_credential.test"


async def test_one_that_is_used_stays_and_the_images_are_named(alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    image = await add_image(alice, credential)
    answer = await client.delete(f"{LIST}/{credential}")
    problem = answer.json()
    assert (answer.status_code, problem["type"].rpartition("/")[2]) == (409, "registry-credential-in-use")
    assert problem["images"] == [{"id": image, "name": "ubuntu-custom"}]
    await alice.post(f"/images/{image}/delete")
    assert (await client.delete(f"{LIST}/{credential}")).status_code == 204
    for again in (await client.delete(f"{LIST}/{credential}"), await client.get(f"{LIST}/{credential}")):
        assert (again.status_code, again.json()["type"].rpartition("/")[2]) == (404, "not-found")


async def test_another_accounts_is_no_such_thing(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    credential = await store_credential(alice)
    theirs = await program(house, charlie, role="admin")
    assert (await theirs.get(LIST)).json() == {"registry_credentials": [], "next": None}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {**GOOD, "version": 1}),
        ("PUT", "/value", {"password": "a-newer-long-one"}),
        ("DELETE", "", None),
    ):
        assert (await theirs.request(method, f"{LIST}/{credential}{path}", json=body)).status_code == 404
    assert (await alice.get(f"/registry-credentials/{credential}")).status_code == 200


async def test_the_page_and_the_api_see_the_same_record(alice: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    made = await stored(client)
    page = (await alice.get(f"/registry-credentials/{made['id']}")).text
    assert hidden(page, "version") == "1"
    assert re.search(r"Stored · replaced .* by deploy-pipeline \(alice@example.com\)", page)
    assert json.dumps(SECRET) not in page


async def test_of_two_that_are_sent_at_once_with_one_key_one_is_made(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(LIST, json=GOOD, headers={"Idempotency-Key": "run-17"}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_values_that_are_replaced_at_once_come_one_after_the_other(client: httpx2.AsyncClient) -> None:
    made = await stored(client)
    answers = await asyncio.gather(*(client.put(f"{LIST}/{made['id']}/value", json={"password": "n" * size}) for size in (20, 21, 22)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert (await client.get(f"{LIST}/{made['id']}")).json()["secret_version"] == 4
