"""Amazon ECR on the form: what is stored, what is refused with what would be right, and when the form offers the method itself."""

from dataclasses import replace

import httpx2
import pytest

from tests.markup import HTMX, beside, filled_in, hidden, says, summary, tag
from tests.personas import START, House
from tests.real.canary import found_in
from tests.real.service_account import service_account_key
from tests.real.tokens import ecr_token
from tests.stories import add_image, store_credential
from webapp.clock import HOUR
from webapp.credentials.parameters import GCP_ACCESS_TOKEN, EcrParameters
from webapp.registry.allowed import Origin

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a form takes

PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ROLE = "arn:aws:iam::123456789012:role/teams/pull-images"
ECR = {
    "name": "ecr",
    "registry_url": HOST,
    "auth_method": "aws_ecr",
    "access_key_id": KEY_ID,
    "secret_access_key": SECRET_KEY,
}
PASTED = {"name": "ecr", "registry_url": HOST, "auth_method": "password", "username": "AWS", "password": ecr_token(START + 12 * HOUR)}


async def parameters_of(house: House, credential_id: str) -> str:
    return (await house.store.credentials.get(house.alice.actor, credential_id)).parameters


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ({}, EcrParameters("eu-central-1", KEY_ID)),
        ({"aws_region": " EU-central-1 "}, EcrParameters("eu-central-1", KEY_ID)),
        ({"registry_url": "ecr.example.com", "aws_region": "us-gov-west-1"}, EcrParameters("us-gov-west-1", KEY_ID)),
        ({"role_arn": ROLE, "external_id": "acme:2"}, EcrParameters("eu-central-1", KEY_ID, ROLE, "acme:2")),
        ({"username": "ignored", "expires_on": "2020-01-01"}, EcrParameters("eu-central-1", KEY_ID)),
    ],
    ids=["region of the host", "the same region", "region of its own", "role", "fields of other methods"],
)
async def test_it_is_stored_with_what_mints_its_tokens(
    house: House, alice: httpx2.AsyncClient, typed: dict[str, str], stored: EcrParameters
) -> None:
    credential_id = await store_credential(alice, **(ECR | typed))
    found = await house.store.credentials.get(house.alice.actor, credential_id)
    assert (found.username, found.parameters, found.expires_at) == ("AWS", str(stored), None)
    assert found_in((await alice.get(f"/registry-credentials/{credential_id}")).content, SECRET_KEY) == []
    detail = str((await house.audit())[-1]["detail"])
    assert f"region {stored.region}, access key {KEY_ID}" in detail
    assert stored.role_arn in detail


@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("access_key_id", "", "AKIA and 16"),
        ("access_key_id", "AKIA123", "this has 7 characters"),
        ("access_key_id", "akiaiosfodnn7example", "capital letters"),
        ("access_key_id", "ASIAIOSFODNN7EXAMPLE", "a temporary one, which dies within hours"),
        ("secret_access_key", "", "AWS shows it once"),
        ("secret_access_key", SECRET_KEY + " ", "has 40 characters; this has 41, spaces included"),
        ("secret_access_key", SECRET_KEY[:-1] + "'", "without quotes"),
        ("secret_access_key", KEY_ID, "This is an access key id."),
        ("aws_region", "Frankfurt", "Enter one such as eu-central-1."),
        ("aws_region", "us-east-1", "The host is in eu-central-1"),
        ("registry_url", "public.ecr.aws", "they need no credential"),
        ("registry_url", "gh cr.io", "is a space"),
        ("role_arn", "pull-images", "Enter one such as arn:aws:iam::123456789012:role/pull-images."),
        ("role_arn", "arn:aws:iam::123456789012:user/alice", "of a user"),
        ("role_arn", "arn:aws:sts::123456789012:assumed-role/pull/me", "a session of a role"),
        ("role_arn", "arn:aws-cn:iam::123456789012:role/pull", "begins with arn:aws:."),
        ("external_id", "acme", "An external id goes with a role."),
        ("own_role", "1", "not switched on (WEBAPP_AWS_OWN_ROLE)"),
    ],
)
async def test_it_says_beside_the_field_what_would_be_right(
    alice: httpx2.AsyncClient, field: str, typed: str, said: str, headers: dict[str, str]
) -> None:
    answer = await alice.post("/registry-credentials", data=ECR | {field: typed}, headers=headers)
    assert answer.status_code == 422
    assert said in beside(answer.text, field)
    assert said in summary(answer.text)
    assert found_in(answer.content, SECRET_KEY) == []
    for name, value in (ECR | {field: typed}).items():
        if name not in ("secret_access_key", "auth_method", "own_role"):
            assert filled_in(answer.text, name) == value


async def test_a_host_that_does_not_say_its_region_needs_one(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=ECR | {"registry_url": "ecr.example.com"})
    assert beside(answer.text, "aws_region") == "ecr.example.com does not say in which region it is. Enter it, such as eu-central-1."


@pytest.mark.parametrize("external_id", ["x", "two words", "x" * 1225])
async def test_an_external_id_is_of_what_aws_takes(alice: httpx2.AsyncClient, external_id: str) -> None:
    answer = await alice.post("/registry-credentials", data=ECR | {"role_arn": ROLE, "external_id": external_id})
    assert "An external id has 2 to 1224 letters" in beside(answer.text, "external_id")


OTHER_KEY_ID = "AKIAI44QH8DHBEXAMPLE"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"access_key_id": OTHER_KEY_ID}, "Changing the access key id, region, role or external id"),
        ({"role_arn": ROLE}, "Changing the access key id, region, role or external id"),
        ({"registry_url": "ecr.example.com", "aws_region": "eu-central-1"}, "Changing the host needs the value entered again"),
    ],
)
async def test_what_its_tokens_are_minted_for_changes_only_with_the_key(
    house: House, alice: httpx2.AsyncClient, changed: dict[str, str], said: str
) -> None:
    credential_id = await store_credential(alice, **ECR)
    before = await parameters_of(house, credential_id)
    kept = ECR | {"secret_access_key": ""}
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=kept | changed)
    assert answer.status_code == 422
    assert said in beside(answer.text, "secret_access_key")
    assert await parameters_of(house, credential_id) == before
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=kept | {"name": "renamed"})).status_code == 303
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=ECR | changed)).status_code == 303
    after = await parameters_of(house, credential_id)
    back = await alice.post(f"/registry-credentials/{credential_id}/versions/1/roll-back", data={"version": "3"})
    assert back.status_code == 303
    assert await parameters_of(house, credential_id) == before, f"and no longer {after}"
    assert f"access key {KEY_ID}; in place of version 2" in str((await house.audit())[-1]["detail"])


@pytest.fixture
def own_role(house: House) -> None:
    """The operator has switched it on, and named a registry."""
    allowed = frozenset({Origin("https", "ecr.lan", 443)})
    house.app.state.settings = replace(house.settings, aws_own_role=True, allowed_registries=allowed)


@pytest.mark.usefixtures("own_role")
async def test_this_servers_own_role_needs_no_key(house: House, alice: httpx2.AsyncClient) -> None:
    assert "Use this server’s own role" in (await alice.get("/registry-credentials/new")).text
    keyless = ECR | {"own_role": "1", "access_key_id": "", "secret_access_key": ""}
    credential_id = await store_credential(alice, **keyless)
    assert await parameters_of(house, credential_id) == str(EcrParameters("eu-central-1"))
    assert " checked" in tag((await alice.get(f"/registry-credentials/{credential_id}")).text, "own_role")
    changed = keyless | {"role_arn": ROLE}
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=changed)).status_code == 303, "there is no value to enter"
    found = await house.store.credentials.get(house.alice.actor, credential_id)
    assert (found.parameters, found.secret_version) == (str(EcrParameters("eu-central-1", role_arn=ROLE)), 2)
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=changed | {"name": "renamed"})).status_code == 303
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).secret_version == 2


@pytest.mark.usefixtures("own_role")
async def test_this_servers_own_role_replaces_a_key_only_if_it_works(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, **ECR)
    await add_image(alice, credential_id, docker_image_url=f"{ECR['registry_url']}/acme/ubuntu:24.04")
    keyless = ECR | {"own_role": "1", "access_key_id": "", "secret_access_key": "", "version": "1"}
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=keyless | {"only_if_works": "1"})
    assert answer.status_code == 422
    assert "the stored value stays" in answer.text
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).secret_version == 1


@pytest.mark.usefixtures("own_role")
@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"access_key_id": KEY_ID}, "own_role", "Either this server's own role signs in or an access key does."),
        ({"secret_access_key": SECRET_KEY}, "own_role", "Either this server's own role signs in or an access key does."),
        ({"registry_url": "evil.example", "aws_region": "eu-central-1"}, "registry_url", "this server's own role goes to no other"),
    ],
)
async def test_this_servers_own_role_goes_alone_and_to_amazon_only(
    alice: httpx2.AsyncClient, typed: dict[str, str], field: str, said: str
) -> None:
    keyless = ECR | {"own_role": "1", "access_key_id": "", "secret_access_key": ""}
    answer = await alice.post("/registry-credentials", data=keyless | typed)
    assert said in beside(answer.text, field)
    await store_credential(alice, **(keyless | {"registry_url": "ecr.lan", "aws_region": "eu-central-1"}))


async def test_without_the_setting_the_own_role_is_not_offered(alice: httpx2.AsyncClient) -> None:
    assert "own_role" not in (await alice.get("/registry-credentials/new")).text


@PAGE_OR_FRAGMENT
async def test_an_access_key_as_a_user_name_is_refused_and_the_method_offered(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    form = PASTED | {"username": KEY_ID.lower(), "password": SECRET_KEY, "description": "kept", "registry_url": HOST}
    answer = await alice.post("/registry-credentials", data=form | {"store_anyway": "1"}, headers=headers)
    assert answer.status_code == 422
    assert "no registry takes one as a user name" in beside(answer.text, "username")
    assert 'name="use_method" value="aws_ecr"' in answer.text
    assert 'name="store_anyway"' not in answer.text, "it never works"
    first = answer.text[answer.text.index('id="credentials-form"') :]
    assert first.index('name="save" value="1" hidden') < first.index('name="use_method"'), "Enter saves"
    taken = await alice.post("/registry-credentials", data=form | {"use_method": "aws_ecr"}, headers=headers)
    assert taken.status_code == 200
    assert summary(taken.text) == ""
    assert {name: filled_in(taken.text, name) for name in ("name", "description", "registry_url", "access_key_id", "aws_region")} == {
        "name": "ecr",
        "description": "kept",
        "registry_url": HOST,
        "access_key_id": KEY_ID,
        "aws_region": "eu-central-1",
    }
    assert "AmazonEC2ContainerRegistryPullOnly" in taken.text
    assert 'value="aws_ecr" checked' in taken.text
    assert " autofocus" in tag(taken.text, "secret_access_key")
    assert found_in(answer.content + taken.content, SECRET_KEY) == []
    stored = await alice.post("/registry-credentials", data=ECR | {"form_nonce": hidden(taken.text, "form_nonce")})
    assert stored.status_code == 303


@pytest.mark.parametrize("username", ["asiapacificbuilder", "asiasoutheast1puller", "akiaba", "AKIA-bot"])
async def test_a_user_whose_name_only_begins_like_one_is_none(alice: httpx2.AsyncClient, username: str) -> None:
    await store_credential(alice, username=username)


async def test_a_pasted_token_of_ecr_is_stored_only_when_that_is_meant(house: House, alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=PASTED)
    assert answer.status_code == 422
    assert "A token of Amazon ECR dies 12 hours after it was made" in beside(answer.text, "username")
    assert PASTED["password"] not in answer.text
    again = await alice.post("/registry-credentials", data=PASTED | {"store_anyway": "1", "name": ""})
    assert " checked" in tag(again.text, "store_anyway"), "it is kept through another error"
    credential_id = await store_credential(alice, **PASTED, store_anyway="1")
    page = (await alice.get(f"/registry-credentials/{credential_id}")).text
    assert "expires in 12 h" in says(page)
    assert 'name="use_method"' in page, "it still is the better way"
    renamed = PASTED | {"name": "renamed", "password": ""}
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=renamed)).status_code == 303, "nothing new is pasted"
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=PASTED)).status_code == 422
    taken = await alice.post(f"/registry-credentials/{credential_id}", data=PASTED | {"use_method": "aws_ecr", "version": "2"})
    assert (taken.status_code, hidden(taken.text, "version")) == (200, "2")
    assert 'value="aws_ecr" checked' in taken.text
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=ECR | {"version": "2"})).status_code == 303
    assert await parameters_of(house, credential_id) == str(EcrParameters("eu-central-1", KEY_ID))


@pytest.mark.parametrize("changed", [{"registry_url": "ghcr.io"}, {"username": "acme-bot"}, {"registry_url": "public.ecr.aws"}])
async def test_elsewhere_nothing_is_offered(alice: httpx2.AsyncClient, changed: dict[str, str]) -> None:
    answer = await alice.post("/registry-credentials", data=PASTED | changed)
    assert answer.status_code == 303


async def test_a_google_key_is_handed_over_itself_or_as_a_token(house: House, alice: httpx2.AsyncClient) -> None:
    key = {
        "auth_method": "gcp_service_account_key",
        "registry_url": "us-docker.pkg.dev",
        "service_account_key": service_account_key().decode(),
    }
    credential_id = await store_credential(alice, name="gcp", **key)
    assert await parameters_of(house, credential_id) == ""
    token = key | {"name": "gcp", "hand_over": "oauth2accesstoken"}
    refused = await alice.post(f"/registry-credentials/{credential_id}", data=token | {"service_account_key": ""})
    assert "Changing how the key is handed over needs the value entered again" in beside(refused.text, "service_account_key")
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=token)).status_code == 303
    found = await house.store.credentials.get(house.alice.actor, credential_id)
    assert (found.username, found.parameters) == ("oauth2accesstoken", GCP_ACCESS_TOKEN)
    assert "handed over as oauth2accesstoken" in str((await house.audit())[-1]["detail"])
    assert 'value="oauth2accesstoken" checked' in (await alice.get(f"/registry-credentials/{credential_id}")).text
    wrong = await alice.post("/registry-credentials", data=token | {"name": "x", "hand_over": "by post"})
    assert "itself, or as a short-lived access token" in beside(wrong.text, "hand_over")


async def test_a_viewer_sees_what_mints_and_no_secret(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, **ECR, role_arn=ROLE, external_id="acme-2")
    page = (await bob.get(f"/registry-credentials/{credential_id}")).text
    assert all(
        words in says(page) for words in ("Amazon ECR", "Region eu-central-1", f"Access key id {KEY_ID}", f"Role ARN {ROLE}", "minted")
    )
    assert "acme-2" not in page
    assert found_in(page.encode(), SECRET_KEY) == []


async def test_two_people_editing_are_told_which_field_changed(alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, **ECR)
    await alice.post(f"/registry-credentials/{credential_id}", data=ECR | {"role_arn": ROLE, "version": "1"})
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=ECR | {"version": "1"})
    assert answer.status_code == 412
    assert f"Role ARN {ROLE}" in says(answer.text)
